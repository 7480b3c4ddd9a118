"""The model that training starts from: a new one, or a saved one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gnnreloc.data.corpus import Corpus
from gnnreloc.data.scaled_features import fit_scaling
from gnnreloc.errors import InputError
from gnnreloc.models.registry import create_model
from gnnreloc.models.saved_model import SavedModel, all_options, load_model
from gnnreloc.models.trainable import TrainableRelocalizer


def new_model(corpus: Corpus, system: str, options: Mapping[str, Any]) -> SavedModel:
    """A model that has learned nothing, and the scaling of the training videos' features.

    Args:
        corpus: what it will be trained on, with features as they were extracted.
        system: name of the model.
        options: options of the model, but ``in_channels``.

    Raises:
        InputError: if the model is unknown or not trained, or an option does not fit.
    """
    model = create_model(system, in_channels=corpus.num_channels, **options)
    assert isinstance(model, TrainableRelocalizer)  # no other has in_channels
    videos = sorted(corpus.subset("train")["video"].unique())
    scaling = fit_scaling(videos, corpus.features)
    return SavedModel(model, system, all_options(system, options), scaling=scaling)


def saved_model(
    path: str | Path, corpus: Corpus, system: str | None, options: Mapping[str, Any]
) -> SavedModel:
    """A saved model, checked to be one that can be trained further.

    Args:
        path: the folder that ``gnnreloc train`` wrote, or the file in it.
        corpus: what it will be trained on, with features as they were extracted.
        system: name of the model that is wanted; ``None`` for any.
        options: options of the model that are wanted; the others may be anything.

    Raises:
        InputError: if it cannot be read, is of another system or size than wanted, or learned from
            features of another backbone or width than the corpus has; names the culprit.
    """
    saved = load_model(path)
    found = {**saved.options, "system": saved.name}
    # As they come back from a file.
    wanted = json.loads(json.dumps(dict(options)))
    if system is not None:
        wanted["system"] = system
    for name, value in wanted.items():
        if found.get(name) != value:
            raise InputError(
                f"initial model {path}: its {name} is {found.get(name)!r}, this run's is {value!r}"
            )
    video = str(corpus.moments["video"].iloc[0])
    try:
        saved.prepare(corpus.features[video], video)
    except InputError as error:
        raise InputError(f"initial model {path}: {error}") from error
    return saved
