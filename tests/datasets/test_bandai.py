"""References made of motion capture: the joints, the classes, the frame of the body, bad files.

The made-up clips carry their number in the height of the hips (see conftest), so that a reference
tells which clips it holds, the ones that are not annotated included.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gnnreloc.data import Corpus, PairSampler, best_overlap, evaluation_pairs
from gnnreloc.datasets import bandai
from gnnreloc.evaluation.protocol import evaluate_baselines

Array = NDArray[np.float32]
Clips = list[tuple[str, Array]]
Write = Callable[..., Path]

# The function of the same name hides the module as an attribute of its package.
module = importlib.import_module("gnnreloc.datasets.bandai")

COUNTS = {"train_videos": 20, "validation_videos": 6, "test_videos": 10}
HEIGHT = 70


@pytest.fixture(scope="module")
def corpus(bandai_root: Path) -> Corpus:
    return bandai(bandai_root, **COUNTS)


def same_corpus(one: Corpus, other: Corpus) -> bool:
    return (
        one.moments.equals(other.moments)
        and list(one.features) == list(other.features) == list(one.proposals)
        and all(torch.equal(one.features[v].values, other.features[v].values) for v in one.features)
        and all(torch.equal(one.proposals[v], other.proposals[v]) for v in one.proposals)
    )


def as_rows(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples())


def middle_row(moment: Any) -> int:
    return int((moment.start + moment.end) / 2 * 10)


def clip_numbers(corpus: Corpus) -> dict[str, NDArray[np.int64]]:
    """For every frame of every reference the clip it was taken from, read off the height."""
    known = [row for row in as_rows(corpus.moments) if row.subset != "validation"]
    found = [float(corpus.features[m.video].values[middle_row(m), HEIGHT]) for m in known]
    wanted = [float(m.clip.removeprefix("clip-").removesuffix(".bvh")) for m in known]
    slope, shift = np.polyfit(found, wanted, 1)
    np.testing.assert_allclose(slope * np.array(found) + shift, wanted, atol=0.2)
    return {
        video: np.rint(slope * corpus.features[video].values[:, HEIGHT].numpy() + shift).astype(int)
        for video in corpus.features
    }


def test_seed_decides(corpus: Corpus, bandai_root: Path) -> None:
    assert corpus.name == "bandai" and corpus.settings == {"split": 0, **COUNTS}
    assert same_corpus(corpus, bandai(bandai_root, **COUNTS))
    other = bandai(bandai_root, split=1, **COUNTS)
    assert not same_corpus(corpus, other)
    assert corpus.classes("test") != other.classes("test")


def test_classes_are_disjoint_and_frequent(corpus: Corpus) -> None:
    classes = {subset: corpus.classes(subset) for subset in ("train", "validation", "test")}
    assert {subset: len(names) for subset, names in classes.items()} == module.CLASSES
    everything = sum(classes.values(), [])
    assert sorted(everything) == [f"made-up/move-{number:02d}" for number in range(20)]


def test_a_reference_holds_each_class_once(corpus: Corpus) -> None:
    for subset, many in (("train", 6), ("validation", 2), ("test", 6)):
        by_video = corpus.subset(subset).groupby("video")["label"]
        assert (by_video.size() == many).all() and (by_video.nunique() == many).all()
        assert len(by_video) == COUNTS[f"{subset}_videos"]


def test_features_show_the_clip_that_the_moment_names(corpus: Corpus, bandai_clips: Clips) -> None:
    numbers = clip_numbers(corpus)
    for moment in as_rows(corpus.moments):
        number = int(numbers[moment.video][middle_row(moment)])
        assert moment.clip == f"clip-{number:03d}.bvh"
        assert moment.label == f"made-up/{bandai_clips[number][0]}"


def test_validation_is_filled_with_training_classes_from_other_clips(
    corpus: Corpus, bandai_clips: Clips
) -> None:
    numbers = clip_numbers(corpus)
    annotated = corpus.subset("validation")
    in_training = {int(clip[5:8]) for clip in corpus.subset("train")["clip"]}
    fillers = set()
    for video, frames in numbers.items():
        if not video.startswith("validation-"):
            continue
        # Clips last 24 frames or more, the fades 5: a number that stays is a clip.
        values, counts = np.unique(frames, return_counts=True)
        whole = {int(value) for value in values[counts >= 14]}
        own = annotated[annotated["video"] == video]["clip"]
        assert len(whole) == 6
        fillers |= whole - {int(clip[5:8]) for clip in own}
    labels = {f"made-up/{bandai_clips[number][0]}" for number in fillers}
    assert labels <= set(corpus.classes("train"))
    assert not fillers & in_training


def test_moments_tile_a_test_reference(corpus: Corpus, bandai_clips: Clips) -> None:
    for video, rows in corpus.subset("test").groupby("video"):
        duration = corpus.features[str(video)].duration
        assert rows["start"].iloc[0] == 0.0
        assert rows["start"].tolist()[1:] == rows["end"].tolist()[:-1]
        assert rows["end"].iloc[-1] == pytest.approx(duration)
        assert rows["duration"].unique() == pytest.approx(duration)
        for row in as_rows(rows):
            frames = len(bandai_clips[int(row.clip[5:8])][1])
            assert frames - 5 - 1e-6 <= 10 * (row.end - row.start) <= frames + 1e-6


def test_a_query_never_meets_its_recording(corpus: Corpus) -> None:
    sampler = PairSampler(corpus, "test")
    clips = sampler.moments.groupby("video")["clip"].agg(set)
    found = 0
    for row, moment in enumerate(as_rows(sampler.moments)):
        references = sampler.references(row)
        found += len(references)
        assert moment.video not in references
        assert all(moment.clip not in clips[reference] for reference in references)
    repeated = sampler.moments["clip"].duplicated().sum()
    assert found > 0 and repeated > 0


def test_features_are_scaled_by_the_training_references(corpus: Corpus) -> None:
    train = torch.cat([corpus.features[v].values for v in corpus.features if v[:5] == "train"])
    assert train.shape[1] == corpus.num_channels == 139
    torch.testing.assert_close(train.mean(0), torch.zeros(139), atol=1e-3, rtol=0.0)
    spread = train.std(0)
    moving = (
        spread > 0.1
    )  # the made-up hips stay in their place, which leaves channels without spread
    assert moving.sum() >= 130 and (spread[moving] - 1).abs().max() < 0.1
    assert corpus.features["test-0000"].step == 0.1


def test_place_and_heading_do_not_matter(
    corpus: Corpus, bandai_clips: Clips, write_bandai: Write, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    turned: Clips = []
    for label, joints in bandai_clips:
        angle = rng.uniform(0, 2 * np.pi)
        c, s = np.cos(angle), np.sin(angle)
        about_vertical = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
        shift = np.array([rng.normal(), 0.0, rng.normal()])
        turned.append((label, (joints @ about_vertical.T + shift).astype(np.float32)))
    moved = bandai(write_bandai(tmp_path, turned), **COUNTS)
    pd.testing.assert_frame_equal(moved.moments, corpus.moments)
    for video in corpus.features:
        torch.testing.assert_close(
            moved.features[video].values, corpus.features[video].values, atol=5e-3, rtol=1e-3
        )


def steps_at_joints_and_elsewhere(corpus: Corpus) -> tuple[Array, Array]:
    """Distances of the pose from frame to frame, within 0.3 s of a joint and farther from it."""
    at, elsewhere = [], []
    for video, rows in corpus.subset("test").groupby("video"):
        pose = corpus.features[str(video)].values[:, :66]
        steps = (pose[1:] - pose[:-1]).norm(dim=1).numpy()
        place = (np.arange(len(steps)) + 1) / 10
        joints = rows["start"].to_numpy()[1:]
        near = (abs(place[:, None] - joints) <= 0.3 + 1e-9).any(axis=1)
        at.append(steps[near])
        elsewhere.append(steps[~near])
    return np.concatenate(at), np.concatenate(elsewhere)


def test_no_jump_betrays_a_joint(
    corpus: Corpus, bandai_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, elsewhere = steps_at_joints_and_elsewhere(corpus)
    # Between two poses that have nothing in common the body moves faster, but does not leap.
    assert at.max() < 2.0 * elsewhere.max()
    monkeypatch.setattr(module, "CROSS_FADE_FRAMES", 1)
    hard, _ = steps_at_joints_and_elsewhere(bandai(bandai_root, **COUNTS))
    assert hard.max() > 1.5 * at.max()


lengths = st.lists(st.integers(2, 30), min_size=1, max_size=6)


@settings(max_examples=100, deadline=None)
@given(lengths, st.integers(0, 99))
def test_joined_clips(frames: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    clips = [
        (rng.normal(size=3) * 5 + rng.normal(size=(n, 3)).cumsum(0)).astype(np.float32)
        for n in frames
    ]
    joined, bounds = module._join(clips)
    fades = [min(module.CROSS_FADE_FRAMES, a // 2, b // 2) for a, b in pairwise(frames)]
    assert len(joined) == sum(frames) - sum(fades)

    assert bounds[0][0] == 0.0 and bounds[-1][1] == pytest.approx(len(joined) / 10)
    assert [end for _, end in bounds[:-1]] == [start for start, _ in bounds[1:]]
    fades = [0, *fades, 0]
    for n, (before, after), (start, end) in zip(frames, pairwise(fades), bounds, strict=True):
        assert 10 * (end - start) == pytest.approx(n - (before + after) / 2)
        assert 10 * (end - start) >= n / 2 - 1e-9

    # Outside the fades the frames are those of the clips.
    at = 0
    for clip, (before, after) in zip(clips, pairwise(fades), strict=True):
        inside = slice(at + before, at + len(clip) - after)
        np.testing.assert_array_equal(joined[inside], clip[before : len(clip) - after])
        at += len(clip) - after

    # A step within a fade is a mixture of both clips' steps and a share of their distance.
    step = max(np.linalg.norm(np.diff(clip, axis=0), axis=1).max() for clip in clips)
    leap = max(
        (
            np.linalg.norm(a[len(a) - fade :] - b[:fade], axis=1).max() / fade
            for (a, b), fade in zip(pairwise(clips), fades[1:-1], strict=True)
        ),
        default=0.0,
    )
    assert np.linalg.norm(np.diff(joined, axis=0), axis=1).max() <= step + leap + 1e-4


def test_the_shortest_clips_work(write_bandai: Write, tmp_path: Path, bandai_clips: Clips) -> None:
    short = [
        (label, joints[: 2 + number % 3]) for number, (label, joints) in enumerate(bandai_clips)
    ]
    corpus = bandai(write_bandai(tmp_path, short), **COUNTS)
    assert (corpus.moments["end"] - corpus.moments["start"]).min() >= 0.1 - 1e-9


def test_candidates_lie_in_the_video_and_cover_the_moments(corpus: Corpus) -> None:
    for video, features in corpus.features.items():
        windows = corpus.proposals[video]
        assert 0.0 <= windows.min() and windows.max() <= features.duration + 1e-9
    pairs = evaluation_pairs(corpus, "test")
    covered = [best_overlap(corpus.proposals[p.reference], p.targets).max() > 0.5 for p in pairs]
    assert np.mean(covered) >= 0.9


def test_real_data(real_data: Callable[[str], Path]) -> None:
    corpus = bandai(real_data("bandai_mocap"), train_videos=6, validation_videos=4, test_videos=40)
    assert len(corpus.classes("test")) == 6 and len(corpus.classes("validation")) == 2
    assert set(corpus.classes("train")) & set(corpus.classes("test")) == set()
    rows = evaluate_baselines(corpus, evaluation_pairs(corpus, "test", queries=50))
    at_half = {name: row["r1"]["0.5"] for name, row in rows.items()}
    assert at_half["oracle"] >= 0.9
    assert at_half["chance"] < 0.15 and at_half["random_proposal"] < 0.15
    assert at_half["random_proposal"] + 0.05 < at_half["training_free"] < at_half["oracle"] - 0.2
