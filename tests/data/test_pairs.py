"""Query-reference pairs against a search through the table, row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gnnreloc.data import Corpus, Pair, PairSampler, evaluation_pairs, wrong_class_pairs
from gnnreloc.errors import InputError

Build = Callable[..., Corpus]
relaxed = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

#: For each video its moments as (label, recording); the recordings overlap on purpose.
contents = st.lists(
    st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 7)), min_size=1, max_size=3),
    min_size=2,
    max_size=6,
)


def as_table(videos: list[list[tuple[str, int]]]) -> pd.DataFrame:
    rows = [
        {"video": f"v{number}", "start": 10.0 * place, "end": 10.0 * place + 4.0 + number / 2}
        | {"label": label, "clip": f"{label}-{clip}", "subset": "test", "duration": 40.0}
        for number, moments in enumerate(videos)
        for place, (label, clip) in enumerate(moments)
    ]
    return pd.DataFrame(rows)


def as_tuple(pair: Pair) -> tuple[Any, ...]:
    query = (pair.query_video, pair.query_segment, pair.query_label)
    return (*query, pair.reference, pair.label, tuple(map(tuple, pair.targets.tolist())))


def legal_pairs(table: pd.DataFrame) -> set[tuple[Any, ...]]:
    """Every pair that the definition allows, found by looking at each row and each video."""
    found = set()
    rows = table.to_dict("records")
    for row in rows:
        for reference in {other["video"] for other in rows}:
            here = [other for other in rows if other["video"] == reference]
            targets = sorted((o["start"], o["end"]) for o in here if o["label"] == row["label"])
            same_recording = any(other["clip"] == row["clip"] for other in here)
            if reference != row["video"] and targets and not same_recording:
                query = (row["video"], (row["start"], row["end"]), row["label"])
                found.add((*query, reference, row["label"], tuple(targets)))
    return found


@relaxed
@given(contents, st.integers(0, 5))
def test_all_pairs_are_the_legal_ones(
    build_corpus: Build, videos: list[list[tuple[str, int]]], seed: int
) -> None:
    table = as_table(videos)
    corpus, legal = build_corpus(table), legal_pairs(table)
    if not legal:
        with pytest.raises(InputError, match="toy"):
            evaluation_pairs(corpus, "test", seed=seed)
        return
    everything = evaluation_pairs(
        corpus, "test", queries=1000, references_per_query=1000, seed=seed
    )
    assert len(everything) == len(legal)
    assert {as_tuple(pair) for pair in everything} == legal


@relaxed
@given(contents, st.integers(0, 5))
def test_draws_are_legal(
    build_corpus: Build, videos: list[list[tuple[str, int]]], seed: int
) -> None:
    table = as_table(videos)
    legal = legal_pairs(table)
    assume(legal)
    sampler, rng = PairSampler(build_corpus(table), "test"), np.random.default_rng(seed)
    assert {as_tuple(sampler.draw(rng)) for _ in range(20)} <= legal


@relaxed
@given(contents, st.integers(0, 5))
def test_a_wrong_query_is_of_another_class_and_not_in_the_reference(
    build_corpus: Build, videos: list[list[tuple[str, int]]], seed: int
) -> None:
    table = as_table(videos)
    assume(legal_pairs(table))
    corpus = build_corpus(table)
    pairs = evaluation_pairs(corpus, "test", seed=seed)
    recordings = table.groupby("video")["clip"].agg(set)
    try:
        wrong = wrong_class_pairs(corpus, "test", pairs, seed=seed)
    except InputError:
        with_others = [
            pair
            for pair in pairs
            if any(
                row["label"] != pair.label
                and row["video"] != pair.reference
                and row["clip"] not in recordings[pair.reference]
                for row in table.to_dict("records")
            )
        ]
        assert len(with_others) < len(pairs)
        return
    for right, other in zip(pairs, wrong, strict=True):
        assert other.query_label != right.label == other.label
        assert other.reference == right.reference != other.query_video
        assert other.targets is right.targets
        at = (table["video"] == other.query_video) & (table["start"] == other.query_segment[0])
        assert table[at]["label"].tolist() == [other.query_label]
        assert table[at]["end"].tolist() == [other.query_segment[1]]
        assert table[at]["clip"].item() not in recordings[right.reference]


def test_draw_reaches_every_legal_pair(moments: pd.DataFrame, build_corpus: Build) -> None:
    own = [f"recording {row}" for row in range(len(moments))]
    table = moments.assign(clip=own)
    sampler, rng = PairSampler(build_corpus(table), "train"), np.random.default_rng(0)
    legal = legal_pairs(table[table["subset"] == "train"])
    assert {as_tuple(sampler.draw(rng)) for _ in range(600)} == legal
    jumps = {as_tuple(sampler.draw(rng, label="jump")) for _ in range(200)}
    assert jumps == {pair for pair in legal if pair[4] == "jump"}


def test_the_seed_decides_and_nothing_else(moments: pd.DataFrame, build_corpus: Build) -> None:
    def pairs(table: pd.DataFrame, seed: int) -> list[tuple[Any, ...]]:
        corpus = build_corpus(table)
        right = evaluation_pairs(corpus, "train", seed=seed)
        wrong = wrong_class_pairs(corpus, "train", right, seed=seed)
        return [as_tuple(pair) for pair in right + wrong]

    first = pairs(moments, 0)
    np.random.default_rng().random(3)
    assert first == pairs(moments, 0)
    assert first == pairs(moments.sample(frac=1.0, random_state=1), 0)
    assert first != pairs(moments, 1)


def test_classes_take_turns_and_queries_do_not_repeat(corpus: Corpus) -> None:
    pairs = evaluation_pairs(corpus, "train", queries=6, references_per_query=2)
    assert len(pairs) == 12
    queries = [(pair.query_video, pair.query_segment) for pair in pairs]
    assert queries[::2] == queries[1::2] and len(set(queries)) == 6
    assert all(a.reference != b.reference for a, b in zip(pairs[::2], pairs[1::2], strict=True))
    labels = [pair.label for pair in pairs[::2]]
    assert labels == ["jump", "run", "sit"] * 2


def test_all_instances_in_the_reference_are_targets(corpus: Corpus) -> None:
    pairs = evaluation_pairs(corpus, "train", queries=100, references_per_query=100)
    targets = next(p.targets for p in pairs if p.reference == "c" and p.label == "jump")
    assert targets.tolist() == [[15.0, 21.0], [30.0, 36.0]]
    assert targets.dtype.is_floating_point and targets.element_size() == 8


def test_a_missing_recording_is_its_own(moments: pd.DataFrame, build_corpus: Build) -> None:
    expected = evaluation_pairs(build_corpus(moments), "train")
    for missing in (None, float("nan")):
        corpus = build_corpus(moments.assign(clip=missing))
        pairs = evaluation_pairs(corpus, "train")
        assert list(map(as_tuple, pairs)) == list(map(as_tuple, expected))


def test_a_recording_in_every_video_leaves_no_pair(
    moments: pd.DataFrame, build_corpus: Build
) -> None:
    corpus = build_corpus(moments.assign(clip="the same"))
    with pytest.raises(InputError, match="toy: no query of 'train' has another video"):
        evaluation_pairs(corpus, "train")
    with pytest.raises(InputError, match="toy: no query of 'train' has another video"):
        PairSampler(corpus, "train").draw(np.random.default_rng(0))


def test_classes_of_one_video_have_no_pairs(moments: pd.DataFrame, build_corpus: Build) -> None:
    lonely = build_corpus(moments[moments["video"].isin(["a", "x", "z"])])
    with pytest.raises(InputError, match="toy: no class of subset 'train' appears in two videos"):
        evaluation_pairs(lonely, "train")
    assert {pair.label for pair in evaluation_pairs(lonely, "test")} == {"bow", "wave"}


def test_a_wrong_query_needs_a_second_class(moments: pd.DataFrame, build_corpus: Build) -> None:
    corpus = build_corpus(moments)
    pairs = evaluation_pairs(corpus, "validation")
    with pytest.raises(InputError, match="of another class than 'turn' to search for in video 'w'"):
        wrong_class_pairs(corpus, "validation", sorted(pairs, key=lambda p: p.reference)[1:])


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"queries": 0}, "queries and references_per_query .* got 0 and 2"),
        ({"references_per_query": -1}, "queries and references_per_query .* got 150 and -1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_bad_options_are_named(corpus: Corpus, options: dict[str, int], culprit: str) -> None:
    with pytest.raises(InputError, match=culprit):
        evaluation_pairs(corpus, "train", **options)


def test_wrong_queries_for_pairs_of_another_subset(corpus: Corpus) -> None:
    pairs = evaluation_pairs(corpus, "train")
    with pytest.raises(InputError, match="reference '.' is not of subset 'test'"):
        wrong_class_pairs(corpus, "test", pairs)


def test_bad_seed_of_wrong_queries_is_named(corpus: Corpus) -> None:
    with pytest.raises(InputError, match="seed must be at least 0, got -2"):
        wrong_class_pairs(corpus, "test", evaluation_pairs(corpus, "test"), seed=-2)
