"""Training samples that depend on a seed and their number alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset
from torch_geometric.data import Data

from gnnreloc.data.corpus import Corpus
from gnnreloc.data.pairs import PairSampler
from gnnreloc.errors import InputError


class SampledSet(Dataset[list[Data]], ABC):
    """Draws training samples, lists of PyG graphs, from the moments of a corpus.

    Sample ``i`` of epoch ``e`` depends on ``(seed, e, i)`` alone, not on workers, batch size or
    what was drawn before, so that a resumed run sees what an uninterrupted one does. The attribute
    ``epoch`` is 0 at first; the training loop sets it, and workers that go on from one epoch to the
    next see it, too. PyG's DataLoader collates the graphs of a batch of samples: ``__getitems__``
    gives them as one flat list.

    A subclass writes ``_sample(rng)``.

    Args:
        corpus: the corpus.
        samples: number of samples an epoch.
        seed: seed of all draws.
        partial: share of the samples that ask for a part of an action; the subclass reads it.
        subset: subset to draw from.

    Raises:
        InputError: if a number is out of range, or no pair can be drawn.
    """

    def __init__(
        self, corpus: Corpus, *, samples: int, seed: int, partial: float, subset: str
    ) -> None:
        require_at_least("samples", samples, 1)
        require_at_least("seed", seed, 0)
        if not 0.0 <= partial <= 1.0:
            raise InputError(f"partial must be a share from 0 to 1, got {partial}")
        self.corpus = corpus
        self.sampler = PairSampler(corpus, subset)
        self.samples = samples
        self.seed = seed
        self.partial = partial
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """Number of the epoch, from 0."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, number: int) -> None:
        self._epoch.fill_(number)

    @abstractmethod
    def _sample(self, rng: np.random.Generator) -> list[Data]:
        """The graphs of one sample, from the generator of its seed, epoch and number."""

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> list[Data]:
        if not 0 <= index < self.samples:
            # Without it, a plain loop over the set would never end.
            raise IndexError(f"sample {index} of an epoch of {self.samples}")
        return self._sample(np.random.default_rng([self.seed, self.epoch, index]))

    def __getitems__(self, indices: Sequence[int]) -> list[Data]:
        return [graph for index in indices for graph in self[index]]


def require_at_least(name: str, value: int, least: int) -> None:
    """Check the range of a number.

    Raises:
        InputError: if it is below the least one; names it.
    """
    if value < least:
        raise InputError(f"{name} must be at least {least}, got {value}")
