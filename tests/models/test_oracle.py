"""The proposals by their tIoU with the truth."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gnnreloc.data import Features
from gnnreloc.data.overlap import temporal_iou
from gnnreloc.errors import InputError
from gnnreloc.models import Oracle


def test_the_nearest_truth_counts(query: Features, reference: Features, proposals: Tensor) -> None:
    system = Oracle()
    with pytest.raises(InputError, match="set `targets` first"):
        system.localize(query, reference, proposals)
    system.targets = torch.tensor([[2.0, 4.0], [4.0, 10.0]], dtype=torch.float64)
    moments = system.localize(query, reference, proposals)
    # tIoU with the nearer one: 1/3, 3/10, 1, 5/6.
    assert moments.segments.tolist() == [[2.0, 4.0], [5.0, 10.0], [1.0, 3.0], [0.0, 7.0]]
    expected = temporal_iou(moments.segments, system.targets).amax(dim=1)
    assert torch.equal(moments.scores, expected)


def test_proposals_are_needed(
    query: Features, reference: Features, no_proposals: Tensor | None
) -> None:
    with pytest.raises(InputError, match="no proposals"):
        Oracle().localize(query, reference, no_proposals)
