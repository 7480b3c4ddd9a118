"""A random segment, of the reference and never of its proposals."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gnnreloc.data.features import Features
from gnnreloc.models.relocalizer import Moments, Relocalizer


class Chance(Relocalizer):
    """A segment between two uniform random cut points.

    Args:
        seed: seed of the draws.
    """

    repeats = 20
    reads_query = False
    ranks_proposals = False

    def __init__(self, *, seed: int = 0) -> None:
        self.rng = np.random.default_rng([seed, 3])

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Five random segments, in random order."""
        cuts = np.sort(self.rng.uniform(0.0, reference.duration, size=(5, 2)), axis=1)
        return Moments.ranked(torch.from_numpy(cuts), torch.zeros(5))
