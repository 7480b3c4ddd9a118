"""Proposals that are computed when a video is first asked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pandas as pd
import pytest
import torch
from torch import Tensor

from gnnreloc.data import Corpus, LazyProposals
from gnnreloc.errors import InputError

WINDOWS = torch.tensor([[0.0, 4.0], [2.0, 6.0]], dtype=torch.float64)


class Recorder:
    """Gives the same windows for every video and notes which were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, video: str) -> Tensor:
        self.asked.append(video)
        return WINDOWS


def test_repr() -> None:
    proposals = LazyProposals(["a", "b", "a"], Recorder())
    assert str(proposals) == "LazyProposals(0 of 2 videos computed)"
    _ = proposals["b"]
    assert str(proposals) == "LazyProposals(1 of 2 videos computed)"


def test_each_video_is_computed_once_when_it_is_first_read() -> None:
    make = Recorder()
    proposals = LazyProposals(iter(["b", "a", "c", "a"]), make)
    assert list(proposals) == ["b", "a", "c"] and len(proposals) == 3
    assert "a" in proposals and "d" not in proposals and 3 not in proposals
    assert make.asked == []
    assert proposals["a"] is proposals["a"]
    assert torch.equal(proposals["a"], WINDOWS)
    assert make.asked == ["a"]
    assert proposals.get("d") is None
    assert make.asked == ["a"]


def test_a_failed_video_is_tried_again() -> None:
    answers = [torch.empty(0, 2, dtype=torch.float64), WINDOWS]
    proposals = LazyProposals(["a"], lambda video: answers.pop(0))
    with pytest.raises(InputError):
        _ = proposals["a"]
    assert torch.equal(proposals["a"], WINDOWS)


def test_pickles_with_what_was_computed() -> None:
    proposals = LazyProposals(["a", "b"], Recorder())
    _ = proposals["a"]
    copy = pickle.loads(pickle.dumps(proposals))
    assert str(copy) == str(proposals)
    assert torch.equal(copy["b"], WINDOWS)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([[0.0, 1.0]], r"of type list, wanted a tensor \[m, 2\]"),
        (torch.empty(0, 2, dtype=torch.float64), r"of shape \[0, 2\], wanted \[m, 2\] with m >= 1"),
        (torch.zeros(4), r"of shape \[4\]"),
        (torch.zeros(4, 3), r"of shape \[4, 3\]"),
        (torch.tensor([[0.0, 1.0]]), "torch.float32, wanted torch.float64"),
        (torch.tensor([[0, 1]]), "torch.int64, wanted torch.float64"),
        (torch.tensor([[0.0, 1.0], [3.0, 2.0]]).double(), r"proposal 1 .*\[3.0, 2.0\]"),
        (torch.tensor([[5.0, 5.0]]).double(), r"proposal 0 .*\[5.0, 5.0\]"),
        (torch.tensor([[0.0, 1.0], [2.0, float("nan")]]).double(), "proposal 1 .*nan"),
        (torch.tensor([[0.0, float("inf")]]).double(), "proposal 0 .*inf"),
    ],
    ids=["list", "none", "flat", "wide", "single", "whole", "reversed", "point", "nan", "endless"],
)
def test_unusable_proposals_name_the_video(found: Tensor, reason: str) -> None:
    proposals = LazyProposals(["clip 7"], lambda video: found)
    with pytest.raises(InputError, match=f"^video 'clip 7': .*{reason}"):
        _ = proposals["clip 7"]


def test_a_corpus_asks_only_whether_the_videos_are_there(
    moments: pd.DataFrame, build_corpus: Callable[..., Corpus]
) -> None:
    make = Recorder()
    videos = list(moments["video"].unique())
    corpus = build_corpus(moments, proposals=LazyProposals(videos, make))
    assert make.asked == []
    assert torch.equal(corpus.proposals["x"], WINDOWS)
    assert make.asked == ["x"]
    with pytest.raises(InputError, match="toy: video 'z' has moments but no proposals"):
        build_corpus(moments, proposals=LazyProposals(videos[:-1], make))
    assert make.asked == ["x"]
