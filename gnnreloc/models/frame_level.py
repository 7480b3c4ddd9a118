"""Best alignment of the query with any segment of the reference, without any training."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from gnnreloc.data.features import Features, require_channels, resample_clip
from gnnreloc.data.sequence_set import pool_rows
from gnnreloc.models.relocalizer import Moments, Relocalizer
from gnnreloc.proposals import nms_1d

Alignment = Literal["diagonal", "dtw"]

MAX_OVERLAP = 0.7
#: Rows on each side that surround a segment, as a share of its length.
SURROUNDINGS = 0.25


class FrameLevel(Relocalizer):
    r"""The segments of the reference that align best with the query, row by row.

    The frame-level baseline of Feng et al., "Video Re-localization" (2018), in our reading: cosines
    :math:`S_{tj}` between T timesteps of the query and the rows of the reference, and the mean of
    them along a path through the block of every segment, from its first corner to its last. All
    segments on the row grid are scored, from ``shortest`` to ``longest`` times the query's length;
    of those that overlap (tIoU above 0.7) the best is kept. It looks at no proposal.

    With a ``contrast`` above 0 a segment must also stand out from what surrounds it. Let
    :math:`r_j = \max_t S_{tj}` be how well a row shows anything of the query: the contrast times
    the mean of :math:`r` in the segment, less its mean over a quarter of the segment's length on
    both sides, is added to the score. This is ours.

    A long reference is first averaged over groups of :math:`\lceil n / \text{max\_rows} \rceil`
    rows, so that time and memory are bounded (at most ``max_rows``\ :sup:`2` / 2 segments) and
    boundaries get as coarse as the groups.

    Args:
        alignment: ``diagonal``, the straight path (:func:`diagonal_scores`), or ``dtw``, the best
            monotone path (:func:`warped_scores`). Of the two, ``dtw`` has the higher mean R@1 over
            tIoU 0.5 to 0.9 on validation classes of ``bandai``, ``diagonal`` on ``synthetic``, by
            less.
        timesteps: number of timesteps T of the query.
        shortest: length of the shortest segment, in lengths of the query.
        longest: length of the longest segment, in lengths of the query.
        contrast: weight of what stands out from its surroundings; 0 leaves it out.
        centred: take the mean row of the reference from both clips: it is what all its moments have
            in common.
        max_rows: rows of the reference above which it is averaged.
        max_moments: number of moments that it gives at most.

    Raises:
        ValueError: if an option is unknown or out of range.
    """

    ranks_proposals = False

    def __init__(
        self,
        *,
        alignment: Alignment = "dtw",
        timesteps: int = 40,
        shortest: float = 0.5,
        longest: float = 2.0,
        contrast: float = 0.0,
        centred: bool = False,
        max_rows: int = 256,
        max_moments: int = 10,
    ) -> None:
        if alignment not in get_args(Alignment):
            raise ValueError(
                f"alignment must be one of {', '.join(get_args(Alignment))}, got {alignment!r}"
            )
        for name, number in (
            ("timesteps", timesteps),
            ("max_rows", max_rows),
            ("max_moments", max_moments),
        ):
            if number < 1:
                raise ValueError(f"{name}: at least 1 is needed, got {number}")
        if not 0 < shortest <= longest < math.inf:
            raise ValueError(
                f"wanted 0 < shortest <= longest, got shortest {shortest} and longest {longest}"
            )
        if not 0 <= contrast < math.inf:
            raise ValueError(f"contrast: wanted a number from 0, got {contrast}")
        self.alignment: Alignment = alignment
        self.timesteps = timesteps
        self.shortest = shortest
        self.longest = longest
        self.contrast = contrast
        self.centred = centred
        self.max_rows = max_rows
        self.max_moments = max_moments

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Score every segment of the reference by its alignment; proposals are ignored.

        Raises:
            InputError: if the two clips differ in width.
        """
        require_channels(query, reference)
        if self.centred:
            mean = reference.values.mean(dim=0)
            query = replace(query, values=query.values - mean)
            reference = replace(reference, values=reference.values - mean)
        rows = pool_rows(reference, math.ceil(reference.num_steps / self.max_rows))
        clip = resample_clip(query, self.timesteps)
        unit = torch.nn.functional.normalize
        cosines = unit(clip, dim=-1) @ unit(rows.values, dim=-1).T
        # Rounded, so that 7.2 s are 72 rows of 0.1 s and not a hair more.
        length = round(query.duration / rows.step, 6)
        segments = all_segments(rows.num_steps, length * self.shortest, length * self.longest)
        align = diagonal_scores if self.alignment == "diagonal" else warped_scores
        scores = align(cosines, segments)
        if self.contrast:
            scores = scores + self.contrast * standing_out(cosines.amax(dim=0), segments)
        seconds = (rows.offset + segments.double() * rows.step).clamp(max=reference.duration)
        kept = nms_1d(seconds, scores, MAX_OVERLAP, max_keep=self.max_moments)
        return Moments.ranked(seconds[kept], scores[kept])

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(alignment={self.alignment}, timesteps={self.timesteps}, "
            f"shortest={self.shortest:g}, longest={self.longest:g})"
        )


