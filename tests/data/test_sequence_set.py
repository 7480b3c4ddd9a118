"""Samples of a sequence labeller: pooling, labels, and that seed, epoch and number decide all.

Channel 0 of the toy features is the number of the video, channel 1 the second (see conftest).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from gnnreloc.data import Corpus, Features
from gnnreloc.data.sequence_set import (
    SequenceSet,
    label_steps,
    pool_pair,
    pool_rows,
    sequence_graph,
)
from gnnreloc.errors import InputError

START, END, INSIDE, OUTSIDE = range(4)


def video(rows: int, step: float = 1.0, offset: float = 0.0) -> Features:
    return Features(torch.arange(float(rows)).unsqueeze(1), step, offset)


def seconds(*segments: tuple[float, float]) -> Tensor:
    return torch.tensor(segments, dtype=torch.float64)


def labels_of(features: Features, *segments: tuple[float, float]) -> str:
    """One letter a step: S start, E end, I inside, - outside."""
    return "".join("SEI-"[label] for label in label_steps(features, seconds(*segments)).tolist())


def same(one: Data, other: Data) -> bool:
    return sorted(one.keys()) == sorted(other.keys()) and all(
        torch.equal(torch.as_tensor(one[name]), torch.as_tensor(other[name])) for name in one.keys()
    )


def all_samples(samples: SequenceSet) -> list[Data]:
    return samples.__getitems__(range(len(samples)))


def test_pooling_by_hand() -> None:
    pooled = pool_rows(video(7, step=0.5, offset=3.0), 3)
    assert pooled.values.flatten().tolist() == [1.0, 4.0, 6.0]
    assert (pooled.step, pooled.offset) == (1.5, 3.0)
    assert pool_rows(video(2), 5).values.flatten().tolist() == [0.5]
    same_video = video(4)
    assert pool_rows(same_video, 1) is same_video
    with pytest.raises(InputError, match="factor must be at least 1, got 0"):
        pool_rows(video(4), 0)


@pytest.mark.parametrize(
    ("rows", "pooled"),
    [
        ((5, 10), (5, 10)),  # both fit
        ((8, 10), (4, 10)),  # the query alone is too long
        ((8, 11), (4, 6)),  # the reference is, and takes the query along
        ((20, 21), (4, 7)),  # both: by 3, then the query's 7 steps by 2
        ((1, 100), (1, 10)),
    ],
)
def test_limits_of_a_pair(rows: tuple[int, int], pooled: tuple[int, int]) -> None:
    query, reference = pool_pair(video(rows[0]), video(rows[1]), max_steps=10, max_query_steps=4)
    if rows == (5, 10):
        query, reference = pool_pair(video(5), video(10), max_steps=10, max_query_steps=5)
    assert (query.num_steps, reference.num_steps) == pooled


def test_labels_by_hand() -> None:
    ten = video(10)
    assert labels_of(ten, (2.0, 6.0)) == "--SIIE----"
    # Centres at 2.5 and 5.5 lie inside of (2.4, 5.6), but not in (2.6, 5.4).
    assert labels_of(ten, (2.4, 5.6)) == "--SIIE----"
    assert labels_of(ten, (2.6, 5.4)) == "---SE-----"
    # One after the other, the second to the end of the video and beyond.
    assert labels_of(ten, (1.0, 4.0), (4.0, 12.0)) == "-SIESIIIIE"
    # Two steps, one step, and none: the nearest gets it.
    assert labels_of(ten, (0.0, 2.0), (4.0, 5.0), (7.6, 8.2)) == "SE--S--S--"
    # Boundaries go before the inside of another moment, whatever the order.
    nested = "SISIEIIE--"
    assert labels_of(ten, (0.0, 8.0), (2.0, 5.0)) == nested
    assert labels_of(ten, (2.0, 5.0), (0.0, 8.0)) == nested
    assert labels_of(video(4, step=0.5, offset=10.0), (10.5, 11.5)) == "-SE-"


@settings(max_examples=50, deadline=None)
@given(
    rows=st.integers(1, 30),
    step=st.floats(0.1, 3.0),
    offset=st.floats(-5.0, 5.0),
    first=st.floats(0.0, 0.95),
    share=st.floats(0.05, 1.0),
)
def test_labels_against_a_loop(
    rows: int, step: float, offset: float, first: float, share: float
) -> None:
    features = video(rows, step, offset)
    start = offset + first * rows * step
    end = min(features.duration, start + share * rows * step)
    centres = [offset + (row + 0.5) * step for row in range(rows)]
    inside = [row for row, centre in enumerate(centres) if start <= centre < end]
    if inside:
        expected = ["I" if row in inside else "-" for row in range(rows)]
        expected[inside[-1]] = "E"
        expected[inside[0]] = "S"
        assert labels_of(features, (start, end)) == "".join(expected)
    else:
        assert labels_of(features, (start, end)).replace("-", "") == "S"


def test_a_graph() -> None:
    graph = sequence_graph(video(3), video(4), seconds((1.0, 3.0)))
    assert graph.x.flatten().tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert graph.is_query.tolist() == [True] * 3 + [False] * 4
    assert graph.labels.tolist() == [OUTSIDE, START, END, OUTSIDE]
    assert "labels" not in sequence_graph(video(3), video(4))
    with pytest.raises(InputError, match="the query has 1 feature channels, the reference 2"):
        sequence_graph(video(3), Features(torch.zeros(4, 2), 1.0))


def test_what_is_in_the_samples(corpus: Corpus, moments: pd.DataFrame) -> None:
    videos = sorted(moments["video"].unique())
    train = moments[moments["subset"] == "train"]
    seen = set()
    for graph in all_samples(SequenceSet(corpus, samples=60)):
        query, reference = graph.x[graph.is_query], graph.x[~graph.is_query]
        assert len(reference) == len(graph.labels) == 80
        query_video, reference_video = videos[int(query[0, 0])], videos[int(reference[0, 0])]
        assert query_video != reference_video
        own = train[train["video"] == query_video]
        middle = query[:, 1].mean().item()
        label = own[(own["start"] < middle) & (middle < own["end"])]["label"].item()
        truth = train[(train["video"] == reference_video) & (train["label"] == label)]
        # All instances of the class: in video c, both jumps.
        starts = reference[graph.labels == START, 1] - 0.25
        ends = reference[graph.labels == END, 1] + 0.25
        assert starts.tolist() == truth["start"].tolist()
        assert ends.tolist() == truth["end"].tolist()
        seen.add((label, reference_video, len(truth)))
    assert ("jump", "c", 2) in seen


def test_a_part_of_query_and_moments(corpus: Corpus) -> None:
    whole = all_samples(SequenceSet(corpus, samples=30))
    parts = all_samples(SequenceSet(corpus, samples=30, partial=1.0))
    shorter = 0
    for one, part in zip(whole, parts, strict=True):
        moment, own = one.labels != OUTSIDE, part.labels != OUTSIDE
        assert (own & ~moment).sum() == 0
        assert (part.labels == START).sum() == (one.labels == START).sum()
        shorter += int(own.sum() < moment.sum() and part.is_query.sum() < one.is_query.sum())
    assert shorter > 5


def test_seed_epoch_and_number_decide_all(corpus: Corpus) -> None:
    def build(**options: Any) -> SequenceSet:
        return SequenceSet(corpus, samples=6, partial=0.5, **options)

    first = all_samples(build(seed=3))
    again = build(seed=3)
    assert all(same(again[index][0], first[index]) for index in (5, 2, 0, 1, 4, 3))
    again.epoch = 1
    assert not all(map(same, all_samples(again), first))
    assert not all(map(same, all_samples(build(seed=4)), first))


def test_batches(corpus: Corpus) -> None:
    samples = SequenceSet(corpus, samples=5, max_steps=40)
    batch = next(iter(DataLoader(samples, batch_size=5)))
    graphs = all_samples(samples)
    assert batch.num_graphs == 5 and len(batch.labels) == 5 * 40
    assert torch.equal(batch.x, torch.cat([graph.x for graph in graphs]))
    assert torch.bincount(batch.batch).tolist() == [len(graph.x) for graph in graphs]


def test_proposals_are_not_read(build_corpus: Callable[..., Corpus], moments: pd.DataFrame) -> None:
    corpus = build_corpus(moments)
    object.__setattr__(corpus, "proposals", {})
    assert len(all_samples(SequenceSet(corpus, samples=4))) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"max_steps": 0}, "max_steps must be at least 1, got 0"),
        ({"max_query_steps": 0}, "max_query_steps must be at least 1, got 0"),
        ({"partial": 1.5}, "partial must be a share from 0 to 1, got 1.5"),
        ({"subset": "validate"}, "subset 'validate' holds no moments"),
    ],
)
def test_bad_options(corpus: Corpus, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SequenceSet(corpus, **options)


def test_a_plain_loop_ends(corpus: Corpus) -> None:
    assert len(list(SequenceSet(corpus, samples=3))) == 3
