"""Where in videos to look more closely: the places of candidates, and what is read of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from torch import Tensor

from gnnreloc.search.index_tables import Candidate


def first_places(
    candidates: Sequence[Candidate], count: int, distance: float
) -> Sequence[Candidate]:
    """Candidates up to the one with which there would be more places than ``count``.

    Those of a video that are closer to one of before than a distance are in its place.

    Args:
        candidates: best first.
        count: how many places.
        distance: in seconds, from the end of one to the start of the other.

    Example:
        >>> rows = [("a", 1, 5, 0.9), ("a", 3, 7, 0.8), ("b", 3, 7, 0.7)]
        >>> found = [Candidate(*row) for row in rows]
        >>> [one.score for one in first_places(found, 1, 4.0)]
        [0.9, 0.8]
    """
    places: dict[str, list[Candidate]] = defaultdict(list)
    number = 0
    for position, one in enumerate(candidates):
        known = places[one.video]
        if any(
            one.start < other.end + distance and one.end > other.start - distance for other in known
        ):
            continue
        if number == count:
            return candidates[:position]
        known.append(one)
        number += 1
    return candidates


def neighbourhoods(
    segments: Tensor, rows: int, step: float
) -> Iterator[tuple[int, int, list[int]]]:
    """Parts of a video that hold segments; those that meet are joined.

    Args:
        segments: ``[m, 2]`` in seconds; they may leave the video.
        rows: number of feature rows of the video.
        step: seconds from one row to the next.

    Yields:
        First row and row after the last one of each part, and the numbers of its segments.

    Example:
        >>> import torch
        >>> segments = torch.tensor([[6.5, 8.5], [1.5, 4.5], [-0.5, 2.5]])
        >>> list(neighbourhoods(segments, 9, 1.0))
        [(0, 5, [2, 1]), (6, 9, [0])]
    """
    first = last = 0
    inside: list[int] = []
    for place in segments[:, 0].argsort(stable=True).tolist():
        start, end = (segments[place] / step).tolist()
        # Rounded, so that 7.2 s are 72 rows of 0.1 s and not a hair more.
        low, high = max(0, math.floor(round(start, 6))), min(rows, math.ceil(round(end, 6)))
        if inside and low > last:
            yield first, last, inside
            inside = []
        first, last = (first, max(last, high)) if inside else (low, high)
        inside.append(place)
    if inside:
        yield first, last, inside
