"""What tests of several rooms share."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from torch import Tensor

if not torch.cuda.is_available():
    # Kernels then run in Triton's interpreter; what is imported below may import Triton.
    os.environ.setdefault("TRITON_INTERPRET", "1")

from gnnreloc.data import Corpus, temporal_iou
from gnnreloc.datasets import synthetic


@pytest.fixture(scope="session")
def tiny_corpus() -> Corpus:
    """Fourteen generated videos of 48 channels; never change it, all tests see the same one."""
    return synthetic(train_videos=6, validation_videos=4, test_videos=4)


@pytest.fixture(scope="session")
def separable_corpus(tiny_corpus: Corpus) -> Corpus:
    """The tiny corpus with its moments, and proposals that hardly meet any, as candidates."""
    proposals: dict[str, Tensor] = {}
    for video, rows in tiny_corpus.moments.groupby("video"):
        moments = torch.tensor(rows[["start", "end"]].to_numpy())
        given = tiny_corpus.proposals[str(video)]
        background = given[temporal_iou(given, moments).amax(dim=1) < 0.3]
        proposals[str(video)] = torch.cat([background, moments])
    return replace(tiny_corpus, proposals=proposals)
