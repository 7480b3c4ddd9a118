"""Frame-level cosine alignment on the raw features, without any training."""

from __future__ import annotations

import torch
from torch import Tensor

from gnnreloc.data.features import Features, require_channels, resample, resample_clip
from gnnreloc.models.relocalizer import Moments, Relocalizer, require_proposals


class TrainingFree(Relocalizer):
    r"""Mean cosine between the aligned timesteps of the query and of each proposal.

    Both clips are resampled to T timesteps and
    :math:`s = \frac{1}{T} \sum_t \cos(q_t, p_t)`. What a trained system adds is what it has above
    this row.

    Args:
        timesteps: number of timesteps T of a clip.
    """

    def __init__(self, *, timesteps: int = 40) -> None:
        if timesteps < 1:
            raise ValueError(f"timesteps: at least 1 is needed, got {timesteps}")
        self.timesteps = timesteps

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Score every proposal by its mean aligned cosine with the query.

        Raises:
            InputError: if there are no proposals, or the two clips differ in width.
        """
        proposals = require_proposals(proposals)
        require_channels(query, reference)
        clip = resample_clip(query, self.timesteps)
        clips = resample(reference, proposals, self.timesteps)
        scores = torch.nn.functional.cosine_similarity(clip, clips, dim=-1).mean(dim=1)
        return Moments.ranked(proposals, scores)
