"""Actionness grouping against hand-worked curves and a snippet-by-snippet loop in fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from gnnreloc.errors import InputError
from gnnreloc.proposals import TAG_THRESHOLDS, TAG_TOLERANCES, nms_1d, tag_proposals

Range = tuple[int, int]


def grow(marked: list[bool], tolerance: Fraction) -> list[Range]:
    """Walk right from every rising edge, snippet by snippet, until too many are unmarked."""
    grown = []
    for start, is_marked in enumerate(marked):
        if not is_marked or (start > 0 and marked[start - 1]):
            continue
        end, unmarked = start, 0
        for snippet in range(start, len(marked)):
            unmarked += not marked[snippet]
            if Fraction(unmarked, snippet + 1 - start) > tolerance:
                break
            if marked[snippet]:
                end = snippet + 1
        grown.append((start, end))
    return grown


def naive_tag(
    curve: list[float], thresholds: tuple[float, ...], tolerances: tuple[float, ...]
) -> set[Range]:
    found: set[Range] = set()
    n = len(curve)
    for threshold in thresholds:
        marked = [value > threshold for value in curve]
        for tolerance in tolerances:
            share = Fraction(str(tolerance))
            found.update(grow(marked, share))
            found.update((n - end, n - start) for start, end in grow(marked[::-1], share))
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.07, 0.1, 0.3, 0.5, 0.55, 0.72, 0.9, 1.0]), min_size=1))
def test_groups_agree_with_a_snippet_by_snippet_loop(curve: list[float]) -> None:
    segments, scores = tag_proposals(curve, sigma=0.0, nms_threshold=1.0)
    found = [(int(start), int(end)) for start, end in segments.tolist()]
    assert len(found) == len(set(found)) == len(scores)
    assert set(found) == naive_tag(curve, TAG_THRESHOLDS, TAG_TOLERANCES)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.booleans(), min_size=1, max_size=60),
    st.lists(st.integers(0, 20).map(lambda part: part / 20), min_size=1, max_size=3),
)
def test_any_tolerance_counts_an_equal_share_as_within(
    marked: list[bool], tolerances: list[float]
) -> None:
    curve = [float(mark) for mark in marked]
    segments, _ = tag_proposals(
        curve, sigma=0.0, thresholds=[0.5], tolerances=tolerances, nms_threshold=1.0
    )
    found = {(int(start), int(end)) for start, end in segments.tolist()}
    assert found == naive_tag(curve, (0.5,), tuple(tolerances))


def test_growth_by_hand_in_seconds() -> None:
    # Marked runs: [0, 1), [3, 6), [7, 8). To the right: from 0 the share is 2/3 before the second
    # run, so [0, 1); from 3 it is 1/4 before the third, so [3, 8); from 7 [7, 8). To the left: from
    # 8 it is 1/2, then at most 3/7, so [0, 8); from 6 at most 2/5, so [0, 6); from 1 [0, 1).
    curve = [0.9, 0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.9]
    segments, _ = tag_proposals(
        curve,
        step=0.5,
        offset=10.0,
        sigma=0.0,
        thresholds=[0.5],
        tolerances=[0.5],
        nms_threshold=1.0,
    )
    expected = [[10.0, 10.5], [10.0, 13.0], [10.0, 14.0], [11.5, 14.0], [13.5, 14.0]]
    assert sorted(segments.tolist()) == expected
    assert segments.dtype == torch.float64


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("n", [1, 5, 300])
def test_smoothing_agrees_with_scipy(sigma: float, n: int) -> None:
    curve = np.random.default_rng(n).random(n)
    smooth = gaussian_filter1d(curve, sigma, mode="reflect", truncate=4.0)
    levels = np.linspace(0.05, 0.95, 50).tolist()
    ours, _ = tag_proposals(curve, sigma=sigma, thresholds=levels, nms_threshold=1.0)
    theirs, _ = tag_proposals(smooth, sigma=0.0, thresholds=levels, nms_threshold=1.0)
    assert sorted(ours.tolist()) == sorted(theirs.tolist())


@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.0, 3.0])
def test_a_flat_curve_does_not_rise_above_its_own_level(sigma: float) -> None:
    for level in TAG_THRESHOLDS:
        segments, _ = tag_proposals(np.full(37, level), sigma=sigma, thresholds=[level])
        assert segments.shape == (0, 2)


def test_scores_add_up_the_curve_before_smoothing() -> None:
    curve = torch.tensor([0.2, 0.7, 0.0, 1.0, 0.6, 0.3], dtype=torch.float64)
    held = [min(max(value, 0.001), 0.999) for value in curve.tolist()]
    log_odds = [math.log(value / (1.0 - value)) for value in held]
    for scoring, parts in (("logit", log_odds), ("actionness", curve.tolist())):
        segments, scores = tag_proposals(curve, sigma=1.0, nms_threshold=1.0, scoring=scoring)
        assert len(segments) > 2
        expected = [sum(parts[int(start) : int(end)]) for start, end in segments.tolist()]
        assert scores.tolist() == pytest.approx(expected)
        assert bool((scores.diff() <= 0).all())


def test_suppression_and_limits_are_those_of_nms() -> None:
    curve = np.random.default_rng(3).random(400)
    everything, scores = tag_proposals(curve, step=0.25, nms_threshold=1.0)
    keep = nms_1d(everything, scores, 0.9)
    segments, kept_scores = tag_proposals(curve, step=0.25)
    assert 0 < len(keep) < len(everything)
    assert torch.equal(segments, everything[keep]) and torch.equal(kept_scores, scores[keep])

    few, _ = tag_proposals(curve, step=0.25, max_proposals=7)
    assert torch.equal(few, segments[:7])
    long, _ = tag_proposals(curve, step=0.25, min_length=3.0, nms_threshold=1.0)
    lengths = everything[:, 1] - everything[:, 0]
    assert torch.equal(long, everything[lengths >= 3.0]) and 0 < len(long) < len(everything)


def test_min_length_keeps_a_proposal_of_exactly_that_length() -> None:
    # In floating point 3 * 0.3 is a little below 0.9.
    segments, _ = tag_proposals([0.0, 1.0, 1.0, 1.0], step=0.3, sigma=0.0, min_length=0.9)
    assert segments.tolist() == pytest.approx(np.array([[0.3, 1.2]]))


def test_reversed_time_gives_reversed_proposals() -> None:
    curve = np.random.default_rng(5).random(200)
    forward, _ = tag_proposals(curve, nms_threshold=1.0)
    backward, _ = tag_proposals(curve[::-1].copy(), nms_threshold=1.0)
    assert sorted(forward.tolist()) == sorted((200 - backward.flip(1)).tolist())


def test_array_tensor_and_list_give_the_same() -> None:
    values = [0.1, 0.8, 0.9, 0.4, 0.2, 0.7]
    by_list = tag_proposals(values)
    for other in (np.array(values), torch.tensor(values, dtype=torch.float64)):
        assert all(torch.equal(a, b) for a, b in zip(by_list, tag_proposals(other), strict=True))


@pytest.mark.parametrize(
    ("curve", "options", "culprit"),
    [
        ([], {}, "n >= 1"),
        ([[0.5]], {}, r"shape \[1, 1\]"),
        ([0.5, float("nan")], {}, "snippet 1 is nan"),
        ([0.5, 0.5, 1.2], {}, "snippet 2 is 1.2"),
        ([-0.1], {}, "snippet 0"),
        (["high"], {}, "actionness"),
        ([0.5], {"step": 0.0}, "step: 0"),
        ([0.5], {"offset": float("inf")}, "offset: inf"),
        ([0.5], {"sigma": -1.0}, "sigma: -1"),
        ([0.5], {"min_length": float("nan")}, "min_length: nan"),
        ([0.5], {"thresholds": []}, "thresholds: empty"),
        ([0.5], {"tolerances": [0.5, 2.0]}, "tolerances: 2.0"),
        ([0.5], {"nms_threshold": -0.1}, "threshold: -0.1"),
        ([0.5], {"max_proposals": 0}, "max_keep: 0"),
        ([0.5], {"scoring": "mean"}, "scoring: 'mean'"),
    ],
)
def test_bad_input_names_the_culprit(curve: Any, options: dict[str, Any], culprit: str) -> None:
    with pytest.raises(InputError, match=culprit):
        tag_proposals(curve, **options)
