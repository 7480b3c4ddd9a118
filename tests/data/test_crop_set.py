"""Crops to be found again: targets, other videos, determinism, no label read, no row in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from gnnreloc.data import Corpus, CropSet, Features, InMemoryFeatureStore
from gnnreloc.data.augmented_clip import Augmentation
from gnnreloc.errors import InputError

STEP, DURATION = 0.5, 40.0
#: Only the place in time is changed: channel 1 of the toy features still tells the second.
READABLE = Augmentation(noise=0.0, gain=1.0, silent=0.0, scene=0.0, lost=0.0, thin=0.0)


def crop_set(corpus: Corpus, **options: Any) -> CropSet:
    return CropSet(corpus, **({"timesteps": 6, "samples": 8, "list_length": 12} | options))


def overlap_of(segment: Sequence[float], target: Sequence[float]) -> float:
    (low, high), (start, end) = segment, target
    shared = max(0.0, min(high, end) - max(low, start))
    return shared / (high - low + end - start - shared)


def same(one: list[Data], other: list[Data]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.x, b.x) and torch.equal(a.segment, b.segment)
        for a, b in zip(one, other, strict=True)
    )


def test_targets_and_overlaps_are_those_of_the_crop(corpus: Corpus) -> None:
    crops = crop_set(corpus, augmentation=READABLE)
    for index in range(len(crops)):
        crop = crops.draw(np.random.default_rng([crops.seed, 0, index]))
        graphs = crops[index]
        own, elsewhere = graphs[:9], graphs[9:]
        assert len(elsewhere) == 3 and all(torch.equal(g.x[:6], graphs[0].x[:6]) for g in graphs)
        for graph in graphs:
            assert float(graph.query_duration) == pytest.approx(crop.query.duration)
        for graph in own:
            assert graph.target[0].tolist() == list(crop.query_segment)
            wanted = overlap_of(graph.segment[0].tolist(), crop.query_segment)
            assert float(graph.overlap) == pytest.approx(wanted, abs=1e-6)
        for graph in elsewhere:
            assert float(graph.overlap) == 0.0 and bool(graph.target.isnan().all())
        videos = sorted(corpus.moments["video"].unique())
        shown = [videos[int(graph.x[6:, 0].mean().round())] for graph in graphs]
        assert set(shown[:9]) == {crop.reference} and set(shown[9:]) == {crop.scene}
        assert crop.scene != crop.reference == crop.query_video


def test_the_best_candidate_is_in_the_list_and_others_too(corpus: Corpus) -> None:
    crops = crop_set(corpus, samples=30)
    for index in range(len(crops)):
        crop = crops.draw(np.random.default_rng([crops.seed, 0, index]))
        proposals = corpus.proposals[crop.reference].tolist()
        best = max(overlap_of(segment, crop.query_segment) for segment in proposals)
        found = [float(graph.overlap) for graph in crops[index]]
        # The crop is a candidate with its ends moved by a fifth of its length at most.
        assert best >= 0.55 and max(found) == pytest.approx(best, abs=1e-6)
        assert sum(overlap >= 0.5 for overlap in found) <= 3


def test_the_query_shows_the_seconds_of_the_crop(corpus: Corpus) -> None:
    crops = crop_set(corpus, augmentation=READABLE)
    for index in range(20):
        crop = crops.draw(np.random.default_rng(index))
        start, end = crop.query_segment
        assert 0.0 <= start < end <= DURATION
        length, seconds = end - start, crop.query.values[:, 1]
        assert start - 0.1 * length - STEP <= float(seconds[0]) <= start + 0.1 * length + STEP
        assert end - 0.1 * length - STEP <= float(seconds[-1]) <= end + 0.1 * length + STEP
        ratio = crop.query.duration / length
        slack = STEP / length
        assert 0.8 / 1.6 - slack <= ratio <= 1.2 * 1.6 + slack


def test_seed_epoch_and_number_decide(corpus: Corpus) -> None:
    options: dict[str, Any] = {"composite": 0.5, "context": 0.25}
    first = crop_set(corpus, **options)
    samples = [first[index] for index in range(8)]
    again = crop_set(corpus, **options)
    assert all(same(samples[index], again[index]) for index in reversed(range(8)))
    again.epoch = 1
    other = crop_set(corpus, **options, seed=1)
    for others in (again, other):
        assert not any(same(samples[index], others[index]) for index in range(8))


def test_no_label_is_read(corpus: Corpus) -> None:
    moments = corpus.moments
    training = moments["subset"] == "train"
    blind = moments.assign(
        label=np.where(training, "?", moments["label"]),
        start=np.where(training, 0.0, moments["start"]),
        end=np.where(training, DURATION, moments["end"]),
    ).drop_duplicates(["video", "start", "end", "label"], ignore_index=True)
    hidden = replace(corpus, moments=blind)
    seen, unseen = crop_set(corpus, composite=0.5), crop_set(hidden, composite=0.5)
    assert all(same(seen[index], unseen[index]) for index in range(8))


def test_only_videos_of_the_subset_are_shown(corpus: Corpus) -> None:
    crops = crop_set(corpus, subset="train")
    held_back = set(corpus.moments.loc[corpus.moments["subset"] != "train", "video"])
    drawn = [crops.draw(np.random.default_rng(seed)) for seed in range(200)]
    shown = {video for crop in drawn for video in (crop.reference, crop.scene)}
    assert shown == set(corpus.subset("train")["video"]) and not shown & held_back


def test_thinned_queries_share_no_row_with_the_reference(corpus: Corpus) -> None:
    crops = crop_set(corpus, augmentation=replace(READABLE, thin=1.0, warp=0.0, speed=1.0))
    for seed in range(20):
        crop = crops.draw(np.random.default_rng(seed))
        assert crop.half in (0, 1)
        # Rows of the reference are every second one: its seconds differ by two steps.
        torch.testing.assert_close(crop.seen.values[:, 1].double(), crop.seen.time)
        assert crop.seen.step == crop.query.step == 2 * STEP
        whole = set(corpus.features[crop.reference].values[:, 1].tolist())
        rows = set(crop.seen.values[:, 1].tolist())
        assert rows < whole and len(rows) == len(whole) // 2
    assert crop_set(corpus, augmentation=READABLE).draw(np.random.default_rng(0)).half is None


def test_the_query_wears_the_scene_of_the_video_elsewhere(corpus: Corpus) -> None:
    """Channel 0, the number of the video, is its scene: the query's is that of the other video."""
    crops = crop_set(corpus, augmentation=replace(READABLE, scene=1.0))
    videos = sorted(corpus.moments["video"].unique())
    for seed in range(10):
        crop = crops.draw(np.random.default_rng(seed))
        assert bool((crop.query.values[:, 0] - videos.index(crop.scene)).abs().max() < 1e-4)


