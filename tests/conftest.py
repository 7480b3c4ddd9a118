"""What tests of several rooms share."""

from __future__ import annotations

import pytest

from gnnreloc.data import Corpus
from gnnreloc.datasets import synthetic


@pytest.fixture(scope="session")
def tiny_corpus() -> Corpus:
    """Fourteen generated videos of 48 channels; never change it, all tests see the same one."""
    return synthetic(train_videos=6, validation_videos=4, test_videos=4)
