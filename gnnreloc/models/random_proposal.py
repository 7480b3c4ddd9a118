"""The proposals in random order."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gnnreloc.data.features import Features
from gnnreloc.models.relocalizer import Moments, Relocalizer, require_proposals


class RandomProposal(Relocalizer):
    """The proposals in random order.

    Args:
        seed: seed of the draws.
    """

    repeats = 20
    reads_query = False

    def __init__(self, *, seed: int = 0) -> None:
        self.rng = np.random.default_rng([seed, 4])

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Score every proposal at random."""
        proposals = require_proposals(proposals)
        return Moments.ranked(proposals, torch.from_numpy(self.rng.random(len(proposals))))