def test_composite_lists_mix_two_crops_in_query_and_candidates(corpus: Corpus) -> None:
    wide = {
        video: Features(features.values[:, :1].expand(-1, 20).clone(), STEP)
        for video, features in corpus.features.items()
    }
    wide_corpus = replace(corpus, features=InMemoryFeatureStore(wide))
    crops = crop_set(wide_corpus, composite=1.0, augmentation=READABLE, samples=20)
    for index in range(20):
        graphs = crops[index]
        numbers = graphs[0].x[:6].round().unique(dim=0)
        assert len(numbers) == 1 and len(numbers.unique()) == 2
        # The same channels show the same other video in every candidate of the crop's video.
        for graph in graphs[:9]:
            assert torch.equal(graph.x[6:].round().unique(dim=0), numbers)


def test_crops_are_neither_tiny_nor_whole_videos(
    moments: pd.DataFrame, build_corpus: Callable[..., Corpus]
) -> None:
    odd = torch.tensor([[0.0, 40.0], [3.0, 3.6], [10.0, 20.0]], dtype=torch.float64)
    corpus = build_corpus(moments, proposals={video: odd for video in moments["video"].unique()})
    crops = crop_set(corpus)
    for seed in range(30):
        start, end = crops.draw(np.random.default_rng(seed)).query_segment
        assert 8.0 <= start <= 12.0 and 18.0 <= end <= 22.0
    only = {video: odd[:1] for video in moments["video"].unique()}
    crops = crop_set(build_corpus(moments, proposals=only))
    start, end = crops.draw(np.random.default_rng(0)).query_segment
    assert end - start >= 24.0 and len(crops[0]) == 4  # the one there is, and three elsewhere


def test_workers_give_the_same_batches(corpus: Corpus) -> None:
    crops = crop_set(corpus, composite=0.5)
    plain = list(DataLoader(crops, batch_size=4))
    with_workers = list(DataLoader(crops, batch_size=4, num_workers=1))
    for one, other in zip(plain, with_workers, strict=True):
        assert torch.equal(one.x, other.x) and torch.equal(one.pair, other.pair)
    assert plain[0].pair.unique().tolist() == [0, 1, 2, 3]


def test_bad_options_and_too_few_videos_are_named(
    corpus: Corpus, moments: pd.DataFrame, build_corpus: Callable[..., Corpus]
) -> None:
    for option, value in (("samples", 0), ("list_length", 1), ("composite", 2.0), ("seed", -1)):
        with pytest.raises(InputError, match=option):
            crop_set(corpus, **{option: value})
    single = build_corpus(moments[moments["video"] == "a"])
    with pytest.raises(InputError, match="toy: crops .* at least 2 in subset 'train', found 1"):
        crop_set(single)
