"""The proposals by their tIoU with the truth."""

from __future__ import annotations

from torch import Tensor

from gnnreloc.data.features import Features
from gnnreloc.data.overlap import best_overlap
from gnnreloc.errors import InputError
from gnnreloc.models.relocalizer import Moments, Relocalizer, require_proposals


class Oracle(Relocalizer):
    """The proposals by their tIoU with the truth: what the proposals allow at best.

    The one system that is told the answer; evaluation sets :attr:`targets` before each pair.
    """

    reads_query = False
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
