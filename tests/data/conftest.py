"""A small corpus whose features say which video and which second they show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch

from gnnreloc.data import Corpus, Features, InMemoryFeatureStore, validate_moments
from gnnreloc.proposals import window_proposals

STEP = 0.5
DURATION = 40.0

MOMENTS = [
    # video, start, end, label, subset
    ("a", 2.0, 8.0, "jump", "train"),
    ("a", 12.0, 20.0, "run", "train"),
    ("a", 24.0, 30.0, "sit", "train"),
    ("b", 1.0, 7.0, "run", "train"),
    ("b", 10.0, 18.0, "jump", "train"),
    ("b", 22.0, 29.0, "sit", "train"),
    ("c", 3.0, 9.0, "sit", "train"),
    ("c", 15.0, 21.0, "jump", "train"),
    ("c", 30.0, 36.0, "jump", "train"),
    ("d", 5.0, 12.0, "run", "train"),
    ("d", 20.0, 26.0, "sit", "train"),
    ("v", 4.0, 10.0, "turn", "validation"),
    ("w", 8.0, 15.0, "turn", "validation"),
    ("x", 2.0, 9.0, "bow", "test"),
    ("x", 14.0, 20.0, "wave", "test"),
    ("y", 3.0, 11.0, "wave", "test"),
    ("y", 20.0, 27.0, "bow", "test"),
    ("z", 5.0, 11.0, "bow", "test"),
    ("z", 18.0, 26.0, "wave", "test"),
]


@pytest.fixture
def moments() -> pd.DataFrame:
    """Moment table of nine videos of 40 s: three classes for training, one, and two for test."""
    columns = ["video", "start", "end", "label", "subset"]
    return pd.DataFrame(MOMENTS, columns=columns).assign(duration=DURATION)


@pytest.fixture(scope="session")
def build_corpus() -> Callable[..., Corpus]:
    """Moment table to corpus; keywords replace arguments of ``Corpus``.

    Channel 0 of a feature row is the number of its video in alphabetical order, channel 1 its
    centre in seconds. The proposals of every video are half overlapping windows of 4 and 8 s.
    """

    def build(table: pd.DataFrame, **changes: Any) -> Corpus:
        time = (torch.arange(DURATION / STEP) + 0.5) * STEP
        videos = sorted(table["video"].unique())
        features = {
            video: Features(torch.stack([torch.full_like(time, number), time], dim=1), STEP)
            for number, video in enumerate(videos)
        }
        windows = window_proposals(DURATION, lengths=[4.0, 8.0], overlap=0.5)
        arguments = {
            "name": "toy",
            "moments": validate_moments(table),
            "features": InMemoryFeatureStore(features),
            "proposals": {video: windows for video in videos},
        }
        return Corpus(**(arguments | changes))

    return build


@pytest.fixture
def corpus(moments: pd.DataFrame, build_corpus: Callable[..., Corpus]) -> Corpus:
    """The corpus of ``moments``."""
    return build_corpus(moments)
