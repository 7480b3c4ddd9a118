"""The proposals by length."""

from __future__ import annotations

from torch import Tensor

from gnnreloc.data.features import Features
from gnnreloc.models.relocalizer import Moments, Relocalizer, require_proposals


class LongestProposal(Relocalizer):
    """The proposals by length."""

    reads_query = False

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Score every proposal by its length in seconds."""
        proposals = require_proposals(proposals)
        return Moments.ranked(proposals, proposals[:, 1] - proposals[:, 0])
