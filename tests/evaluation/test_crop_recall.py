"""Crops found again: a system that knows, one that does not, and the same crops each time."""

from __future__ import annotations

import torch
from torch import Tensor

from gnnreloc.data import Corpus, CropSet, Features
from gnnreloc.evaluation.crop_recall import found_crops
from gnnreloc.models import Moments, create_model
from gnnreloc.models.relocalizer import Relocalizer


class Watching(Relocalizer):
    """Answers with the last candidate, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Features, Features]] = []

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        self.asked.append((query, reference))
        assert proposals is not None
        return Moments.ranked(proposals[-1:], torch.zeros(1))


def test_figures_are_shares_of_the_crops(tiny_corpus: Corpus) -> None:
    crops = CropSet(tiny_corpus, subset="test", seed=5)
    best = found_crops(create_model("training_free", timesteps=12), crops, 40)
    assert 0.0 < best["crops_miou"] < 1.0 and (best["crops_0.5"] * 40).is_integer()
    bad = found_crops(create_model("random_proposal"), crops, 40)
    assert bad["crops_0.5"] < best["crops_0.5"]


def test_every_system_is_asked_for_the_same_crops(tiny_corpus: Corpus) -> None:
    one, other, seed = Watching(), Watching(), Watching()
    found_crops(one, CropSet(tiny_corpus, subset="test"), 5)
    found_crops(other, CropSet(tiny_corpus, subset="test"), 5)
    found_crops(seed, CropSet(tiny_corpus, subset="test", seed=1), 5)
    for (query, reference), (same, also) in zip(one.asked, other.asked, strict=True):
        assert torch.equal(query.values, same.values)
        assert torch.equal(reference.values, also.values)
    assert not torch.equal(one.asked[0][0].values, seed.asked[0][0].values)
