"""Systems that never look at the query: the rows every table must carry.

On real proposal lists some of them are strong (the longest proposal alone reaches two thirds at
tIoU 0.5 on ActivityNet v1.2), so that no score can be read without them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gnnreloc.data.features import Features
from gnnreloc.data.overlap import best_overlap
from gnnreloc.errors import InputError
from gnnreloc.models.relocalizer import Moments, Relocalizer, require_proposals


class Chance(Relocalizer):
    """A segment between two uniform random cut points.

    Args:
        seed: seed of the draws.
    """

    repeats = 20

    def __init__(self, *, seed: int = 0) -> None:
        self.rng = np.random.default_rng([seed, 3])

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Five random segments, in random order."""
        cuts = np.sort(self.rng.uniform(0.0, reference.duration, size=(5, 2)), axis=1)
        return Moments.ranked(torch.from_numpy(cuts), torch.zeros(5))


class RandomProposal(Relocalizer):
    """The proposals in random order.

    Args:
        seed: seed of the draws.
    """

    repeats = 20

    def __init__(self, *, seed: int = 0) -> None:
        self.rng = np.random.default_rng([seed, 4])

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Score every proposal at random."""
        proposals = require_proposals(proposals)
        return Moments.ranked(proposals, torch.from_numpy(self.rng.random(len(proposals))))


class LongestProposal(Relocalizer):
    """The proposals by length."""

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Score every proposal by its length in seconds."""
        proposals = require_proposals(proposals)
        return Moments.ranked(proposals, proposals[:, 1] - proposals[:, 0])


class WholeReference(Relocalizer):
    """The whole reference video."""

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """One moment, from the beginning to the end."""
        whole = torch.tensor([[0.0, reference.duration]], dtype=torch.float64)
        return Moments.ranked(whole, torch.ones(1))


class Oracle(Relocalizer):
    """The proposals by their tIoU with the truth: what the proposals allow at best.

    The one system that is told the answer; evaluation sets :attr:`targets` before each pair.
    """

    targets: Tensor | None = None

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Score every proposal by its best tIoU with :attr:`targets`.

        Raises:
            InputError: if :attr:`targets` is not set or there are no proposals.
        """
        proposals = require_proposals(proposals)
        if self.targets is None:
            raise InputError("the oracle must be told the true moments: set `targets` first")
        return Moments.ranked(proposals, best_overlap(proposals, self.targets))
