"""Greedy suppression against a plain loop in exact fractions, and by its defining properties."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnreloc.errors import InputError
from gnnreloc.proposals import nms_1d

Segment = tuple[int, int]
segment_lists = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 12), st.integers(-4, 4)), max_size=25
).map(lambda rows: [((start, start + length), score) for start, length, score in rows])


def exact_iou(a: Segment, b: Segment) -> Fraction:
    inside = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    union = (a[1] - a[0]) + (b[1] - b[0]) - inside
    return Fraction(inside, union) if union else Fraction(0)


def naive_nms(
    segments: list[Segment], scores: list[int], threshold: Fraction, most: int | None
) -> list[int]:
    keep: list[int] = []
    for i in sorted(range(len(segments)), key=lambda i: (-scores[i], i)):
        if all(exact_iou(segments[i], segments[j]) <= threshold for j in keep):
            keep.append(i)
    return keep[:most]


def as_tensors(rows: list[tuple[Segment, int]]) -> tuple[Tensor, Tensor]:
    segments = torch.tensor([segment for segment, _ in rows], dtype=torch.float64).reshape(-1, 2)
    return segments, torch.tensor([score for _, score in rows], dtype=torch.float64)


@settings(max_examples=300, deadline=None)
@given(
    segment_lists,
    st.sampled_from(["0", "0.1", "0.25", "0.3", "0.5", "0.7", "0.9", "1"]),
    st.one_of(st.none(), st.integers(1, 5)),
)
def test_agrees_with_a_plain_loop_in_fractions(
    rows: list[tuple[Segment, int]], threshold: str, most: int | None
) -> None:
    expected = naive_nms([r[0] for r in rows], [r[1] for r in rows], Fraction(threshold), most)
    assert nms_1d(*as_tensors(rows), float(threshold), most).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(segment_lists, st.floats(-50.0, 50.0), st.sampled_from([0.125, 0.5, 2.0, 64.0]))
def test_unit_and_origin_of_time_do_not_matter(
    rows: list[tuple[Segment, int]], shift: float, scale: float
) -> None:
    segments, scores = as_tensors(rows)
    # 0.487 is no ratio of small integers, so rounding in the shifted times decides nothing.
    moved = nms_1d(segments * scale + shift, scores, 0.487)
    assert torch.equal(moved, nms_1d(segments, scores, 0.487))


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.9])
def test_many_segments_kept_apart_and_dropped_for_a_reason(threshold: float) -> None:
    generator = torch.Generator().manual_seed(0)
    start = 1000.0 * torch.rand(6000, generator=generator, dtype=torch.float64)
    length = 0.1 + 30.0 * torch.rand(6000, generator=generator, dtype=torch.float64)
    segments = torch.stack((start, start + length), dim=1)
    scores = torch.rand(6000, generator=generator, dtype=torch.float64)

    keep = nms_1d(segments, scores, threshold)
    assert bool((scores[keep].diff() <= 0).all())
    assert 0 < len(keep) < 6000
    kept = torch.zeros(6000, dtype=torch.bool).index_fill_(0, keep, True)
    for block in torch.arange(6000).split(1000):
        lower = torch.maximum(start[block, None], start[keep])
        upper = torch.minimum(segments[block, 1:], segments[keep, 1])
        inside = (upper - lower).clamp(min=0)
        overlap = inside / (length[block, None] + length[keep] - inside)
        better = scores[keep] > scores[block, None]
        # A segment is dropped if and only if a better one that was kept overlaps it too much.
        assert torch.equal(((overlap > threshold) & better).any(dim=1), ~kept[block])


def test_equal_scores_keep_the_lower_position() -> None:
    segments = torch.tensor([[0.0, 4.0], [0.0, 4.0], [8.0, 9.0]])
    assert nms_1d(segments, torch.ones(3), 0.5).tolist() == [0, 2]


def test_suppression_is_strict() -> None:
    segments = torch.tensor([[0.0, 4.0], [0.0, 2.0]])
    scores = torch.tensor([1.0, 0.0])
    assert nms_1d(segments, scores, 0.5).tolist() == [0, 1]
    assert nms_1d(segments, scores, 0.499).tolist() == [0]


def test_no_segments() -> None:
    keep = nms_1d(torch.empty(0, 2), torch.empty(0), 0.5)
    assert keep.shape == (0,) and keep.dtype == torch.int64


@pytest.mark.parametrize(
    ("segments", "scores", "options", "culprit"),
    [
        ([[0.0, 1.0, 2.0]], [1.0], {}, "shape"),
        ([[0.0, 1.0]], [1.0, 2.0], {}, r"wanted \[1\]"),
        ([[0.0, 1.0], [3.0, 2.0]], [1.0, 2.0], {}, "row 1"),
        ([[0.0, float("nan")]], [1.0], {}, "row 0"),
        ([[0.0, 1.0], [0.0, 1.0]], [1.0, float("nan")], {}, "scores: row 1"),
        ([[0.0, 1.0]], [1.0], {"threshold": 1.5}, "threshold: 1.5"),
        ([[0.0, 1.0]], [1.0], {"max_keep": 0}, "max_keep: 0"),
    ],
)
def test_bad_input_names_the_culprit(
    segments: list[list[float]], scores: list[float], options: dict[str, float], culprit: str
) -> None:
    arguments = {"threshold": 0.5, **options}
    with pytest.raises(InputError, match=culprit):
        nms_1d(torch.tensor(segments), torch.tensor(scores), **arguments)
