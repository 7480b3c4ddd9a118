"""Training samples: what is in them, and that seed, epoch and number alone decide it.

Channel 0 of the toy features is the number of the video, channel 1 the second (see conftest), so a
graph says where its clips were cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from gnnreloc.data import Corpus, Features, InMemoryFeatureStore, Pair, TrainingSet
from gnnreloc.data.features import resample, widen
from gnnreloc.data.training_set import channel_block, part_of_pair
from gnnreloc.errors import InputError

Build = Callable[..., Corpus]
TIMESTEPS = 5


def training_set(corpus: Corpus, **options: Any) -> TrainingSet:
    return TrainingSet(corpus, **({"timesteps": TIMESTEPS, "samples": 12} | options))


def samples_of(training: TrainingSet) -> list[list[Data]]:
    return [training[index] for index in range(len(training))]


def same(one: Data, other: Data) -> bool:
    names = sorted(one.keys())
    return names == sorted(other.keys()) and all(
        torch.equal(
            torch.as_tensor(one[name]).nan_to_num(), torch.as_tensor(other[name]).nan_to_num()
        )
        for name in names
    )


def all_same(some: Sequence[Data], others: Sequence[Data]) -> bool:
    return len(some) == len(others) and all(map(same, some, others))


def place(clip: Tensor, moments: pd.DataFrame) -> tuple[str, Tensor]:
    """The video that a clip was cut from, and the seconds of its timesteps."""
    assert len(clip[:, 0].unique()) == 1
    return sorted(moments["video"].unique())[int(clip[0, 0])], clip[:, 1]


def query_moment(graph: Data, moments: pd.DataFrame) -> pd.Series:
    """The annotated moment that the query of a graph shows."""
    video, time = place(graph.x[graph.is_query], moments)
    middle = time.mean().item()
    inside = (moments["start"] < middle) & (middle < moments["end"])
    found = moments[(moments["video"] == video) & inside]
    assert len(found) == 1
    moment = found.iloc[0]
    # Linear in time: T equal bins, but for the half row at either end that has no neighbour.
    wanted = torch.linspace(moment["start"], moment["end"], 2 * TIMESTEPS + 1)[1::2]
    torch.testing.assert_close(time[1:-1], wanted[1:-1].float())
    return moment


def proposal_video(graph: Data, moments: pd.DataFrame) -> str:
    """The video of the proposal of a graph, whose timesteps must lie as its segment says."""
    video, time = place(graph.x[~graph.is_query], moments)
    start, end = graph.segment[0].tolist()
    wanted = torch.linspace(start, end, 2 * TIMESTEPS + 1)[1::2]
    torch.testing.assert_close(time, wanted.clamp(0.25, 39.75))
    return video


def moments_of(moments: pd.DataFrame, video: str, label: str) -> pd.DataFrame:
    return moments[(moments["video"] == video) & (moments["label"] == label)]


def overlap_of(segment: Tensor, start: float, end: float) -> float:
    """Temporal IoU in plain arithmetic."""
    low, high = map(float, segment.flatten())
    shared = max(0.0, min(high, end) - max(low, start))
    return shared / (high - low + end - start - shared)


def overlaps_with(segment: Tensor, moments: pd.DataFrame) -> list[float]:
    return [
        overlap_of(segment, start, end)
        for start, end in zip(moments["start"], moments["end"], strict=True)
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"sampling": "lists"},
        {"sampling": "triplets"},
        {"composite": 0.5, "partial": 0.5, "context": 0.25},
    ],
)
def test_seed_epoch_and_number_decide(corpus: Corpus, options: dict[str, Any]) -> None:
    first = samples_of(training_set(corpus, **options, seed=3))
    again = training_set(corpus, **options, seed=3)
    backwards = [again[index] for index in reversed(range(len(again)))][::-1]
    assert all(map(all_same, first, backwards))

    other_seed = samples_of(training_set(corpus, **options, seed=4))
    again.epoch = 1
    other_epoch = samples_of(again)
    for others in (other_seed, other_epoch):
        assert sum(map(all_same, first, others)) < len(first) // 2
    again.epoch = 0
    assert all(map(all_same, first, samples_of(again)))


def test_samples_of_an_epoch_differ(corpus: Corpus) -> None:
    samples = samples_of(training_set(corpus))
    assert not any(all_same(one, other) for one, other in pairwise(samples))


# From Python 3.12 on, forking a process that has threads is a warning.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_and_batch_size_change_nothing(corpus: Corpus) -> None:
    training = training_set(corpus, list_length=6)
    training.epoch = 2
    expected = [graph for sample in samples_of(training) for graph in sample]
    for workers, batch_size in ((0, 1), (0, 5), (2, 4)):
        loader = DataLoader(training, batch_size=batch_size, num_workers=workers)
        graphs = [graph for batch in loader for graph in batch.to_data_list()]
        assert all_same(graphs, expected), (workers, batch_size)


def test_a_batch_as_documented(corpus: Corpus) -> None:
    training = training_set(corpus, list_length=6)
    batches = list(DataLoader(training, batch_size=3))
    assert len(batches) == 4
    for number, batch in enumerate(batches):
        graphs, nodes = batch.num_graphs, batch.num_graphs * 2 * TIMESTEPS
        assert isinstance(batch, Batch) and graphs == 18
        assert batch.x.shape == (nodes, 2)
        assert batch.time.shape == batch.is_query.shape == batch.batch.shape == (nodes,)
        assert batch.segment.shape == batch.target.shape == (graphs, 2)
        assert batch.overlap.shape == batch.pair.shape == (graphs,)
        samples = [training[3 * number + place] for place in range(3)]
        flat = [graph for sample in samples for graph in sample]
        for name in ("x", "time", "is_query", "segment", "target", "overlap", "pair"):
            assert torch.equal(batch[name], torch.cat([graph[name] for graph in flat])), name
        assert batch.pair.unique_consecutive().tolist() == [3 * number + i for i in range(3)]


def test_a_list_ranks_the_proposals_of_one_reference(corpus: Corpus, moments: pd.DataFrame) -> None:
    for graphs in samples_of(training_set(corpus, list_length=12, samples=30)):
        query = query_moment(graphs[0], moments)
        reference = proposal_video(graphs[0], moments)
        assert reference != query["video"]
        targets = moments_of(moments, reference, query["label"])
        segments = [tuple(graph.segment.flatten().tolist()) for graph in graphs]
        candidates = {tuple(row): 0 for row in corpus.proposals[reference].tolist()}
        assert len(set(segments)) == len(graphs) == 12 and set(segments) <= set(candidates)

        best_of_all = max(
            max(overlaps_with(torch.tensor(candidate), targets)) for candidate in candidates
        )
        assert graphs[0].overlap.item() == pytest.approx(best_of_all)
        for graph in graphs:
            assert query_moment(graph, moments)["start"] == query["start"]
            assert proposal_video(graph, moments) == reference
            overlaps = overlaps_with(graph.segment, targets)
            assert graph.overlap.item() == pytest.approx(max(overlaps))
            row = overlaps.index(max(overlaps))
            assert graph.target.flatten().tolist() == targets[["start", "end"]].iloc[row].tolist()
        good = [graph.overlap.item() >= 0.5 for graph in graphs]
        # After the best ones, the rest may hold good proposals that the quarter had no room for.
        assert all(later <= earlier for earlier, later in pairwise(good[:3]))


def test_a_list_holds_bad_proposals_for_the_most_part(corpus: Corpus) -> None:
    overlaps = torch.cat(
        [
            torch.cat([graph.overlap for graph in graphs])
            for graphs in samples_of(training_set(corpus, list_length=12, samples=30))
        ]
    )
    assert (overlaps < 0.3).double().mean() > 0.5


def test_a_list_is_no_longer_than_the_proposals(moments: pd.DataFrame, build_corpus: Build) -> None:
    few = torch.tensor([[0.0, 4.0], [10.0, 18.0], [20.0, 27.0]], dtype=torch.float64)
    corpus = build_corpus(moments, proposals=dict.fromkeys(moments["video"], few))
    for graphs in samples_of(training_set(corpus, list_length=50)):
        assert sorted(graph.segment[0, 0].item() for graph in graphs) == [0.0, 10.0, 20.0]
        assert graphs[0].overlap == max(graph.overlap for graph in graphs)
    assert {len(graphs) for graphs in samples_of(training_set(corpus, list_length=2))} == {2}


@pytest.mark.parametrize("negatives", ["other_class", "in_video"])
def test_triplets(corpus: Corpus, moments: pd.DataFrame, negatives: str) -> None:
    training = training_set(corpus, sampling="triplets", negatives=negatives, samples=40)
    for index, (positive, negative) in enumerate(samples_of(training)):
        assert positive.pair.tolist() == negative.pair.tolist() == [index]
        query = query_moment(positive, moments)
        assert query_moment(negative, moments)["start"] == query["start"]
        reference = proposal_video(positive, moments)
        assert reference != query["video"]
        targets = moments_of(moments, reference, query["label"])
        assert positive.overlap.item() >= 0.5
        assert positive.overlap.item() == pytest.approx(
            max(overlaps_with(positive.segment, targets))
        )
        assert positive.target.isfinite().all()

        assert negative.overlap.item() == 0.0 and negative.target.isnan().all()
        video = proposal_video(negative, moments)
        if negatives == "in_video":
            assert video == reference
            assert max(overlaps_with(negative.segment, targets)) < 0.3
        else:
            others = moments[(moments["video"] == video) & (moments["label"] != query["label"])]
            assert max(overlaps_with(negative.segment, others)) >= 0.5


def test_negatives_come_from_every_other_class(corpus: Corpus, moments: pd.DataFrame) -> None:
    shown = set()
    for positive, negative in samples_of(training_set(corpus, sampling="triplets", samples=80)):
        video = proposal_video(negative, moments)
        there = moments[moments["video"] == video].reset_index()
        overlaps = overlaps_with(negative.segment, there)
        label = there["label"][overlaps.index(max(overlaps))]
        shown.add((query_moment(positive, moments)["label"], label))
    train = ("jump", "run", "sit")
    assert shown == {(one, other) for one in train for other in train if one != other}


def test_the_best_proposal_stands_in_where_none_is_good(
    moments: pd.DataFrame, build_corpus: Build
) -> None:
    # The first is over 38 s long: at most 0.21 with any moment, but more than the second has.
    poor = torch.tensor([[0.5, 39.0], [39.0, 40.0]], dtype=torch.float64)
    corpus = build_corpus(moments, proposals=dict.fromkeys(moments["video"], poor))
    for sampling in ("lists", "triplets"):
        for graphs in samples_of(training_set(corpus, sampling=sampling)):
            assert graphs[0].segment.tolist() == [[0.5, 39.0]]
            assert 0.0 < graphs[0].overlap.item() < 0.3
    good = torch.tensor([[0.0, 40.0]], dtype=torch.float64)
    corpus = build_corpus(moments.assign(end=36.0), proposals=dict.fromkeys(moments["video"], good))
    in_video = training_set(corpus, sampling="triplets", negatives="in_video")
    assert all(negative.segment.tolist() == [[0.0, 40.0]] for _, negative in samples_of(in_video))


def test_the_transform_sees_every_graph(corpus: Corpus) -> None:
    def mark(graph: Data) -> Data:
        graph.marked = graph.pair + 100
        return graph

    for index, graphs in enumerate(samples_of(training_set(corpus, transform=mark))):
        assert [graph.marked.item() for graph in graphs] == [100 + index] * len(graphs)


def test_the_subset_is_the_one_asked_for(corpus: Corpus, moments: pd.DataFrame) -> None:
    for graphs in samples_of(training_set(corpus, subset="test")):
        assert query_moment(graphs[0], moments)["label"] in ("bow", "wave")
        assert proposal_video(graphs[0], moments) in "xyz"


def test_the_other_resamplings_are_used(corpus: Corpus) -> None:
    nearest = training_set(corpus, resampling="nearest")[0][0].x[:, 1]
    assert torch.equal(nearest % 0.5, torch.full_like(nearest, 0.25))


def test_a_loop_over_the_set_ends(corpus: Corpus) -> None:
    training = training_set(corpus, samples=3)
    assert len(training) == 3 == sum(1 for _ in iter(training))
    for index in (3, -1):
        with pytest.raises(IndexError, match=f"sample {index} of an epoch of 3"):
            training[index]


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"timesteps": 0}, "timesteps must be at least 1, got 0"),
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"list_length": 1}, "list_length must be at least 2, got 1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"sampling": "list"}, "sampling must be one of .*'lists'.* got 'list'"),
        ({"negatives": "hard"}, "negatives must be one of .*'in_video'.* got 'hard'"),
        ({"resampling": "cubic"}, "resampling must be one of .*'linear'.* got 'cubic'"),
        ({"subset": "dev"}, "toy: subset 'dev' holds no moments"),
    ],
)
def test_bad_options_are_named(corpus: Corpus, options: dict[str, object], culprit: str) -> None:
    with pytest.raises(InputError, match=culprit):
        training_set(corpus, **options)


def test_negatives_of_another_class_need_one(corpus: Corpus) -> None:
    with pytest.raises(InputError, match="toy: 'validation' has no second class"):
        training_set(corpus, sampling="triplets", subset="validation")
    in_video = training_set(corpus, sampling="triplets", negatives="in_video", subset="validation")
    assert len(in_video[0]) == 2


def test_a_part_is_the_same_share_of_query_and_targets() -> None:
    targets = torch.tensor([[10.0, 30.0], [50.0, 54.0]], dtype=torch.float64)
    pair = Pair("a", (4.0, 8.0), "jump", "b", "jump", targets)
    firsts, lasts = [], []
    for seed in range(300):
        part = part_of_pair(np.random.default_rng(seed), pair, shortest=0.0)
        start, end = ((time - 4.0) / 4.0 for time in part.query_segment)
        shares = torch.tensor([start, end], dtype=torch.float64)
        torch.testing.assert_close(
            part.targets, targets[:, :1] + shares * torch.tensor([[20], [4]])
        )
        assert 0.0 <= start < end <= 1.0
        assert end - start >= 0.35 - 1e-9
        firsts.append(start)
        lasts.append(end)
    assert 0.15 < np.mean(np.array(firsts) == 0.0) < 0.35
    assert np.mean(np.array(lasts) > 1.0 - 1e-9) >= 0.2


def test_a_part_that_would_be_too_short_is_not_taken() -> None:
    targets = torch.tensor([[10.0, 12.0]], dtype=torch.float64)
    pair = Pair("a", (4.0, 8.0), "jump", "b", "jump", targets)
    assert part_of_pair(np.random.default_rng(0), pair, shortest=2.5) is pair


def test_the_share_of_partial_lists(corpus: Corpus) -> None:
    # Moments are 6 s or longer; a part of 8 rows of 0.5 s takes at least 4 s.
    whole = samples_of(training_set(corpus, samples=60, partial=0.0))
    part = samples_of(training_set(corpus, samples=60, partial=1.0))
    lengths = [
        [float(sample[0].target[0, 1] - sample[0].target[0, 0]) for sample in samples]
        for samples in (whole, part)
    ]
    assert min(lengths[0]) == 6.0
    assert sum(length < 6.0 for length in lengths[1]) > 10
    assert min(lengths[1]) >= 4.0 - 1e-9


CHANNELS = 10


@pytest.fixture
def wide_corpus(corpus: Corpus, moments: pd.DataFrame, build_corpus: Build) -> Corpus:
    """The corpus with ten equal channels: 1000 times the number of the video, plus the seconds."""
    features = {}
    for name in sorted(moments["video"].unique()):
        number, time = corpus.features[name].values.unbind(dim=1)
        rows = (1000 * number + time).unsqueeze(1).repeat(1, CHANNELS)
        features[name] = Features(rows, corpus.features[name].step)
    return build_corpus(moments, features=InMemoryFeatureStore(features))


def shown(clip: Tensor, moments: pd.DataFrame) -> tuple[str, float]:
    """The video that one channel of a clip shows, and the middle of the clip in seconds."""
    number = (clip / 1000).floor().unique()
    assert len(number) == 1
    return sorted(moments["video"].unique())[int(number)], float((clip % 1000).mean())


def label_at(video: str, time: float, moments: pd.DataFrame) -> str | None:
    """The class of the moment whose middle lies within a row of the time."""
    rows = moments[moments["video"] == video]
    near = rows[((rows["start"] + rows["end"]) / 2 - time).abs() <= 0.5]
    return None if near.empty else str(near["label"].iloc[0])


def test_a_composite_shows_another_action_in_a_block_of_channels(
    wide_corpus: Corpus, moments: pd.DataFrame
) -> None:
    plain = training_set(wide_corpus, samples=40)
    mixed = training_set(wide_corpus, samples=40, composite=1.0)
    exact = 0
    for before, after in zip(samples_of(plain), samples_of(mixed), strict=True):
        for one, other in zip(before, after, strict=True):
            # What is asked of it stays the first pair's.
            for name in ("segment", "target", "overlap", "pair", "query_duration"):
                assert torch.equal(one[name], other[name])
        changed = [(b.x != a.x).any(dim=0) for b, a in zip(before, after, strict=True)]
        block = torch.stack(changed).any(dim=0)
        assert 2 <= int(block.sum()) <= 8
        # One stretch in the circle of channels, which turns on once and off once.
        assert int((block != block.roll(1)).sum()) == 2
        inside, outside = int(block.nonzero()[0]), int((~block).nonzero()[0])
        best = after[0]
        query, proposal = best.x[best.is_query], best.x[~best.is_query]
        assert torch.equal(best.x[:, ~block], before[0].x[:, ~block])
        own = [shown(clip[:, outside], moments) for clip in (query, proposal)]
        their = [shown(clip[:, inside], moments) for clip in (query, proposal)]
        assert their[0][0] != their[1][0]
        labels = [label_at(*place, moments) for place in (own[0], their[0])]
        assert None not in labels and labels[0] != labels[1]
        if best.overlap > 0.99:  # the other action lies over the moment, and so the proposal
            assert label_at(*their[1], moments) == labels[1]
            exact += 1
    assert exact > 0


def test_the_share_of_composites(wide_corpus: Corpus) -> None:
    mixed = []
    for share in (0.0, 0.5, 1.0):
        samples = samples_of(training_set(wide_corpus, samples=60, composite=share))
        # All channels of a clip are equal where no other action is laid over them.
        mixed.append(sum(bool((s[0].x != s[0].x[:, :1]).any()) for s in samples))
    assert mixed[0] == 0 and 15 < mixed[1] < 45 and mixed[2] == 60


def test_the_other_reference_is_stretched_to_the_moment(
    wide_corpus: Corpus, moments: pd.DataFrame
) -> None:
    """A proposal shows the same share of the other moment as of its own."""
    for sample in samples_of(training_set(wide_corpus, samples=40, composite=1.0)):
        best = sample[0]
        (start, end), (first, last) = best.target[0].tolist(), best.segment[0].tolist()
        share = ((first + last) / 2 - start) / (end - start)
        proposal = best.x[~best.is_query]
        columns = proposal.T.unique(dim=0)
        assert len(columns) == 2
        for column in columns:
            video, time = shown(column, moments)
            rows = moments[moments["video"] == video]
            shares = (time - rows["start"]) / (rows["end"] - rows["start"])
            assert float((shares - share).abs().min()) < 0.1


def test_one_class_alone_makes_no_composites(moments: pd.DataFrame, build_corpus: Build) -> None:
    only = build_corpus(moments[(moments["subset"] != "train") | (moments["label"] == "jump")])
    plain, mixed = (training_set(only, composite=share) for share in (0.0, 1.0))
    assert mixed.composite == 0.0
    for one, other in zip(samples_of(plain), samples_of(mixed), strict=True):
        assert all_same(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"composite": 1.5}, "composite must be a share from 0 to 1, got 1.5"),
        ({"composite": float("nan")}, "composite must be a share from 0 to 1, got nan"),
        ({"context": -0.1}, "context must be a number from 0, got -0.1"),
        ({"context": float("inf")}, "context must be a number from 0, got inf"),
    ],
)
def test_wrong_composite_or_context(
    corpus: Corpus, options: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        training_set(corpus, **options)


@pytest.mark.parametrize("sampling", ["lists", "triplets"])
def test_context_shows_the_surroundings_of_proposals_alone(corpus: Corpus, sampling: str) -> None:
    plain = samples_of(training_set(corpus, sampling=sampling))
    wide = samples_of(training_set(corpus, sampling=sampling, context=0.25))
    names = corpus.subset("train")["video"]
    for one, other in zip(plain, wide, strict=True):
        for near, far in zip(one, other, strict=True):
            assert torch.equal(near.x[near.is_query], far.x[far.is_query])
            assert torch.equal(near.segment, far.segment)
            clip = far.x[~far.is_query]
            video = sorted({*names, *"vwxyz"})[int(clip[0, 0])]
            seen = resample(corpus.features[video], widen(far.segment, 0.25), TIMESTEPS)[0]
            assert torch.equal(clip, seen)


def test_the_duration_of_the_query(corpus: Corpus, moments: pd.DataFrame) -> None:
    for sample in samples_of(training_set(corpus)):
        moment = query_moment(sample[0], moments)
        for graph in sample:
            rows = corpus.features[moment["video"]].slice(moment["start"], moment["end"])
            assert graph.query_duration.tolist() == [rows.duration]


@given(channels=st.integers(1, 300), seed=st.integers(0, 1000))
def test_channel_block(channels: int, seed: int) -> None:
    block = channel_block(np.random.default_rng(seed), channels)
    assert block.dtype == torch.int64 and len(block.unique()) == len(block)
    assert abs(len(block) - channels / 2) <= 0.3 * channels + 0.5
    assert bool(((block >= 0) & (block < channels)).all())
    assert bool((block.diff() % channels == 1).all())
