"""What tests of several rooms share."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

if not torch.cuda.is_available():
    # Kernels then run in Triton's interpreter; what is imported below may import Triton.
    os.environ.setdefault("TRITON_INTERPRET", "1")

if threading.current_thread() is threading.main_thread():
    # A shell starts what runs behind it with SIGINT ignored; what tests start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

from gnnreloc.data import Corpus, temporal_iou, write_features
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


@pytest.fixture(scope="session")
def rendered_videos() -> ModuleType:
    """The module ``examples/videos/rendered_videos.py``, which renders videos of known content."""
    path = Path(__file__).parents[1] / "examples" / "videos" / "rendered_videos.py"
    location = importlib.util.spec_from_file_location("rendered_videos", path)
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    sys.modules[location.name] = module
    location.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def write_own_videos(tiny_corpus: Corpus) -> Callable[[Path], Path]:
    """Writes the tiny corpus as a folder of one's own videos, with its subsets."""

    def write(root: Path) -> Path:
        columns = ["video", "start", "end", "label", "subset"]
        root.mkdir(parents=True, exist_ok=True)
        tiny_corpus.moments[columns].to_csv(root / "moments.csv", index=False)
        for video in tiny_corpus.moments["video"].unique():
            features = replace(tiny_corpus.features[video], metadata={"backbone": "made-up"})
            write_features(root / "features" / f"{video}.safetensors", features)
        return root

    return write
