"""Features of one video: slices and resampling by hand, against numpy and against a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnreloc.data.features import (
    Features,
    ResampleMode,
    resample,
    resample_clip,
    validate_features,
    widen,
)
from gnnreloc.errors import InputError

MODES = ["linear", "nearest", "pool"]


def column(*values: float, step: float = 1.0, offset: float = 0.0) -> Features:
    """A video of one channel."""
    return Features(torch.tensor(values).unsqueeze(1), step, offset)


@st.composite
def videos(draw: st.DrawFn) -> Features:
    rows, channels = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    seed = draw(st.integers(0, 1000))
    values = torch.randn(rows, channels, generator=torch.Generator().manual_seed(seed))
    return Features(values, draw(st.floats(0.05, 3.0)), draw(st.floats(-2.0, 2.0)))


@st.composite
def segments(draw: st.DrawFn) -> torch.Tensor:
    """Segments that may lie inside a video of ``videos()``, reach beyond it or miss it."""
    pair = st.tuples(st.floats(-20.0, 40.0), st.floats(0.001, 30.0))
    pairs = draw(st.lists(pair, min_size=1, max_size=4))
    return torch.tensor([[start, start + length] for start, length in pairs], dtype=torch.float64)


def test_repr():
    assert repr(column(1, 2, step=0.5)) == "Features(2 rows x 1 channels, step=0.5 s, offset=0 s)"


def test_places_in_time():
    video = Features(torch.zeros(3, 5, dtype=torch.float16), step=2.0, offset=1.0)
    assert (video.num_steps, video.num_channels, video.duration) == (3, 5, 7.0)
    assert video.time.tolist() == [2.0, 4.0, 6.0]
    assert (video.values.dtype, video.time.dtype) == (torch.float32, torch.float64)


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        (0.0, 10.0, [0, 1, 2, 3]),
        (1.5, 3.5, [0, 1]),  # centres lie at 1.5, 2.5, 3.5, 4.5
        (1.6, 3.6, [1, 2]),
        (2.6, 3.2, [1]),  # no centre inside, the middle 2.9 is nearest to 2.5
        (9.0, 11.0, [3]),
        (-7.0, 0.5, [0]),
    ],
)
def test_slice_keeps_rows_by_their_centre(start, end, rows):
    video = Features(torch.arange(4.0).unsqueeze(1), 1.0, offset=1.0, metadata={"fps": 8})
    clip = video.slice(start, end)
    assert clip.values.flatten().tolist() == rows
    assert (clip.offset, clip.step, clip.metadata) == (0.0, 1.0, {"fps": 8})


@given(videos(), st.lists(st.floats(-5.0, 40.0), min_size=2, max_size=2, unique=True))
def test_slices_of_two_halves_share_no_row(video, cuts):
    cut, end = sorted(cuts)
    inside = (video.time >= cut) & (video.time < end)
    if inside.any():
        assert torch.equal(video.slice(cut, end).values, video.values[inside])
    else:
        assert video.slice(cut, end).num_steps == 1


@pytest.mark.parametrize("bounds", [(2.0, 2.0), (3.0, 2.0), (math.nan, 2.0), (0.0, math.inf)])
def test_slice_that_does_not_end_after_it_starts(bounds):
    with pytest.raises(InputError, match=f"start {bounds[0]}, end {bounds[1]}"):
        column(1, 2).slice(*bounds)


@pytest.mark.parametrize(
    ("values", "step", "offset", "culprit"),
    [
        (torch.zeros(3), 1.0, 0.0, r"shape \[3\]"),
        (np.zeros((3, 1)), 1.0, 0.0, "found ndarray, wanted a tensor"),
        (torch.zeros(3, 1, dtype=torch.complex64), 1.0, 0.0, "torch.complex64"),
        (torch.zeros(0, 3), 1.0, 0.0, r"shape \[0, 3\]"),
        (torch.zeros(3, 0), 1.0, 0.0, r"shape \[3, 0\]"),
        (torch.zeros(3, 1), 0.0, 0.0, "step 0.0"),
        (torch.zeros(3, 1), math.nan, 0.0, "step nan"),
        (torch.zeros(3, 1), 1.0, math.inf, "offset inf"),
    ],
)
def test_unusable_features(values, step, offset, culprit):
    with pytest.raises(InputError, match=culprit):
        Features(values, step, offset)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        # Rows 0, 10, 20, 40 with centres at 1, 3, 5, 7 s; positions 2.5, 3.5, 4.5, 5.5 s.
        ("linear", [7.5, 12.5, 17.5, 25.0]),
        ("nearest", [10.0, 10.0, 20.0, 20.0]),
        # Bins [2, 3], [3, 4], [4, 5], [5, 6] each lie in one row.
        ("pool", [10.0, 10.0, 20.0, 20.0]),
    ],
)
def test_resample_by_hand(mode, expected):
    video = column(0, 10, 20, 40, step=2.0)
    found = resample(video, torch.tensor([[2.0, 6.0]]), 4, mode)
    assert found.shape == (1, 4, 1)
    assert found.dtype == torch.float32
    assert found.flatten().tolist() == expected


def test_pool_weighs_rows_by_their_overlap():
    # Bins [0.5, 2] and [2, 3.5]: (0.5 * 0 + 1 * 3) / 1.5 and (1 * 6 + 0.5 * 30) / 1.5.
    found = resample(column(0, 3, 6, 30), torch.tensor([[0.5, 3.5]]), 2, "pool")
    torch.testing.assert_close(found.flatten(), torch.tensor([2.0, 14.0]))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("linear", [[1.0, 1.0], [1.25, 2.0]]),
        ("nearest", [[1.0, 1.0], [1.0, 2.0]]),
        # The second segment has the bins [0, 1.5] and [1.5, 3]; the video ends at 2 s.
        ("pool", [[1.0, 1.0], [4 / 3, 2.0]]),
    ],
)
def test_beyond_the_ends_the_video_stays_as_it_is_there(mode, expected):
    times = torch.tensor([[-4.0, -2.0], [0.0, 3.0]])
    found = resample(column(1, 2), times, 2, mode)
    torch.testing.assert_close(found.squeeze(-1), torch.tensor(expected))


def test_offset_moves_the_video():
    times = torch.tensor([[0.25, 3.0], [1.0, 1.5]], dtype=torch.float64)
    for mode in MODES:
        early = resample(column(1, 5, 2, 7), times, 6, mode)
        late = resample(column(1, 5, 2, 7, offset=8.0), times + 8.0, 6, mode)
        torch.testing.assert_close(early, late)


@given(videos(), segments(), st.integers(1, 9))
@settings(deadline=None)
def test_linear_equals_numpy_interp(video, times, timesteps):
    found = resample(video, times, timesteps)
    for segment, (start, end) in zip(found, times.tolist(), strict=True):
        at = start + (np.arange(timesteps) + 0.5) * (end - start) / timesteps
        for channel in range(video.num_channels):
            expected = np.interp(at, video.time.numpy(), video.values[:, channel].numpy())
            np.testing.assert_allclose(segment[:, channel].numpy(), expected, atol=1e-5)


@given(videos(), segments(), st.integers(1, 9))
@settings(deadline=None)
def test_pool_equals_a_loop_over_rows(video, times, timesteps):
    found = resample(video, times, timesteps, "pool")
    edges = [video.offset + row * video.step for row in range(video.num_steps + 1)]
    for segment, (start, end) in zip(found, times.tolist(), strict=True):
        for step, value in enumerate(segment):
            low = start + step * (end - start) / timesteps
            high = start + (step + 1) * (end - start) / timesteps
            overlap = torch.tensor(
                [
                    max(0.0, min(high, right) - max(low, left))
                    for left, right in zip(edges, edges[1:], strict=False)
                ]
            )
            if overlap.sum() < 1e-4 * video.step:  # missed the video, or nearly so
                continue
            expected = overlap @ video.values / overlap.sum()
            torch.testing.assert_close(value, expected, atol=1e-4, rtol=1e-4)


@given(videos(), segments(), st.integers(1, 9), st.sampled_from(MODES), st.floats(-9, 9))
@settings(deadline=None)
def test_constant_stays_constant(video, times, timesteps, mode, level):
    constant = Features(torch.full_like(video.values, level), video.step, video.offset)
    found = resample(constant, times, timesteps, mode)
    torch.testing.assert_close(found, torch.full_like(found, level))


@given(videos(), segments(), st.integers(1, 9), st.sampled_from(MODES))
@settings(deadline=None)
def test_values_stay_within_the_range_of_the_video(video, times, timesteps, mode):
    found = resample(video, times, timesteps, mode).flatten(0, 1)
    assert (found <= video.values.amax(0) + 1e-5).all()
    assert (found >= video.values.amin(0) - 1e-5).all()


@given(st.floats(0.1, 3.0), st.integers(2, 20), st.integers(1, 9), st.floats(-5, 5))
def test_linear_signal_is_reproduced_between_the_outer_centres(step, rows, timesteps, slope):
    ramp = torch.arange(rows, dtype=torch.float64) + 0.5
    video = Features((slope * step * ramp).unsqueeze(1), step)
    start, end = 0.5 * step, (rows - 0.5) * step
    expected = slope * (start + (torch.arange(timesteps) + 0.5) * (end - start) / timesteps)
    found = resample(video, torch.tensor([[start, end]], dtype=torch.float64), timesteps)
    torch.testing.assert_close(found.flatten(), expected, atol=1e-3, rtol=1e-5)


@given(videos(), st.integers(1, 30))
def test_pooling_the_whole_video_keeps_its_mean(video, timesteps):
    whole = torch.tensor([[video.offset, video.duration]], dtype=torch.float64)
    found = resample(video, whole, timesteps, "pool")
    torch.testing.assert_close(found.mean(1)[0], video.values.mean(0), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mode", ["nearest", "pool"])
def test_as_many_timesteps_as_rows_give_the_rows(mode):
    video = Features(torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), 0.4)
    found = resample(video, torch.tensor([[0.0, 2.8]], dtype=torch.float64), 7, mode)
    torch.testing.assert_close(found[0], video.values)


def test_pool_keeps_its_digits_late_in_a_long_video():
    rows = 200_000
    video = Features(torch.full((rows, 1), 1000.0), 0.1)
    video.values[-2:] = torch.tensor([[1.0], [3.0]])
    end = video.duration
    times = torch.tensor([[end - 0.2, end], [end - 1e-9, end]], dtype=torch.float64)
    found = resample(video, times, 2, "pool").squeeze(-1)
    torch.testing.assert_close(found, torch.tensor([[1.0, 3.0], [3.0, 3.0]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_segments_are_independent_and_may_be_none(mode):
    video = Features(torch.randn(9, 2, generator=torch.Generator().manual_seed(1)), 0.5)
    times = torch.tensor([[0.1, 2.0], [1.3, 4.5], [0.0, 0.2]], dtype=torch.float64)
    together = resample(video, times, 5, mode)
    alone = torch.cat([resample(video, one.unsqueeze(0), 5, mode) for one in times])
    assert torch.equal(together, alone)
    assert resample(video, times[:0], 5, mode).shape == (0, 5, 2)


@pytest.mark.parametrize(
    ("times", "timesteps", "mode", "culprit"),
    [
        ([[0.0, 1.0]], 0, "linear", "timesteps: found 0"),
        ([[0.0, 1.0]], 4, "cubic", "mode: found 'cubic'"),
        ([[0.0, 1.0], [2.0, 2.0]], 4, "pool", "segment 1 .*start 2.0, end 2.0"),
        ([[3.0, 1.0]], 4, "nearest", "segment 0 .*start 3.0, end 1.0"),
        ([[0.0, 1.0], [0.0, math.inf]], 4, "linear", "segment 1 .*end inf"),
        ([[math.nan, 1.0]], 4, "linear", "segment 0 .*start nan"),
        ([0.0, 1.0], 4, "linear", r"shape \[2\]"),
        ([[0.0, 1.0, 2.0]], 4, "linear", r"shape \[1, 3\]"),
    ],
)
def test_unusable_request(times, timesteps, mode, culprit):
    with pytest.raises(InputError, match=culprit):
        resample(column(1, 2, 3), torch.tensor(times), timesteps, mode)


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6, dtype=">f8").reshape(3, 2),
        np.arange(6, dtype=np.uint8).reshape(3, 2),
        np.asfortranarray(np.arange(6, dtype=np.float16).reshape(3, 2)),
        torch.arange(6).reshape(3, 2),
        torch.arange(6).reshape(3, 2).to(torch.bfloat16),
    ],
)
def test_every_numeric_type_becomes_float32(values):
    checked = validate_features(values, "v", channels=2)
    assert checked.dtype == torch.float32
    assert checked.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]


def test_read_only_array_is_copied():
    values = np.zeros((2, 2), np.float32)
    values.setflags(write=False)
    validate_features(values, "v")[0, 0] = 1.0
    assert values[0, 0] == 0.0


@pytest.mark.parametrize(
    ("values", "culprit"),
    [
        (torch.tensor([[0.0, 1.0], [0.0, math.nan]]), "row 1 .*channel 1 holds nan"),
        (np.array([[0.0, -np.inf]]), "row 0 .*channel 1 holds -inf"),
        (np.array([[0.0, 1e300]]), "channel 1 holds inf"),
        (torch.zeros(2), r"shape \[2\]"),
        (np.zeros((2, 2, 2)), r"shape \[2, 2, 2\]"),
        (np.zeros((0, 2)), "empty"),
        (torch.zeros(2, 0), "empty"),
        (torch.zeros(2, 3), "3 channels per row, wanted 2"),
        (np.array([["a", "b"]]), "type <U1"),
        (np.array([[None, 1]]), "type object"),
        (torch.ones(2, 2, dtype=torch.bool), "type torch.bool"),
        (torch.ones(2, 2, dtype=torch.complex64), "type torch.complex64"),
    ],
)
def test_unusable_values_name_the_video(values, culprit):
    with pytest.raises(InputError, match=f"video 'dance': .*{culprit}"):
        validate_features(values, "dance", channels=2)


@pytest.mark.parametrize("mode", MODES)
def test_a_clip_is_resampled_from_its_beginning_to_its_end(mode: ResampleMode) -> None:
    clip = column(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, step=0.5)
    assert resample_clip(clip, 3, mode).shape == (3, 1)
    # Three bins of two rows each; their centres lie between the rows.
    wanted = [1.0, 3.0, 5.0] if mode == "nearest" else [0.5, 2.5, 4.5]
    assert resample_clip(clip, 3, mode).flatten().tolist() == pytest.approx(wanted)


def test_widen_by_hand() -> None:
    times = torch.tensor([[2.0, 6.0], [0.0, 1.0]], dtype=torch.float64)
    assert widen(times, 0.5).tolist() == [[0.0, 8.0], [-0.5, 1.5]]
    assert times.tolist() == [[2.0, 6.0], [0.0, 1.0]]
    assert widen(times[:0], 0.5).shape == (0, 2)


@given(times=segments(), share=st.floats(0.0, 3.0))
def test_widen_keeps_the_middle(times: torch.Tensor, share: float) -> None:
    wide = widen(times, share)
    torch.testing.assert_close(wide.mean(dim=1), times.mean(dim=1))
    torch.testing.assert_close(wide.diff(dim=1), times.diff(dim=1) * (1 + 2 * share))
    assert torch.equal(widen(times, 0.0), times)