def all_segments(rows: int, shortest: float, longest: float) -> Tensor:
    """All segments of a video on its row grid, from one length to another.

    Args:
        rows: number of rows of the video.
        shortest: rows of the shortest segment; at least one row, at most the video, is taken.
        longest: rows of the longest segment.

    Returns:
        First row and row after the last one, int64 ``[m, 2]``, by first row, then by length. Where
        no whole number lies between the lengths, the one below ``longest`` is taken.

    Example:
        >>> all_segments(4, 2.5, 3.5).tolist()
        [[0, 3], [1, 4]]
        >>> all_segments(4, 9.0, 20.0).tolist()
        [[0, 4]]
    """
    high = min(rows, max(1, math.floor(longest)))
    low = min(high, max(1, math.ceil(shortest)))
    lengths = torch.arange(low, high + 1)
    starts = torch.arange(rows)
    ends = starts.unsqueeze(1) + lengths
    inside = ends <= rows
    return torch.stack([starts.unsqueeze(1).expand_as(ends)[inside], ends[inside]], dim=1)


def standing_out(values: Tensor, segments: Tensor, share: float = SURROUNDINGS) -> Tensor:
    """Mean of the values inside each segment less their mean around it.

    Args:
        values: one for each row, ``[n]``.
        segments: first row and row after the last one, ``[m, 2]``.
        share: rows on each side that surround a segment, as a share of its length; at least one,
            where the video has it.

    Returns:
        ``[m]``; where nothing surrounds a segment, 0.

    Example:
        >>> values = torch.tensor([0.0, 4.0, 2.0, 1.0])
        >>> standing_out(values, torch.tensor([[1, 3], [0, 4]])).tolist()
        [2.5, 0.0]
    """
    sums = torch.cat([values.new_zeros(1), values]).double().cumsum(dim=0)
    start, end = segments.unbind(dim=1)
    width = ((end - start) * share).round().long().clamp(min=1)
    first, last = (start - width).clamp(min=0), (end + width).clamp(max=len(values))
    around = (last - first) - (end - start)
    inside = (sums[end] - sums[start]) / (end - start)
    outside = (sums[last] - sums[first] - (sums[end] - sums[start])) / around.clamp(min=1)
    return torch.where(around > 0, inside - outside, 0.0).to(values)


def diagonal_scores(cosines: Tensor, segments: Tensor) -> Tensor:
    r"""Mean cosine along the straight diagonal of each segment's block.

    .. math::
        s = \frac{1}{T} \sum_{t=0}^{T-1} S_t \bigl(a + (t + \tfrac12) \tfrac{b - a}{T} \bigr)

    where :math:`S_t(x)` interpolates between the centres :math:`j + \tfrac12` of the segment's rows
    and is constant beyond the first and the last of them.

    Args:
        cosines: of query timesteps and reference rows, ``[T, n]``.
        segments: first row and row after the last one, ``[m, 2]``.

    Returns:
        ``[m]``.

    Example:
        >>> cosines = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.8, 0.0]])
        >>> diagonal_scores(cosines, torch.tensor([[1, 3], [0, 2]])).tolist()
        [0.9, 0.0]
    """
    timesteps = cosines.size(0)
    shares = (torch.arange(timesteps, dtype=cosines.dtype) + 0.5) / timesteps
    first, last = segments[:, :1], segments[:, 1:] - 1
    place = (first + shares * (last + 1 - first) - 0.5).clamp(min=first, max=last)
    below = place.floor().long()
    above = (below + 1).minimum(last)
    at = torch.arange(timesteps)
    return torch.lerp(cosines[at, below], cosines[at, above], place - below).mean(dim=1)


def warped_scores(cosines: Tensor, segments: Tensor) -> Tensor:
    r"""Mean cosine along the best path of dynamic time warping through each segment's block.

    A path leads from the first query timestep and the segment's first row to the last of both, one
    timestep, one row or one of both at a time. A step of both counts twice, and so does the first
    cell (the symmetric form of Sakoe and Chiba, 1978): every path through T timesteps and L rows
    then has the weight :math:`T + L`, by which the sum is divided, and the best path is exact.

    Args:
        cosines: of query timesteps and reference rows, ``[T, n]``.
        segments: first row and row after the last one, ``[m, 2]``.

    Returns:
        ``[m]``.

    Example:
        >>> cosines = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
        >>> warped_scores(cosines, torch.tensor([[0, 3], [2, 3]])).tolist()
        [1.0, 0.3333]
    """
    timesteps, rows = cosines.shape
    starts, which = segments[:, 0].unique(return_inverse=True)
    lengths = segments[:, 1] - segments[:, 0]
    longest = int(lengths.max())
    # block[t, k]: the cosines of timestep t with the k-th row after each start.
    beyond = torch.nn.functional.pad(cosines, (0, longest))
    block = beyond[:, starts.unsqueeze(1) + torch.arange(longest)].transpose(1, 2)
    never = cosines.new_full((), -math.inf)
    # Cells of one anti-diagonal t + k depend on the two before it alone, so that all starts and all
    # cells of it are done at once. best[t + 1] holds the sums at its cells, by timestep.
    before = last = never.expand(timesteps + 1, len(starts))
    sums = cosines.new_empty(longest, len(starts))
    for diagonal in range(timesteps + longest - 1):
        low, high = max(0, diagonal - longest + 1), min(timesteps, diagonal + 1)
        at = torch.arange(low, high)
        here = block[at, diagonal - at]
        both = before[low:high] + 2 * here
        if diagonal == 0:
            both = 2 * here
        one = torch.maximum(last[low:high], last[low + 1 : high + 1]) + here
        before, last = last, never.expand(timesteps + 1, len(starts)).clone()
        last[low + 1 : high + 1] = torch.maximum(both, one)
        if high == timesteps:
            sums[diagonal - timesteps + 1] = last[timesteps]
    return sums[lengths - 1, which] / (timesteps + lengths)
