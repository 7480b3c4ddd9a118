"""The one interface of every system, and the one type of its answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from gnnreloc.data.features import Features, check_segments
from gnnreloc.errors import InputError


@dataclass(frozen=True)
class Moments:
    """Ranked moments of one reference video, best first.

    Args:
        segments: float64 ``[m, 2]``, start and end in seconds, after refinement.
        scores: ``[m]``, not increasing.
        candidates: float64 ``[m, 2]``, the same moments before refinement; equal to ``segments``
            for a system that does not refine.
    """

    segments: Tensor
    scores: Tensor
    candidates: Tensor

    @classmethod
    def ranked(cls, segments: Tensor, scores: Tensor, candidates: Tensor | None = None) -> Moments:
        """Sort by score; equal scores keep the order they came in."""
        order = torch.sort(scores, descending=True, stable=True).indices
        candidates = segments if candidates is None else candidates
        return cls(segments[order], scores[order], candidates[order])

    def as_tensor(self) -> Tensor:
        """Float64 ``[m, 3]``: start (s), end (s), score."""
        return torch.cat([self.segments, self.scores.to(self.segments).unsqueeze(1)], dim=1)

    def __len__(self) -> int:
        return len(self.scores)


class Relocalizer(ABC):
    """Finds the moment of a reference video that shows the action of a query clip.

    Evaluation sees nothing of a system but this class, so that chance, a training-free method and
    a graph network are judged alike.
    """

    #: How often a stochastic system is asked for each pair, to average its luck away.
    repeats: int = 1
    #: Whether it ranks a list of candidates, given or proposed, which the protocol ``filtered`` can
    #: thin out; other systems give moments of their own making.
    ranks_proposals: bool = True
    #: Whether it looks at the query; one that does not is no answer to it, whatever its figures.
    reads_query: bool = True

    @abstractmethod
    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Rank moments of the reference.

        Args:
            query: the query clip.
            reference: the whole reference video.
            proposals: candidate moments, float64 ``[m, 2]`` in seconds.

        Raises:
            InputError: if a system that needs proposals is given none.
        """

    def encode(self, reference: Features, proposals: Tensor | None = None) -> EncodedReference:
        """Do what can be done for a reference before a query is known, to ask it many times.

        What is done at all depends on the system, the answers do not.

        Args:
            reference: the whole reference video.
            proposals: as for :meth:`localize`.
        """
        return EncodedReference(self, reference, proposals)


class EncodedReference:
    """A reference that :meth:`Relocalizer.encode` made ready for queries.

    Args:
        system: the system, whose weights must not change any more.
        reference: the whole reference video.
        proposals: as for :meth:`Relocalizer.localize`.
    """

    def __init__(
        self, system: Relocalizer, reference: Features, proposals: Tensor | None = None
    ) -> None:
        self.system = system
        self.reference = reference
        self.proposals = proposals

    def localize(self, query: Features) -> Moments:
        """Rank moments of the reference, as :meth:`Relocalizer.localize`."""
        return self.system.localize(query, self.reference, self.proposals)


def require_proposals(proposals: Tensor | None) -> Tensor:
    """The proposals, or an error that says what is wrong with them.

    Raises:
        InputError: if there are none, or they are not ``[m, 2]``, or one is not finite or does not
            end after it starts.
    """
    if proposals is None or len(proposals) == 0:
        raise InputError("the reference has no proposals: there is nothing to rank")
    check_segments(proposals)
    return proposals
