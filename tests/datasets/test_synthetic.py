"""The generated miniature: it follows its seed, keeps its promises, and is no giveaway."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
import torch

from gnnreloc.data import (
    Corpus,
    Pair,
    best_overlap,
    evaluation_pairs,
    temporal_iou,
    wrong_class_pairs,
)
from gnnreloc.datasets import synthetic
from gnnreloc.errors import InputError
from gnnreloc.evaluation.protocol import evaluate
from gnnreloc.models import create_model

# The function of the same name hides the module as an attribute of its package.
module = importlib.import_module("gnnreloc.datasets.synthetic")

FEW = {"train_videos": 12, "validation_videos": 4, "test_videos": 60}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return synthetic(**FEW)


@pytest.fixture(scope="module")
def pairs(corpus: Corpus) -> list[Pair]:
    return evaluation_pairs(corpus, "test", queries=100)


def at_half(system: str, corpus: Corpus, pairs: list[Pair]) -> float:
    """R@1 at tIoU 0.5."""
    return evaluate(create_model(system), corpus, pairs).summary["r1"]["0.5"]


def global_state() -> tuple[str, list[int]]:
    """State of the generators that everything in the process shares."""
    legacy = np.random.get_state()  # noqa: NPY002 - the global generator is what is looked at
    return str(legacy), torch.get_rng_state().tolist()


def same_corpus(one: Corpus, other: Corpus) -> bool:
    return (
        one.moments.equals(other.moments)
        and list(one.features) == list(other.features)
        and all(torch.equal(one.features[v].values, other.features[v].values) for v in one.features)
        and all(torch.equal(one.proposals[v], other.proposals[v]) for v in one.features)
    )


def test_the_seed_decides_and_nothing_else() -> None:
    few = {"train_videos": 3, "validation_videos": 2, "test_videos": 3}
    one = synthetic(split=5, **few)
    before = global_state()
    assert same_corpus(one, synthetic(split=5, **few))
    assert global_state() == before
    assert not same_corpus(one, synthetic(split=6, **few))
    assert one.name == "synthetic" and one.settings["split"] == 5
    assert {name: one.settings[name] for name in few} == few


def test_classes_are_disjoint(corpus: Corpus) -> None:
    classes = {subset: set(corpus.classes(subset)) for subset in module.CLASSES}
    assert len(set.union(*classes.values())) == sum(map(len, classes.values()))
    assert len(classes["test"]) == module.CLASSES["test"]
    assert all(len(names) <= module.CLASSES[subset] for subset, names in classes.items())
    assert sum(module.CLASSES.values()) == 30


def test_videos_hold_several_actions_in_background(corpus: Corpus) -> None:
    videos = corpus.moments.groupby("video")
    assert {str(video)[:5] for video in videos.groups} == {"train", "valid", "test-"}
    assert len(videos) == sum(FEW.values()) == len(corpus.features)
    for video, rows in videos:
        features = corpus.features[str(video)]
        assert rows["duration"].unique() == pytest.approx(features.duration)
        low, high = module.MOMENTS_PER_VIDEO
        assert low <= len(rows) <= high and rows["label"].is_unique
        rows = rows.sort_values("start")
        gaps = rows["start"].to_numpy() - np.array([0.0, *rows["end"][:-1]])
        assert (gaps > 1.0).all() and features.duration - rows["end"].iloc[-1] > 1.0
        seconds = rows["end"] - rows["start"]
        assert (seconds >= 2.0).all() and (seconds < features.duration / 2).all()


def test_candidates_are_distinct_and_lie_in_the_video(corpus: Corpus) -> None:
    for video, features in corpus.features.items():
        proposals = corpus.proposals[video]
        assert proposals.dtype == torch.float64
        assert proposals.min() >= 0.0 and proposals.max() <= features.duration + 1e-9
        others = temporal_iou(proposals, proposals).fill_diagonal_(0.0)
        assert others.max() < 1.0
        assert len(proposals) >= 5


def test_candidates_cover_most_moments_but_are_not_the_truth(
    corpus: Corpus, pairs: list[Pair]
) -> None:
    best = torch.tensor(
        [best_overlap(corpus.proposals[p.reference], p.targets).max() for p in pairs]
    )
    assert (best > 0.5).double().mean() >= 0.9
    assert (best > 0.95).double().mean() <= 0.7


def test_difficulty(corpus: Corpus, pairs: list[Pair]) -> None:
    names = ("chance", "random_proposal", "longest_proposal", "whole_reference")
    content_free = max(at_half(name, corpus, pairs) for name in names)
    training_free, oracle = (
        at_half("training_free", corpus, pairs),
        at_half("oracle", corpus, pairs),
    )
    assert content_free < 0.2 and oracle >= 0.9
    assert content_free + 0.05 < training_free < oracle - 0.3


def test_the_query_is_what_helps(corpus: Corpus, pairs: list[Pair]) -> None:
    wrong = wrong_class_pairs(corpus, "test", pairs)
    assert at_half("training_free", corpus, wrong) < 0.7 * at_half("training_free", corpus, pairs)


def test_without_its_obstacles_the_task_is_easy_and_depends_on_order() -> None:
    easy = synthetic(scene=0.0, style=0.0, noise=0.0, warp=0.0, **FEW)
    pairs = evaluation_pairs(easy, "test", queries=40)
    assert at_half("training_free", easy, pairs) > 0.85
    system = create_model("training_free")
    forwards = backwards = 0.0
    for pair in pairs:
        query = easy.features[pair.query_video].slice(*pair.query_segment)
        reversed_query = type(query)(query.values.flip(0), query.step)
        reference, truth = easy.features[pair.reference], pair.targets[:1]
        forwards += system.localize(query, reference, truth).scores.item()
        backwards += system.localize(reversed_query, reference, truth).scores.item()
    assert forwards / len(pairs) > 0.9 and backwards < 0.7 * forwards


@pytest.mark.parametrize("obstacle", ["scene", "style", "noise"])
def test_every_obstacle_hides_the_class(obstacle: str) -> None:
    def closeness(strength: float) -> float:
        """Mean cosine of clips of one class less that of clips of two classes."""
        options: dict[str, Any] = {
            "scene": 0.0,
            "style": 0.0,
            "noise": 0.0,
            "warp": 0.0,
            obstacle: strength,
        }
        corpus = synthetic(train_videos=2, validation_videos=2, test_videos=20, **options)
        right = evaluation_pairs(corpus, "test", queries=40)
        sums = []
        for pairs in (right, wrong_class_pairs(corpus, "test", right)):
            scores = [
                create_model("training_free")
                .localize(
                    corpus.features[pair.query_video].slice(*pair.query_segment),
                    corpus.features[pair.reference],
                    pair.targets[:1],
                )
                .scores.item()
                for pair in pairs
            ]
            sums.append(sum(scores) / len(scores))
        return sums[0] - sums[1]

    without = closeness(0.0)
    assert without > 0.5 and closeness(2.0) < 0.6 * without


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"train_videos": 1}, "train_videos must be at least 2, got 1"),
        ({"test_videos": -1}, "test_videos must be at least 2, got -1"),
        ({"noise": -0.1}, "noise must be at least 0, got -0.1"),
        ({"scene": math.nan}, "scene must be at least 0, got nan"),
        ({"warp": math.inf}, "warp must be at least 0, got inf"),
        ({"split": -1}, "split must be at least 0, got -1"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], culprit: str) -> None:
    with pytest.raises(InputError, match=f"synthetic: {culprit}"):
        synthetic(**options)
