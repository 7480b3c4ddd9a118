"""Ranked moments, and the interface of every system."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnnreloc.data import Features
from gnnreloc.errors import InputError
from gnnreloc.models import Moments, Relocalizer, create_model
from gnnreloc.models.relocalizer import require_proposals

SEGMENTS = torch.tensor([[0.0, 1.0], [2.0, 4.0], [3.0, 9.0]], dtype=torch.float64)


def test_best_first() -> None:
    moments = Moments.ranked(SEGMENTS, torch.tensor([0.5, -1.0, 2.0]))
    assert moments.segments.tolist() == [[3.0, 9.0], [0.0, 1.0], [2.0, 4.0]]
    assert moments.scores.tolist() == [2.0, 0.5, -1.0]
    assert torch.equal(moments.candidates, moments.segments)
    assert len(moments) == 3


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=1, max_size=60))
def test_equal_scores_keep_their_order(scores: list[float]) -> None:
    segments = torch.arange(2.0 * len(scores), dtype=torch.float64).view(-1, 2)
    moments = Moments.ranked(segments, torch.tensor(scores))
    order = sorted(range(len(scores)), key=lambda row: -scores[row])  # sorted() is stable
    assert moments.segments.tolist() == [segments[row].tolist() for row in order]


def test_candidates_follow_their_moments() -> None:
    moments = Moments.ranked(SEGMENTS + 0.25, torch.tensor([1.0, 3.0, 2.0]), SEGMENTS)
    assert moments.candidates.tolist() == [[2.0, 4.0], [3.0, 9.0], [0.0, 1.0]]
    assert torch.equal(moments.segments, moments.candidates + 0.25)


def test_as_tensor() -> None:
    table = Moments.ranked(SEGMENTS, torch.tensor([1.0, 2.0, 3.0])).as_tensor()
    assert table.dtype == torch.float64
    assert table.tolist() == [[3.0, 9.0, 3.0], [2.0, 4.0, 2.0], [0.0, 1.0, 1.0]]


@pytest.mark.parametrize("proposals", [None, torch.empty(0, 2)])
def test_missing_proposals(proposals: torch.Tensor | None) -> None:
    with pytest.raises(InputError, match="no proposals: there is nothing to rank"):
        require_proposals(proposals)
    assert require_proposals(SEGMENTS) is SEGMENTS


@pytest.mark.parametrize(
    ("proposals", "message"),
    [
        (torch.tensor([0.0, 1.0]), r"shape \[2\]"),
        (torch.zeros(2, 3), r"shape \[2, 3\]"),
        (torch.tensor([[0.0, 1.0], [4.0, 3.0]]), r"segment 1 .* start 4.0, end 3.0"),
        (torch.tensor([[0.0, math.nan]]), "end nan"),
        ([[0.0, 1.0]], "found list, wanted a tensor"),
    ],
)
@pytest.mark.parametrize("name", ["random_proposal", "longest_proposal", "training_free"])
def test_unusable_proposals(name: str, proposals: Any, message: str) -> None:
    video = Features(torch.ones(9, 4), step=1.0)
    with pytest.raises(InputError, match=message):
        create_model(name).localize(video, video, proposals)


def test_a_system_must_localize() -> None:
    assert Relocalizer.__abstractmethods__ == {"localize"}
