"""tIoU against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnreloc.data.overlap import best_overlap, temporal_iou
from gnnreloc.errors import InputError

eighths = st.tuples(st.integers(0, 80), st.integers(0, 80)).map(
    lambda pair: (min(pair) / 8, max(pair) / 8)
)
seconds = st.floats(0.0, 1e4)
real_segments = st.tuples(seconds, seconds).map(lambda pair: (min(pair), max(pair)))


def exact_iou(a: tuple[float, float], b: tuple[float, float]) -> Fraction:
    (a_start, a_end), (b_start, b_end) = map(Fraction, a), map(Fraction, b)
    inside = max(Fraction(0), min(a_end, b_end) - max(a_start, b_start))
    union = (a_end - a_start) + (b_end - b_start) - inside
    return inside / union if union else Fraction(0)


def as_tensor(segments: list[tuple[float, float]]) -> Tensor:
    return torch.tensor(segments, dtype=torch.float64).reshape(-1, 2)


@settings(max_examples=200, deadline=None)
@given(st.lists(eighths, max_size=5), st.lists(eighths, max_size=5))
def test_tiou_is_the_correctly_rounded_fraction(
    a: list[tuple[float, float]], b: list[tuple[float, float]]
) -> None:
    overlaps = temporal_iou(as_tensor(a), as_tensor(b))
    assert overlaps.shape == (len(a), len(b)) and overlaps.dtype == torch.float64
    assert overlaps.tolist() == [[float(exact_iou(one, other)) for other in b] for one in a]


@settings(max_examples=200, deadline=None)
@given(real_segments, real_segments)
def test_tiou_of_arbitrary_seconds(a: tuple[float, float], b: tuple[float, float]) -> None:
    overlap = temporal_iou(as_tensor([a]), as_tensor([b])).item()
    assert 0.0 <= overlap <= 1.0
    assert overlap == pytest.approx(float(exact_iou(a, b)), rel=1e-14, abs=0.0)
    assert overlap == temporal_iou(as_tensor([b]), as_tensor([a])).item()


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((2.0, 5.0), (2.0, 5.0), 1.0),
        ((0.1, 0.7), (0.1, 0.7), 1.0),
        ((0.0, 2.0), (2.0, 5.0), 0.0),
        ((0.0, 1.0), (3.0, 5.0), 0.0),
        ((0.0, 10.0), (2.0, 4.0), 0.2),
        ((3.0, 3.0), (3.0, 3.0), 0.0),
        ((3.0, 3.0), (0.0, 9.0), 0.0),
        ((6.0, 4.0), (0.0, 9.0), 0.0),
        ((6.0, 4.0), (6.0, 4.0), 0.0),
    ],
    ids=["same", "same inexact", "touching", "apart", "inside", "points", "point", "back", "backs"],
)
def test_tiou_edge_cases(a: tuple[float, float], b: tuple[float, float], expected: float) -> None:
    assert temporal_iou(as_tensor([a]), as_tensor([b])).item() == expected


def test_tiou_of_single_precision_is_computed_in_double() -> None:
    a = torch.tensor([[0.1, 0.7]], dtype=torch.float32)
    b = torch.tensor([[0.3, 0.9]], dtype=torch.float32)
    assert torch.equal(temporal_iou(a, b), temporal_iou(a.double(), b.double()))


@settings(max_examples=100, deadline=None)
@given(st.lists(eighths, max_size=6), st.lists(eighths, max_size=4))
def test_best_overlap_credits_any_instance(
    predictions: list[tuple[float, float]], targets: list[tuple[float, float]]
) -> None:
    expected = [max((float(exact_iou(p, t)) for t in targets), default=0.0) for p in predictions]
    assert best_overlap(as_tensor(predictions), as_tensor(targets)).tolist() == expected


@pytest.mark.parametrize(
    ("segments", "culprit"),
    [
        (torch.zeros(3), r"shape \[3\]"),
        (torch.zeros(1, 3), r"shape \[1, 3\]"),
        (torch.tensor([[0.0, 1.0], [0.0, float("nan")]]), "row 1"),
    ],
)
def test_bad_segments_name_the_culprit(segments: Tensor, culprit: str) -> None:
    with pytest.raises(InputError, match=f"a: .*{culprit}"):
        temporal_iou(segments, torch.zeros(1, 2))
    with pytest.raises(InputError, match=f"b: .*{culprit}"):
        temporal_iou(torch.zeros(1, 2), segments)
