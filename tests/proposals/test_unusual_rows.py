"""Candidates from the features of a video alone."""

from __future__ import annotations

import torch

from gnnreloc.data import Features, temporal_iou
from gnnreloc.proposals.unusual_rows import unusual_proposals


def test_what_is_unlike_the_rest_is_among_the_first() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 16, generator=generator) * 0.1 + torch.eye(16)[0]
    for start, end, axis in ((30, 50, 1), (120, 150, 2)):
        rows[start:end] += 2 * torch.eye(16)[axis]
    proposals = unusual_proposals(Features(rows, step=0.5, offset=1.0))
    truth = torch.tensor([[16.0, 26.0], [61.0, 76.0]], dtype=torch.float64)
    assert bool((temporal_iou(proposals[:10], truth).amax(dim=0) > 0.8).all())
    assert bool((proposals[:, 0] >= 1).all() and (proposals[:, 1] <= 101).all())
    assert len(unusual_proposals(Features(rows, step=0.5), max_proposals=3)) == 3


def test_a_video_of_equal_rows_is_one_candidate() -> None:
    rows = torch.ones(8, 3)
    assert unusual_proposals(Features(rows, step=0.5)).tolist() == [[0.0, 4.0]]
    assert unusual_proposals(Features(rows[:1] * 0, step=0.5)).tolist() == [[0.0, 0.5]]
