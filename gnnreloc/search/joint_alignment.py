"""A query aligned with many short parts of videos at once.

The numbers are those that :class:`~gnnreloc.models.FrameLevel` gives for one part after the other;
but a part of a minute is so little work that most of its time would go into calling it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gnnreloc.data.features import Features, require_channels, resample_clip
from gnnreloc.models.frame_level import (
    MAX_OVERLAP,
    FrameLevel,
    all_segments,
    diagonal_scores,
    standing_out,
    warped_scores,
)
from gnnreloc.proposals import nms_1d

#: Cells (query timestep, row, length) that are aligned together, so that a step of the alignment
#: stays in the cache of a core.
CELLS = 4_000_000


class VideoPart(NamedTuple):
    """A part of a video.

    Attributes:
        video: its name.
        features: rows of the part, at their place in time.
        first: number, from the first row of the part, of the row at which segments begin.
        last: number of the row at which they end; what is beyond only surrounds them.
    """

    video: str
    features: Features
    first: int
    last: int


class ScoredSegments(NamedTuple):
    """Segments of a video, in no order.

    Attributes:
        video: its name.
        segments: float64 ``[m, 2]`` in seconds of the video.
        scores: ``[m]``.
    """

    video: str
    segments: Tensor
    scores: Tensor


def align(
    system: FrameLevel, query: Features, parts: Iterable[VideoPart]
) -> Iterator[ScoredSegments]:
    """Score every segment of every part, as ``system`` does; see :func:`distinct` for the rest.

    Args:
        system: how they are scored.
        query: the query clip.
        parts: all of one step; each is read when it is needed.

    Raises:
        InputError: if the query and a part differ in width.
    """
    clip = torch.nn.functional.normalize(resample_clip(query, system.timesteps), dim=-1)
    group: list[VideoPart] = []
    cells = 0.0
    for part in parts:
        features, rows = part.features, part.features.num_steps
        require_channels(query, features)
        if rows > system.max_rows:  # it averages rows, as it does for a long video
            moments = system.localize(query, features)
            yield ScoredSegments(part.video, moments.segments, moments.scores)
            continue
        size = system.timesteps * rows * min(rows, system.longest * query.duration / features.step)
        if group and cells + size > CELLS:
            yield from _align_group(system, clip, query, group)
            group, cells = [], 0.0
        group.append(part)
        cells += size
    if group:
        yield from _align_group(system, clip, query, group)


def distinct(system: FrameLevel, scored: ScoredSegments) -> ScoredSegments:
    """The moments of a part that ``system`` gives: the best of those that overlap."""
    video, segments, scores = scored
    kept = nms_1d(segments, scores, MAX_OVERLAP, max_keep=system.max_moments)
    return ScoredSegments(video, segments[kept], scores[kept])


def _align_group(
    system: FrameLevel, clip: Tensor, query: Features, group: Sequence[VideoPart]
) -> Iterator[ScoredSegments]:
    rows = torch.cat([part.features.values for part in group])
    cosines = clip @ torch.nn.functional.normalize(rows, dim=-1).T
    # Rounded, so that 7.2 s are 72 rows of 0.1 s and not a hair more.
    length = round(query.duration / group[0].features.step, 6)
    shortest, longest = length * system.shortest, length * system.longest
    inside = [
        part.first + all_segments(part.last - part.first, shortest, longest) for part in group
    ]
    counts = [part.features.num_steps for part in group]
    # No segment reaches into the next part, so neither does its alignment.
    begins = torch.tensor([0, *counts[:-1]]).cumsum(dim=0)
    placed = torch.cat([own + begin for own, begin in zip(inside, begins, strict=True)])
    score = diagonal_scores if system.alignment == "diagonal" else warped_scores
    scores = score(cosines, placed).split([len(own) for own in inside])
    likeness = cosines.amax(dim=0).split(counts)
    for part, own, values, like in zip(group, inside, scores, likeness, strict=True):
        if system.contrast:
            values = values + system.contrast * standing_out(like, own)
        features = part.features
        seconds = features.offset + own.double() * features.step
        yield ScoredSegments(part.video, seconds.clamp(max=features.duration), values)
