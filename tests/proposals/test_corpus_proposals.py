"""Candidates of the four kinds for a corpus."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from gnnreloc.data import Corpus, Features, FeatureStore, InMemoryFeatureStore, LazyProposals
from gnnreloc.errors import InputError
from gnnreloc.proposals import (
    PROPOSAL_KINDS,
    ActionnessModel,
    SSTNetwork,
    corpus_proposals,
    fit_actionness,
    replace_proposals,
    train_sst,
)

Actionness = Callable[[Features], npt.NDArray[np.float64]]
LEARNED = ("tag", "windows", "sst")


@pytest.fixture
def short_sst(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A short training in place of the full one; the list gets the seed of each."""
    seeds: list[int] = []

    def train(moments: pd.DataFrame, features: FeatureStore, *, seed: int) -> SSTNetwork:
        seeds.append(seed)
        options = {"hidden": 8, "anchors": 8, "epochs": 1, "windows": 8, "batch_size": 4}
        return train_sst(moments, features, seed=seed, **options)

    monkeypatch.setattr(corpus_proposals, "train_sst", train)
    return seeds


def training_lengths(corpus: Corpus) -> npt.NDArray[np.float64]:
    table = corpus.subset("train")
    return (table["end"] - table["start"]).to_numpy()


def test_dataset_is_the_corpus_itself(tiny_corpus: Corpus) -> None:
    assert replace_proposals(tiny_corpus, "dataset") is tiny_corpus


@pytest.mark.parametrize("kind", LEARNED)
def test_every_video_gets_usable_proposals(
    kind: str, tiny_corpus: Corpus, short_sst: list[int]
) -> None:
    before = dict(tiny_corpus.settings)
    corpus = replace_proposals(tiny_corpus, kind, seed=4)
    assert isinstance(corpus.proposals, LazyProposals)
    assert set(corpus.proposals) == set(tiny_corpus.proposals)
    assert corpus.settings == before | {"proposals": kind} and tiny_corpus.settings == before
    assert corpus.moments is tiny_corpus.moments and corpus.features is tiny_corpus.features
    assert short_sst == []  # nothing is learned before a proposal is asked for
    for video, proposals in corpus.proposals.items():
        assert proposals.dtype == torch.float64 and len(proposals) >= 1
        assert float(proposals[:, 0].min()) >= 0.0
        assert float(proposals[:, 1].max()) <= corpus.features[video].duration
        assert kind == "windows" or len(proposals) <= 100
    assert short_sst == ([4] if kind == "sst" else [])


@pytest.mark.parametrize("kind", LEARNED)
def test_the_same_seed_gives_the_same_in_any_order_and_process(
    kind: str, tiny_corpus: Corpus, short_sst: list[int]
) -> None:
    one, other = (replace_proposals(tiny_corpus, kind, seed=1) for _ in range(2))
    first = one.proposals["test-0001"]
    _ = other.proposals["train-0000"]
    assert torch.equal(first, other.proposals["test-0001"])
    copy = pickle.loads(pickle.dumps(other.proposals))
    assert torch.equal(copy["test-0002"], one.proposals["test-0002"])


@pytest.mark.parametrize("kind", LEARNED)
def test_moments_of_other_subsets_do_not_matter(
    kind: str, tiny_corpus: Corpus, short_sst: list[int]
) -> None:
    # Test moments shifted: labels and lengths of test videos must play no role.
    table = tiny_corpus.moments.copy()
    held_out = table["subset"] != "train"
    table.loc[held_out, "end"] = (table["start"] + 0.5)[held_out]
    changed = replace_proposals(replace(tiny_corpus, moments=table), kind)
    as_it_was = replace_proposals(tiny_corpus, kind)
    assert torch.equal(changed.proposals["test-0000"], as_it_was.proposals["test-0000"])


def test_window_lengths_follow_the_training_moments(tiny_corpus: Corpus) -> None:
    proposals = replace_proposals(tiny_corpus, "windows").proposals["test-0000"]
    lengths = (proposals[:, 1] - proposals[:, 0]).numpy()
    own = training_lengths(tiny_corpus)
    distinct = np.unique(lengths.round(6))
    assert len(distinct) == 6
    assert distinct[[0, -1]] == pytest.approx(np.quantile(own, [0.05, 0.95]), abs=1e-5)
    assert distinct[1:] / distinct[:-1] == pytest.approx(np.full(5, distinct[1] / distinct[0]))


def test_tag_groups_the_actionness_learned_with_the_seed(
    tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []

    def fit(moments: pd.DataFrame, features: FeatureStore, *, seed: int) -> ActionnessModel:
        seeds.append(seed)
        return fit_actionness(moments, features, seed=seed)

    monkeypatch.setattr(corpus_proposals, "fit_actionness", fit)
    corpus = replace_proposals(tiny_corpus, "tag", seed=7)
    for video in corpus.proposals:
        lengths = corpus.proposals[video].diff(dim=1)
        assert float(lengths.min()) >= np.quantile(training_lengths(corpus), 0.05) / 2 - 1e-6
    assert seeds == [7]


def test_where_tag_finds_nothing_the_whole_video_is_left(
    tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(moments: pd.DataFrame, features: FeatureStore, *, seed: int) -> Actionness:
        return lambda video: np.zeros(video.num_steps)

    monkeypatch.setattr(corpus_proposals, "fit_actionness", silent)
    shifted = InMemoryFeatureStore(
        {
            video: Features(item.values, item.step, offset=0.5)
            for video, item in tiny_corpus.features.items()
        }
    )
    corpus = replace_proposals(replace(tiny_corpus, features=shifted), "tag")
    assert corpus.proposals["test-0000"].tolist() == [[0.5, shifted["test-0000"].duration]]


def test_bad_input_is_named(tiny_corpus: Corpus) -> None:
    for known in PROPOSAL_KINDS:
        with pytest.raises(InputError, match=f"found 'slidng', wanted one of .*{known}"):
            replace_proposals(tiny_corpus, "slidng")
    with pytest.raises(InputError, match="seed must be at least 0, got -3"):
        replace_proposals(tiny_corpus, "sst", seed=-3)
    table = tiny_corpus.moments
    without = replace(tiny_corpus, moments=table[table["subset"] != "train"])
    with pytest.raises(InputError, match="subset 'train' holds no moments"):
        replace_proposals(without, "windows")
