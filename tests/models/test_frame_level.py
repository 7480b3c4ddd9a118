"""Alignment of the query with every segment of the reference."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gnnreloc.data import Corpus, Features, evaluation_pairs
from gnnreloc.data.overlap import temporal_iou
from gnnreloc.errors import InputError
from gnnreloc.evaluation import evaluate
from gnnreloc.models.chance import Chance
from gnnreloc.models.frame_level import (
    Alignment,
    FrameLevel,
    all_segments,
    diagonal_scores,
    standing_out,
    warped_scores,
)


def planted(query: Tensor, before: int, after: int, step: float = 0.5) -> Features:
    """A video of noise that shows the query after `before` rows."""
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(before + after, query.size(1), generator=generator)
    return Features(torch.cat([noise[:before], query, noise[before:]]), step=step)


def noise(rows: int, channels: int = 16) -> Tensor:
    return torch.randn(rows, channels, generator=torch.Generator().manual_seed(4))


@given(st.integers(1, 12), st.integers(0, 999), st.sampled_from([0.1, 0.25, 1.0]))
def test_standing_out_against_slices(rows: int, seed: int, share: float) -> None:
    values = torch.randn(rows, generator=torch.Generator().manual_seed(seed))
    segments = all_segments(rows, 1, rows)
    wanted = []
    for start, end in segments.tolist():
        width = max(1, round((end - start) * share))
        around = torch.cat([values[max(0, start - width) : start], values[end : end + width]])
        inside = float(values[start:end].mean())
        wanted.append(inside - float(around.mean()) if len(around) else 0.0)
    found = standing_out(values, segments, share)
    assert torch.allclose(found, torch.tensor(wanted), atol=1e-5)


def test_contrast_prefers_the_whole_of_a_moment() -> None:
    # All rows of the moment are alike: every part of it aligns as well as the whole.
    still = torch.eye(16)[:1]
    reference = planted(still.repeat(20, 1), 30, 30)
    query = Features(still.repeat(14, 1), step=0.5)
    found = FrameLevel(contrast=0.5).localize(query, reference)
    assert found.segments[0].tolist() == [15.0, 25.0]
    plain = FrameLevel().localize(query, reference)
    assert plain.scores[0] <= 1 + 1e-6 < found.scores[0]


@pytest.mark.parametrize("alignment", ["diagonal", "dtw"])
def test_finds_a_copy_exactly(alignment: Alignment) -> None:
    action = noise(12)
    system = FrameLevel(alignment=alignment, timesteps=12)
    moments = system.localize(Features(action, step=0.5), planted(action, 20, 28))
    assert moments.segments[0].tolist() == [10.0, 16.0]
    assert moments.scores[0].item() == pytest.approx(1.0, abs=1e-6)
    assert moments.scores[1] < 0.9


def test_dtw_finds_a_warped_copy() -> None:
    action = noise(6)
    shown = action[torch.tensor([0, 1, 1, 1, 2, 3, 3, 4, 4, 5])]
    found = {}
    for alignment in ("diagonal", "dtw"):
        system = FrameLevel(alignment=alignment, timesteps=6)
        found[alignment] = system.localize(Features(action, step=0.5), planted(shown, 17, 20))
    assert found["dtw"].segments[0].tolist() == [8.5, 13.5]
    assert found["dtw"].scores[0].item() == pytest.approx(1.0, abs=1e-6)
    assert found["diagonal"].scores[0] < 0.9


@pytest.mark.parametrize("alignment", ["diagonal", "dtw"])
def test_order_in_time_matters(alignment: Alignment) -> None:
    action = noise(10)
    reference = Features(torch.cat([action.flip(0), noise(7), action]), step=1.0)
    system = FrameLevel(alignment=alignment, timesteps=10)
    moments = system.localize(Features(action, step=1.0), reference)
    assert moments.segments[0].tolist() == [17.0, 27.0]


def test_diagonal_against_numpy() -> None:
    rng = np.random.default_rng(0)
    cosines = rng.uniform(-1.0, 1.0, size=(5, 11))
    segments = all_segments(11, 1, 11)
    expected = []
    for first, last in segments.tolist():
        centres = np.arange(first, last) + 0.5
        at = first + (np.arange(5) + 0.5) * (last - first) / 5
        values = [np.interp(at[t], centres, cosines[t, first:last]) for t in range(5)]
        expected.append(np.mean(values))
    found = diagonal_scores(torch.from_numpy(cosines), segments)
    assert found.numpy() == pytest.approx(np.array(expected))


@given(st.integers(1, 5), st.integers(1, 7), st.integers(0, 100))
def test_warping_against_recursion(timesteps: int, rows: int, seed: int) -> None:
    cosines = np.random.default_rng(seed).uniform(-1.0, 1.0, size=(timesteps, rows))
    segments = all_segments(rows, 1, rows)
    assert len(segments) == rows * (rows + 1) // 2
    expected = []
    for first, last in segments.tolist():

        @functools.cache
        def best(t: int, j: int, first: int = first) -> float:
            if t < 0 or j < first:
                return -math.inf
            if (t, j) == (0, first):
                return float(2 * cosines[t, j])
            one, both = max(best(t - 1, j), best(t, j - 1)), best(t - 1, j - 1)
            return float(max(one + cosines[t, j], both + 2 * cosines[t, j]))

        expected.append(best(timesteps - 1, last - 1) / (timesteps + last - first))
    found = warped_scores(torch.from_numpy(cosines), segments)
    assert found.tolist() == pytest.approx(expected)


def test_warping_of_some_segments_alone() -> None:
    cosines = noise(6, 20).double()
    segments = all_segments(20, 4, 9)
    some = torch.tensor([30, 2, 77, 31])
    whole = warped_scores(cosines, segments)
    assert torch.allclose(warped_scores(cosines, segments[some]), whole[some])


@given(st.integers(1, 12), st.floats(0.1, 20.0), st.floats(1.0, 3.0))
def test_all_segments(rows: int, shortest: float, ratio: float) -> None:
    segments = all_segments(rows, shortest, shortest * ratio)
    lengths = (segments[:, 1] - segments[:, 0]).tolist()
    assert len(segments) == len(segments.unique(dim=0)) >= 1
    assert segments.min() >= 0 and segments.max() <= rows
    allowed = [n for n in range(1, rows + 1) if shortest <= n <= shortest * ratio]
    assert set(lengths) == set(allowed) or (not allowed and len(set(lengths)) == 1)
    assert len(segments) == sum(rows - length + 1 for length in set(lengths))


@pytest.mark.parametrize("alignment", ["diagonal", "dtw"])
def test_a_long_reference_is_averaged(alignment: Alignment) -> None:
    """Rows shown four times each are the same rows in groups of four; 3 rows are left over."""
    action = noise(12)
    short = planted(action, 20, 28)
    long = Features(short.values.repeat_interleave(4, dim=0)[:-1], step=0.125, offset=3.0)
    system = FrameLevel(alignment=alignment, timesteps=12, max_rows=60)
    moments = system.localize(Features(action, step=0.5), long)
    assert moments.segments[0].tolist() == [13.0, 19.0]
    assert moments.scores[0].item() == pytest.approx(1.0, abs=1e-5)
    assert moments.segments.max() <= long.duration == 32.875


def test_what_it_gives() -> None:
    query, reference = Features(noise(9), step=0.3), Features(noise(70, 16), step=0.3)
    system = FrameLevel()
    assert not system.ranks_proposals and system.reads_query and system.repeats == 1
    moments = system.localize(query, reference)
    proposal = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    again = system.localize(query, reference, proposal)
    assert torch.equal(moments.as_tensor(), again.as_tensor())
    assert torch.equal(moments.candidates, moments.segments)
    assert 5 <= len(moments) <= 10
    assert bool((moments.scores.diff() <= 0).all())
    assert temporal_iou(moments.segments, moments.segments).triu(1).max() <= 0.7
    lengths = moments.segments.diff(dim=1) / query.duration
    assert lengths.min() >= 0.5 and lengths.max() <= 2.0


@pytest.mark.parametrize("alignment", ["diagonal", "dtw"])
def test_rows_of_zeros(alignment: Alignment) -> None:
    dark = Features(torch.zeros(6, 3), step=1.0)
    moments = FrameLevel(alignment=alignment).localize(dark, Features(torch.zeros(20, 3), step=1.0))
    assert moments.scores.unique().tolist() == [0.0]


@pytest.mark.parametrize("alignment", ["diagonal", "dtw"])
def test_a_query_longer_than_the_reference(alignment: Alignment) -> None:
    query, reference = Features(noise(50), step=1.0), Features(noise(5), step=1.0)
    moments = FrameLevel(alignment=alignment).localize(query, reference)
    assert moments.segments.tolist() == [[0.0, 5.0]]


@pytest.mark.parametrize("alignment", ["diagonal", "dtw"])
def test_beats_chance(alignment: Alignment, tiny_corpus: Corpus) -> None:
    pairs = evaluation_pairs(tiny_corpus, "test")
    found = evaluate(FrameLevel(alignment=alignment), tiny_corpus, pairs).summary
    assert found["miou"] > evaluate(Chance(), tiny_corpus, pairs).summary["miou"] + 0.1


def test_clips_of_two_widths() -> None:
    query, reference = (Features(torch.ones(4, width), step=1.0) for width in (3, 5))
    with pytest.raises(InputError, match="query has 3 feature channels, the reference 5"):
        FrameLevel().localize(query, reference)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alignment": "straight"}, "alignment must be one of diagonal, dtw, got 'straight'"),
        ({"timesteps": 0}, "timesteps: at least 1 is needed, got 0"),
        ({"max_rows": 0}, "max_rows: at least 1"),
        ({"max_moments": 0}, "max_moments: at least 1"),
        ({"shortest": 0.0}, "shortest 0.0"),
        ({"shortest": 3.0}, "shortest 3.0 and longest 2.0"),
        ({"longest": math.inf}, "longest inf"),
        ({"longest": math.nan}, "longest nan"),
        ({"contrast": -0.5}, "contrast: wanted a number from 0, got -0.5"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrameLevel(**options)


def test_repr() -> None:
    expected = "FrameLevel(alignment=diagonal, timesteps=8, shortest=0.5, longest=2)"
    assert repr(FrameLevel(alignment="diagonal", timesteps=8)) == expected


def test_centred_is_asked_of_clips_less_the_mean_row_of_the_reference() -> None:
    torch.manual_seed(0)
    query, reference = Features(torch.randn(6, 5), 0.5), Features(torch.randn(30, 5) + 3, 0.5)
    mean = reference.values.mean(dim=0)
    found = FrameLevel(centred=True).localize(query, reference)
    wanted = FrameLevel().localize(
        Features(query.values - mean, 0.5), Features(reference.values - mean, 0.5)
    )
    assert torch.equal(found.segments, wanted.segments)
    assert torch.equal(found.scores, wanted.scores)
    plain = FrameLevel().localize(query, reference)
    assert not torch.equal(found.scores[:1], plain.scores[:1])
