"""Candidate moments that are computed when a video is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor

from gnnreloc.errors import InputError


class LazyProposals(Mapping[str, Tensor]):
    """Read-only mapping from video to proposals, each computed once, when it is first read.

    ``video in proposals``, ``len`` and iteration compute nothing, so that a corpus of thousands of
    videos is ready at once. What was computed is kept, and is part of a pickle; to be pickled at
    all, for the workers of a ``torch.utils.data.DataLoader`` that are spawned, ``make`` must be.

    Example:
        >>> lazy = LazyProposals(["a"], lambda video: torch.tensor([[0.0, 4.0]]).double())
        >>> len(lazy), lazy["a"].tolist()
        (1, [[0.0, 4.0]])

    Args:
        videos: names of the videos; repeated ones count once.
        make: name of a video to its proposals, float64 ``[m, 2]`` in seconds with ``m >= 1``.
    """

    def __init__(self, videos: Iterable[str], make: Callable[[str], Tensor]) -> None:
        self._videos = dict.fromkeys(videos)
        self._make = make
        self._kept: dict[str, Tensor] = {}

    def __getitem__(self, video: str) -> Tensor:
        """The proposals of a video, float64 ``[m, 2]`` in seconds.

        Raises:
            KeyError: if the video is not among the names given.
            InputError: if what ``make`` gives is not usable; names the video.
        """
        if video not in self._videos:
            raise KeyError(video)
        if video not in self._kept:
            proposals = self._make(video)
            check_proposals(proposals, f"video {video!r}")
            if proposals.dtype != torch.float64:
                raise InputError(
                    f"video {video!r}: found proposals of {proposals.dtype}, wanted torch.float64"
                )
            self._kept[video] = proposals
        return self._kept[video]

    def __contains__(self, video: object) -> bool:
        return video in self._videos

    def __iter__(self) -> Iterator[str]:
        return iter(self._videos)

    def __len__(self) -> int:
        return len(self._videos)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._kept)} of {len(self)} videos computed)"


def check_proposals(proposals: object, culprit: str) -> None:
    """Raise unless ``proposals`` is a tensor ``[m, 2]``, ``m >= 1``, of finite start < end.

    Args:
        proposals: what is to be checked.
        culprit: whose proposals they are; begins the message.

    Raises:
        InputError: naming the culprit, what was found and, where one is wrong, the row.
    """
    if not isinstance(proposals, Tensor):
        found = type(proposals).__name__
        raise InputError(f"{culprit}: found proposals of type {found}, wanted a tensor [m, 2]")
    if proposals.dim() != 2 or proposals.size(1) != 2 or proposals.size(0) == 0:
        shape = list(proposals.shape)
        raise InputError(f"{culprit}: found proposals of shape {shape}, wanted [m, 2] with m >= 1")
    good = proposals.isfinite().all(dim=1) & (proposals[:, 0] < proposals[:, 1])
    if not bool(good.all()):
        row = int(good.int().argmin())
        pair = proposals[row].tolist()
        raise InputError(
            f"{culprit}: proposal {row} (from 0) is {pair}, wanted finite seconds start < end"
        )
