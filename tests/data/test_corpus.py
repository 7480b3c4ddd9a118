"""What a corpus promises: disjoint subsets, usable proposals, an order of its own."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
import torch
from torch import Tensor

from gnnreloc.data import Corpus, InMemoryFeatureStore
from gnnreloc.errors import InputError

Build = Callable[..., Corpus]


def test_subsets_and_classes(corpus: Corpus) -> None:
    assert corpus.classes("train") == ["jump", "run", "sit"]
    assert corpus.classes("validation") == ["turn"]
    assert corpus.classes("test") == ["bow", "wave"]
    assert len(corpus.subset("train")) == 11
    assert corpus.subset("test").index.tolist() == list(range(6))
    assert corpus.num_channels == 2


def test_a_subset_is_in_the_order_of_video_and_time_whatever_the_table(
    moments: pd.DataFrame, build_corpus: Build
) -> None:
    shuffled = build_corpus(moments.sample(frac=1.0, random_state=3))
    rows = shuffled.subset("train")
    keys = list(zip(rows["video"], rows["start"], strict=True))
    assert keys == sorted(keys)
    pd.testing.assert_frame_equal(rows, build_corpus(moments).subset("train"))


def test_subset_does_not_change_the_table(corpus: Corpus) -> None:
    rows = corpus.subset("train")
    rows.loc[0, "label"] = "changed"
    assert "changed" not in set(corpus.moments["label"])


def test_an_empty_subset_is_named(moments: pd.DataFrame, build_corpus: Build) -> None:
    without = build_corpus(moments[moments["subset"] != "validation"])
    with pytest.raises(InputError, match="toy: subset 'validation' holds no moments"):
        without.subset("validation")
    with pytest.raises(InputError, match="subset 'tset'"):
        without.classes("tset")


def test_no_video_is_in_two_subsets(moments: pd.DataFrame, build_corpus: Build) -> None:
    moments.loc[moments["video"] == "x", "video"] = "a"
    for unseen_classes in (True, False):
        with pytest.raises(InputError, match="toy: video 'a' is in more than one subset"):
            build_corpus(moments, unseen_classes=unseen_classes)


def test_no_class_is_in_two_subsets_unless_the_corpus_says_so(
    moments: pd.DataFrame, build_corpus: Build
) -> None:
    moments.loc[moments["label"] == "bow", "label"] = "sit"
    with pytest.raises(InputError, match="toy: label 'sit' is in more than one subset"):
        build_corpus(moments)
    assert "sit" in build_corpus(moments, unseen_classes=False).classes("test")


@pytest.mark.parametrize(
    ("proposals", "reason"),
    [
        (None, "video 'c' has moments but no proposals"),
        (torch.empty(0, 2), "video 'c' has moments but no proposals"),
        (torch.zeros(4), r"video 'c': found proposals of shape \[4\], wanted \[m, 2\]"),
        (torch.zeros(4, 3), r"video 'c': found proposals of shape \[4, 3\]"),
        (torch.tensor([[0.0, 1.0], [3.0, 2.0]]), r"video 'c': proposal 1 .*\[3.0, 2.0\]"),
        (torch.tensor([[5.0, 5.0]]), r"video 'c': proposal 0 .*\[5.0, 5.0\]"),
        (torch.tensor([[0.0, 1.0], [2.0, float("nan")]]), r"video 'c': proposal 1 .*nan"),
        (torch.tensor([[0.0, float("inf")]]), r"video 'c': proposal 0 .*inf"),
    ],
    ids=["missing", "none", "flat", "wide", "reversed", "point", "nan", "endless"],
)
def test_unusable_proposals_name_the_video(
    corpus: Corpus, moments: pd.DataFrame, build_corpus: Build, proposals: Tensor, reason: str
) -> None:
    given = {video: own for video, own in corpus.proposals.items() if video != "c"}
    if proposals is not None:
        given["c"] = proposals
    with pytest.raises(InputError, match=reason):
        build_corpus(moments, proposals=given)


def test_features_are_read_when_they_are_asked_for(
    moments: pd.DataFrame, build_corpus: Build
) -> None:
    bare = build_corpus(moments, features=InMemoryFeatureStore({}))
    with pytest.raises(InputError, match="video 'a'"):
        _ = bare.num_channels
