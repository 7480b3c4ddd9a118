"""The whole reference video."""

from __future__ import annotations

import torch
from torch import Tensor

from gnnreloc.data import Features
from gnnreloc.models import WholeReference


def test_the_moment_is_the_video(query: Features, reference: Features, proposals: Tensor) -> None:
    system = WholeReference()
    moments = system.localize(query, reference)
    assert moments.segments.tolist() == [[0.0, 10.0]]
    assert torch.equal(moments.segments, system.localize(query, reference, proposals).segments)


def test_a_video_that_starts_late_begins_at_zero(query: Features) -> None:
    late = Features(torch.zeros(4, 2), step=0.5, offset=6.0)
    assert WholeReference().localize(query, late).segments.tolist() == [[0.0, 8.0]]
