"""Greedy non-maximum suppression of segments on the time axis."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gnnreloc.errors import InputError

_FloatArray = npt.NDArray[np.float64]
_IntArray = npt.NDArray[np.int64]


def nms_1d(
    segments: Tensor, scores: Tensor, threshold: float, max_keep: int | None = None
) -> Tensor:
    r"""Keep the best segments and drop those that overlap a kept one too much.

    Segments are visited by falling score, equal scores in the order given. A visited segment is
    kept unless a segment kept before it has :math:`\mathrm{tIoU} > threshold` with it. A segment
    of length zero has a tIoU of 0 with everything: it is kept and suppresses nothing.

    Only neighbours are compared: :math:`\mathrm{tIoU} > t` bounds how far apart two starts can lie,
    so a kept segment of length :math:`\ell` is held against the segments that start in
    :math:`[s - \ell (1 - t) / t,\; s + \ell (1 - t)]`, found by bisection. Time is at most
    :math:`m \cdot kept`, memory :math:`O(m)`.

    Args:
        segments: start and end in seconds, ``[m, 2]``, with start <= end.
        scores: one number for each segment, ``[m]``; higher is better.
        threshold: the highest tIoU, in [0, 1], that a kept segment may have with another.
        max_keep: stop when this many are kept (at least 1); ``None`` keeps all that survive.

    Returns:
        Positions of the kept segments, best first, int64 ``[kept]``, on the device of ``segments``.

    Raises:
        InputError: if shapes do not fit, a number is not finite, a segment ends before it starts,
            or an option is out of its range.

    Example:
        >>> segments = torch.tensor([[0.0, 10.0], [0.0, 9.0], [20.0, 30.0]])
        >>> nms_1d(segments, torch.tensor([0.5, 0.9, 0.7]), threshold=0.8).tolist()
        [1, 2]
    """
    _check(segments, scores, threshold, max_keep)
    times = segments.detach().to("cpu", torch.float64).numpy()
    order = np.argsort(-scores.detach().to("cpu", torch.float64).numpy(), kind="stable")

    by_start = np.argsort(times[:, 0], kind="stable")
    starts, ends = times[by_start].T.copy()
    place = np.empty_like(by_start)
    place[by_start] = np.arange(len(by_start))
    first, beyond = _neighbours(starts, ends, threshold)

    suppressed = np.zeros(len(starts), dtype=bool)
    keep: list[int] = []
    for position in order.tolist():
        i = place[position]
        if suppressed[i]:
            continue
        keep.append(position)
        if len(keep) == max_keep:
            break
        if ends[i] > starts[i]:
            near = slice(first[i], beyond[i])
            shared = np.minimum(ends[near], ends[i]) - np.maximum(starts[near], starts[i])
            # The hull is the union wherever the two segments meet; elsewhere `shared` is negative.
            hull = np.maximum(ends[near], ends[i]) - np.minimum(starts[near], starts[i])
            suppressed[near] |= shared / hull > threshold
    return torch.tensor(keep, dtype=torch.int64, device=segments.device)


def _neighbours(
    starts: _FloatArray, ends: _FloatArray, threshold: float
) -> tuple[_IntArray, _IntArray]:
    """Slice of the segments, sorted by start, that can exceed the threshold with each segment."""
    lengths = ends - starts
    slack = 1e-9 * (np.abs(starts) + np.abs(ends))  # the comparison itself decides, not the bound
    latest = starts + (1.0 - threshold) * lengths + slack
    beyond = np.searchsorted(starts, latest, side="right")
    if threshold < 1e-6:
        return np.zeros_like(beyond), beyond
    earliest = starts - (1.0 - threshold) / threshold * lengths - slack
    return np.searchsorted(starts, earliest, side="left"), beyond


def _check(segments: Tensor, scores: Tensor, threshold: float, max_keep: int | None) -> None:
    if segments.dim() != 2 or segments.size(1) != 2:
        raise InputError(f"segments: shape {list(segments.shape)}; wanted [m, 2]")
    if scores.shape != segments.shape[:1]:
        raise InputError(f"scores: shape {list(scores.shape)}; wanted [{segments.size(0)}]")
    usable = segments.isfinite().all(dim=1) & (segments[:, 0] <= segments[:, 1])
    if not bool(usable.all()):
        row = int(usable.int().argmin())
        raise InputError(
            f"segments: row {row} is {segments[row].tolist()}; wanted finite start <= end"
        )
    if not bool(scores.isfinite().all()):
        row = int(scores.isfinite().int().argmin())
        raise InputError(f"scores: row {row} is {scores[row].item()}; wanted a finite number")
    if not 0.0 <= threshold <= 1.0:
        raise InputError(f"threshold: {threshold}; wanted a tIoU in [0, 1]")
    if max_keep is not None and max_keep < 1:
        raise InputError(f"max_keep: {max_keep}; wanted at least 1, or None")
