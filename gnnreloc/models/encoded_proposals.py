"""A reference whose proposals a graph network has encoded, to be asked many times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gnnreloc.data.features import Features, require_channels
from gnnreloc.models.clip_scoring import ClipScorer
from gnnreloc.models.relocalizer import EncodedReference, Moments

if TYPE_CHECKING:
    from gnnreloc.models.graph_relocalizer import GraphRelocalizer


class EncodedProposals(EncodedReference):
    """What a model computes of the proposals alone is kept; a query costs what pairs make together.

    Args:
        model: of the kind that :meth:`ClipScorer.fits` asks for.
        reference: the whole reference video.
        proposals: candidate moments, float64 ``[m, 2]`` in seconds.

    Raises:
        InputError: if the features do not have the width that the model was made for.
    """

    system: GraphRelocalizer
    proposals: Tensor

    def __init__(self, model: GraphRelocalizer, reference: Features, proposals: Tensor) -> None:
        super().__init__(model, reference, proposals)
        require_channels(None, reference, model.in_channels)
        with model.evaluating():
            self.scorer = ClipScorer(model)
            self.clips = self.scorer.encode(reference, proposals, model.context)

    def localize(self, query: Features) -> Moments:
        """Rank moments of the reference, as :meth:`Relocalizer.localize`."""
        model, reference = self.system, self.reference
        require_channels(query, None, model.in_channels)
        whole = torch.tensor([[0.0, query.duration]], dtype=torch.float64)
        with model.evaluating():
            asked = self.scorer.encode(query, whole)

        def ask(segments: Tensor) -> tuple[Tensor, Tensor]:
            clips = self.clips
            if segments is not self.proposals:
                clips = self.scorer.encode(reference, segments, model.context)
            return self.scorer.score(asked, clips)

        return model.rank(ask, reference, self.proposals)
