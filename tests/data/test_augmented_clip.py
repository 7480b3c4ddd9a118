"""Changed clips: each change alone stays within its bound, and none of them leaves the clip as is.

Channel 0 of the video is the second, channel 1 a constant, so that a clip says where it was read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gnnreloc.data import Features
from gnnreloc.data.augmented_clip import (
    Augmentation,
    augment_clip,
    every_second_row,
    warped_shares,
)
from gnnreloc.errors import InputError

STEP, ROWS = 0.5, 80
SEGMENT = (10.0, 20.0)
NOTHING = {
    **{"jitter": 0.0, "speed": 1.0, "warp": 0.0, "lost": 0.0, "noise": 0.0},
    **{"gain": 1.0, "silent": 0.0, "scene": 0.0, "thin": 0.0},
}
seeds = st.integers(0, 10**6)


def video() -> Features:
    time = (torch.arange(ROWS) + 0.5) * STEP
    return Features(torch.stack([time, torch.full_like(time, 7.0)], dim=1), STEP)


def changed(seed: int, **options: Any) -> Tensor:
    features = video()
    return augment_clip(
        np.random.default_rng(seed),
        features,
        SEGMENT,
        Augmentation(**NOTHING | options),
        mean=features.values.mean(dim=0),
        deviation=features.values.std(dim=0),
        scene=torch.tensor([100.0, 200.0]),
    ).values


def test_without_any_change_it_is_the_clip() -> None:
    torch.testing.assert_close(changed(0), video().slice(*SEGMENT).values)


@given(seeds)
def test_the_whole_is_slower_or_faster_within_bounds(seed: int) -> None:
    clip = changed(seed, speed=2.0)
    assert 10 <= len(clip) <= 40
    time = clip[:, 0]
    # Still the same seconds, from the first to the last.
    assert abs(float(time[0]) - 10.0) <= 0.55 and abs(float(time[-1]) - 20.0) <= 0.55
    assert bool((time.diff() > 0).all())


@given(seeds, st.integers(1, 60), st.floats(0.0, 2.0))
def test_warped_places_rise_within_the_clip(seed: int, rows: int, warp: float) -> None:
    places = warped_shares(np.random.default_rng(seed), rows, warp)
    assert places.shape == (rows,) and places.min() > 0.0 and places.max() < 1.0
    slopes = np.diff(places) * rows
    # A quarter is at most exp(2 warp) times as fast as another.
    assert (slopes > 0).all() and (slopes <= np.exp(2 * warp) * (1 + 1e-9)).all()


@given(seeds)
def test_ends_move_by_the_jitter_at_most(seed: int) -> None:
    time = changed(seed, jitter=0.2)[:, 0]
    assert 8.0 - STEP <= float(time[0]) <= 12.0 + STEP
    assert 18.0 - STEP <= float(time[-1]) <= 22.0 + STEP


@given(seeds)
def test_lost_rows_show_the_one_before(seed: int) -> None:
    plain, clip = changed(seed)[:, 0], changed(seed, lost=0.5)[:, 0]
    assert clip[0] == plain[0]
    for row in range(1, len(clip)):
        assert clip[row] in (plain[row], clip[row - 1])


def test_noise_is_as_strong_as_said() -> None:
    strengths = []
    for seed in range(200):
        noise = (changed(seed, noise=0.5) - changed(seed))[:, 0] / video().values[:, 0].std()
        strengths.append(float(noise.std()))
    assert max(strengths) < 0.9 and 0.15 < float(np.mean(strengths)) < 0.35
    assert torch.equal(changed(3, noise=0.5)[:, 1], changed(3)[:, 1])  # no deviation, no noise


@given(seeds)
def test_the_scene_is_exchanged_and_the_gain_is_about_the_mean(seed: int) -> None:
    mean = video().values.mean(dim=0)
    inside = changed(seed) - mean
    moved = changed(seed, scene=1.0) - torch.tensor([100.0, 200.0])
    torch.testing.assert_close(moved, inside, atol=1e-4, rtol=1e-4)
    half = changed(seed, scene=0.5) - (mean + torch.tensor([100.0, 200.0])) / 2
    torch.testing.assert_close(half, inside, atol=1e-4, rtol=1e-4)
    gain = (changed(seed, gain=1.5) - mean)[:, 0] / inside[:, 0]
    assert gain.max() - gain.min() < 1e-3 and 1 / 1.5 - 1e-4 <= float(gain[0]) <= 1.5 + 1e-4


def test_silent_channels_show_nothing_but_the_scene() -> None:
    found = 0
    for seed in range(50):
        clip = changed(seed, silent=1.0, scene=1.0)
        if bool((clip[:, 0] - 100.0).abs().max() < 1e-4):
            found += 1
        else:  # the channel is whole: it still tells the time
            assert bool((clip[:, 0].diff() > 0).all())
    assert 5 < found < 45


def test_the_default_changes_every_row() -> None:
    plain = {tuple(row) for row in video().values.tolist()}
    for seed in range(20):
        clip = changed(seed, **{name: getattr(Augmentation(), name) for name in NOTHING})
        assert not plain & {tuple(row) for row in clip.tolist()}


@given(st.integers(2, 30), st.integers(0, 1))
def test_every_second_row_keeps_its_time(rows: int, first: int) -> None:
    whole = Features(torch.arange(float(rows)).unsqueeze(1), step=0.3, offset=2.0)
    half, other = every_second_row(whole, first), every_second_row(whole, 1 - first)
    torch.testing.assert_close(half.time, whole.time[first::2])
    assert half.values.flatten().tolist() == list(range(first, rows, 2))
    assert not set(half.values.flatten().tolist()) & set(other.values.flatten().tolist())


def test_a_clip_of_less_than_a_row_at_the_end_of_the_video() -> None:
    features = video()
    clip = augment_clip(
        np.random.default_rng(0),
        features,
        (39.9, 40.0),
        Augmentation(),
        mean=features.values.mean(dim=0),
        deviation=features.values.std(dim=0),
        scene=torch.zeros(2),
    )
    assert clip.num_steps >= 1 and bool(clip.values.isfinite().all())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("jitter", 0.5),
        ("jitter", -0.1),
        ("speed", 0.9),
        ("gain", 0.0),
        ("lost", 1.1),
        ("silent", -0.1),
        ("scene", 2.0),
        ("thin", 1.5),
        ("noise", float("inf")),
        ("warp", float("nan")),
    ],
)
def test_an_option_out_of_range_is_named(option: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{option} must be from"):
        Augmentation(**{option: value})
