"""Crops of videos as a network wants to see them."""

from __future__ import annotations

from typing import Any

from gnnreloc.data.corpus import Corpus
from gnnreloc.data.crop_set import CropSet
from gnnreloc.errors import InputError
from gnnreloc.models.pair_network import PairNetwork
from gnnreloc.models.trainable import TrainableRelocalizer


def crop_set(model: TrainableRelocalizer, corpus: Corpus, **options: Any) -> CropSet:
    """What a network is trained on without labels.

    Args:
        model: a network that scores pair graphs.
        corpus: the videos.
        **options: of :class:`~gnnreloc.data.CropSet`, but those that the model decides.

    Raises:
        InputError: if the model does not score pair graphs, or the corpus does not suit.
    """
    if not isinstance(model, PairNetwork):
        raise InputError(
            "sampling='crops' is for networks that score pair graphs: "
            f"{type(model).__name__} does not"
        )
    return CropSet(
        corpus,
        timesteps=model.timesteps,
        context=model.context,
        resampling=model.resampling,
        transform=model.graph_transform(),
        **options,
    )
