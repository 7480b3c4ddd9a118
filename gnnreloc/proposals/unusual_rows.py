"""Candidates of a video from its features alone, without any training."""

from __future__ import annotations

import torch
from torch import Tensor

from gnnreloc.data.features import Features
from gnnreloc.proposals.tag import tag_proposals

#: Most of a video's candidates.
MOST = 1000


def unusual_proposals(features: Features, *, max_proposals: int = MOST) -> Tensor:
    r"""Group the rows that are unlike the rest of the video (TAG on its self-similarity).

    In untrimmed videos what happens seldom stands out from what is there all the time. The curve
    that :func:`~gnnreloc.proposals.tag_proposals` groups is, of each row :math:`i`,

    .. math:: a_i = 1 - \frac{1}{n} \sum_j \cos(\mathbf{x}_i, \mathbf{x}_j),

    stretched to [0, 1]. It is a guess for videos without annotation, and no published method.

    Args:
        features: the video.
        max_proposals: the best are kept.

    Returns:
        Candidates, float64 ``[m, 2]`` in seconds, best first; the whole video where all rows are
        alike.

    Example:
        >>> rows = torch.tensor([[1.0, 0.0]]).repeat(12, 1)
        >>> rows[4:8] = torch.tensor([0.0, 1.0])
        >>> unusual_proposals(Features(rows, step=1.0))[0].tolist()
        [4.0, 8.0]
    """
    unit = torch.nn.functional.normalize(features.values, dim=1)
    alike = unit @ unit.mean(dim=0)
    whole = torch.tensor([[0.0, features.duration]], dtype=torch.float64)
    low, high = alike.min(), alike.max()
    if not high > low:
        return whole
    curve = (high - alike) / (high - low)
    segments, _ = tag_proposals(
        curve, step=features.step, offset=features.offset, max_proposals=max_proposals
    )
    return segments if len(segments) else whole
