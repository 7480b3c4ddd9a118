"""The whole reference video."""

from __future__ import annotations

import torch
from torch import Tensor

from gnnreloc.data.features import Features
from gnnreloc.models.relocalizer import Moments, Relocalizer


class WholeReference(Relocalizer):
    """The whole reference video."""

    reads_query = False
    ranks_proposals = False

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """One moment, from the beginning to the end."""
        whole = torch.tensor([[0.0, reference.duration]], dtype=torch.float64)
        return Moments.ranked(whole, torch.ones(1))
