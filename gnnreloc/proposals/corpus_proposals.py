"""Other candidates for a corpus than those of its data set, made from its training moments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Generic, TypeVar

import pandas as pd
import torch
from torch import Tensor

from gnnreloc.data.corpus import Corpus
from gnnreloc.data.features import Features
from gnnreloc.data.lazy_proposals import LazyProposals
from gnnreloc.errors import InputError
from gnnreloc.proposals.actionness import ActionnessModel, fit_actionness
from gnnreloc.proposals.sst import SSTNetwork, train_sst
from gnnreloc.proposals.tag import tag_proposals
from gnnreloc.proposals.windows import geometric_lengths, window_proposals

PROPOSAL_KINDS = ("dataset", "tag", "windows", "sst")
#: Candidates of a video, at most; as many windows as it takes.
MOST_PROPOSALS = 100
WINDOW_LENGTHS = 6
WINDOW_OVERLAP = 0.5
#: Shares of the training moments, by length: shorter and longer ones are not aimed at.
SHORTEST_SHARE, LONGEST_SHARE = 0.05, 0.95

M = TypeVar("M")


def replace_proposals(corpus: Corpus, kind: str, *, seed: int = 0) -> Corpus:
    """The same corpus with other candidates.

    - ``"dataset"``: those the data set comes with; the corpus is returned as it is.
    - ``"tag"``: temporal actionness grouping on our own actionness
      (:func:`~gnnreloc.proposals.fit_actionness`), at most 100; the whole video where it finds
      none.
    - ``"windows"``: sliding windows, neighbours half overlapping, of six lengths from that which
      5 % of the training moments do not reach to that which 95 % do not exceed.
    - ``"sst"``: the network of Buch et al. 2017 (:func:`~gnnreloc.proposals.train_sst`), at most
      100.

    All are computed when a video is first asked for, and what they need is learned, from the
    moments of subset ``"train"`` alone, when the first video is. Processes that are started before
    that, as DataLoader workers may be, each learn it for themselves; the same seed gives the same
    candidates in all of them.

    Args:
        corpus: the corpus.
        kind: one of :data:`PROPOSAL_KINDS`.
        seed: seed of what is learned, at least 0.

    Returns:
        A corpus whose ``settings`` hold ``proposals``, the kind.

    Raises:
        InputError: if the kind is unknown, the seed is negative, or the corpus has no training
            moments. Asking for the first video raises it where the moments do not suit the kind.
    """
    if kind not in PROPOSAL_KINDS:
        known = ", ".join(PROPOSAL_KINDS)
        raise InputError(f"proposals: found {kind!r}, wanted one of {known}")
    if seed < 0:
        raise InputError(f"proposals: seed must be at least 0, got {seed}")
    if kind == "dataset":
        return corpus
    makers: dict[str, type[_Windows] | type[TagOnActionness] | type[_SST]]
    makers = {"windows": _Windows, "tag": TagOnActionness, "sst": _SST}
    make = makers[kind](corpus.subset("train"), corpus.features, seed)
    return replace(
        corpus,
        proposals=LazyProposals(corpus.proposals, make),
        settings={**corpus.settings, "proposals": kind},
    )


class _Maker(ABC, Generic[M]):
    """Makes the proposals of a video with something learned from the training moments."""

    def __init__(self, moments: pd.DataFrame, features: Mapping[str, Features], seed: int) -> None:
        self.moments, self.features, self.seed = moments, features, seed
        self.learned: M | None = None

    def __call__(self, video: str) -> Tensor:
        """Proposals of a video, float64 ``[m, 2]``; the first call learns."""
        if self.learned is None:
            self.learned = self.learn()
        return self.propose(self.learned, self.features[video])

    @abstractmethod
    def learn(self) -> M:
        """What all videos need, from the training moments."""

    @abstractmethod
    def propose(self, learned: M, video: Features) -> Tensor:
        """Proposals of one video, float64 ``[m, 2]``."""

    def moment_length(self, share: float) -> float:
        """Length in seconds that this share of the training moments does not exceed."""
        return float((self.moments["end"] - self.moments["start"]).quantile(share))


class _Windows(_Maker[tuple[float, ...]]):
    def learn(self) -> tuple[float, ...]:
        bounds = self.moment_length(SHORTEST_SHARE), self.moment_length(LONGEST_SHARE)
        return geometric_lengths(*bounds, WINDOW_LENGTHS)

    def propose(self, learned: tuple[float, ...], video: Features) -> Tensor:
        return window_proposals(video.duration, lengths=learned, overlap=WINDOW_OVERLAP)


class TagOnActionness(_Maker[ActionnessModel]):
    """Video to its TAG proposals, by an actionness model of the training classes.

    At most 100 a video, none so short that its tIoU with all but the shortest training moments is
    below one half; the whole video where TAG finds none. The model is trained when the first video
    is asked for, once, on training videos alone: the proposals leak no class of test.

    Args:
        moments: the training rows of a moment table.
        features: features of the videos.
        seed: seed of the actionness model.
    """

    def learn(self) -> ActionnessModel:
        """The actionness model."""
        return fit_actionness(self.moments, self.features, seed=self.seed)

    def propose(self, learned: ActionnessModel, video: Features) -> Tensor:
        """Proposals of one video, float64 ``[m, 2]``."""
        segments, _ = tag_proposals(
            learned(video),
            step=video.step,
            offset=video.offset,
            # A proposal of less than half a moment's length has a tIoU below one half with it.
            min_length=self.moment_length(SHORTEST_SHARE) / 2.0,
            max_proposals=MOST_PROPOSALS,
        )
        if len(segments):
            return segments
        return torch.tensor([[video.offset, video.duration]], dtype=torch.float64)


class _SST(_Maker[SSTNetwork]):
    def learn(self) -> SSTNetwork:
        return train_sst(self.moments, self.features, seed=self.seed)

    def propose(self, learned: SSTNetwork, video: Features) -> Tensor:
        return learned.propose(video, max_proposals=MOST_PROPOSALS)[0]
