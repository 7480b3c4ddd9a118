"""Sliding windows: hand-worked cases and the properties that make a cover."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gnnreloc.errors import InputError
from gnnreloc.proposals import geometric_lengths, window_proposals


def test_last_window_is_flush_with_the_end() -> None:
    windows = window_proposals(11.0, lengths=[4.0], overlap=0.5)
    assert windows.tolist() == [[0, 4], [2, 6], [4, 8], [6, 10], [7, 11]]
    assert windows.dtype == torch.float64


def test_a_stride_that_fits_but_for_rounding_adds_no_near_copy() -> None:
    # In floating point 0.3 / 0.1 is a little below 3.
    windows = window_proposals(0.4, lengths=[0.1], overlap=0.0)
    assert windows.tolist() == pytest.approx(
        torch.tensor([[0.0, 0.1], [0.1, 0.2], [0.2, 0.3], [0.3, 0.4]], dtype=torch.float64).numpy()
    )


def test_whole_video_once() -> None:
    assert window_proposals(5.0, lengths=[5.0, 7.0, 9.0]).tolist() == [[0.0, 5.0]]


def test_repeated_lengths_count_once_and_short_ones_can_be_dropped() -> None:
    once = window_proposals(9.0, lengths=[6.0, 2.0])
    assert torch.equal(window_proposals(9.0, lengths=[6.0, 2.0, 6.0, 2.0]), once)
    long = window_proposals(9.0, lengths=[6.0, 2.0], min_length=3.0)
    assert torch.equal(long, window_proposals(9.0, lengths=[6.0]))
    assert window_proposals(2.0, lengths=[6.0], min_length=3.0).shape == (0, 2)


@example(0.5000000000000001, [0.5], 0.0)
@example(0.5, [0.25, 0.25000000000000006], 0.0)
@example(1.0, [0.25, 0.25000000000000006], 0.0)
@settings(max_examples=200, deadline=None)
@given(
    st.floats(0.5, 300.0),
    st.lists(st.floats(0.25, 400.0), min_size=1, max_size=3),
    st.floats(0.0, 0.95),
)
def test_windows_cover_the_video(duration: float, lengths: list[float], overlap: float) -> None:
    windows = window_proposals(duration, lengths=lengths, overlap=overlap)
    assert bool((windows[:, 0] >= 0).all() and (windows[:, 1] <= duration).all())
    assert len({tuple(window) for window in windows.tolist()}) == len(windows)
    size = windows[:, 1] - windows[:, 0]
    distinct: list[float] = []
    for length in (min(length, duration) for length in lengths):
        if all(abs(length - other) > 1e-6 * max(length, other) for other in distinct):
            distinct.append(length)
    for length in distinct:
        of_length = windows[(size - length).abs() < 1e-9]
        assert of_length[0, 0] == 0.0 and of_length[-1, 1] == duration
        stride = of_length[:, 0].diff()
        assert bool((stride > 0).all() and (stride <= length * (1.0 - overlap) + 1e-6).all())
        assert bool((stride[:-1] - length * (1.0 - overlap)).abs().lt(1e-6).all())


@settings(max_examples=100, deadline=None)
@given(st.floats(0.01, 100.0), st.floats(1.0, 1000.0), st.integers(2, 20))
def test_geometric_lengths_keep_their_ratio(shortest: float, ratio: float, count: int) -> None:
    longest = shortest * ratio
    lengths = geometric_lengths(shortest, longest, count)
    assert len(lengths) == count
    assert (lengths[0], lengths[-1]) == (shortest, longest)
    for length, following in zip(lengths, lengths[1:], strict=False):
        assert following / length == pytest.approx(math.exp(math.log(ratio) / (count - 1)))


def test_one_geometric_length() -> None:
    assert geometric_lengths(3.0, 9.0, 1) == (3.0,)


@pytest.mark.parametrize(
    ("duration", "options", "culprit"),
    [
        (0.0, {}, "duration: 0.0"),
        (float("nan"), {}, "duration: nan"),
        (10.0, {"lengths": []}, "lengths: empty"),
        (10.0, {"lengths": [2.0, -1.0]}, "lengths: -1.0"),
        (10.0, {"lengths": [float("inf")]}, "lengths: inf"),
        (10.0, {"overlap": 1.0}, "overlap: 1.0"),
        (10.0, {"min_length": -1.0}, "min_length: -1.0"),
        (1e9, {"lengths": [1e-3]}, "at most 1000000"),
    ],
)
def test_bad_window_input_names_the_culprit(
    duration: float, options: dict[str, Any], culprit: str
) -> None:
    with pytest.raises(InputError, match=culprit):
        window_proposals(duration, **{"lengths": [2.0], **options})


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ((0.0, 4.0, 3), "shortest: 0.0"),
        ((2.0, float("inf"), 3), "longest: inf"),
        ((4.0, 2.0, 3), "longest: 2.0"),
        ((2.0, 4.0, 0), "count: 0"),
    ],
)
def test_bad_geometric_input_names_the_culprit(
    arguments: tuple[float, float, int], culprit: str
) -> None:
    with pytest.raises(InputError, match=culprit):
        geometric_lengths(*arguments)
