"""Temporal intersection over union (tIoU) of segments, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from gnnreloc.errors import InputError


def temporal_iou(a: Tensor, b: Tensor) -> Tensor:
    r"""Temporal intersection over union of every segment of one list with every one of another.

    .. math:: \mathrm{tIoU}(a, b) = \frac{|a \cap b|}{|a \cup b|}

    A segment of length zero covers nothing: its tIoU is 0 with every segment, an identical one
    included. So is that of a segment which ends before it starts, as a refinement may produce.

    Args:
        a: start and end in seconds, ``[m, 2]``.
        b: start and end in seconds, ``[n, 2]``.

    Returns:
        tIoU in [0, 1], float64 ``[m, n]``.

    Raises:
        InputError: if a list has another shape or holds a number that is not finite.

    Example:
        >>> predicted = torch.tensor([[0.0, 4.0]])
        >>> temporal_iou(predicted, torch.tensor([[2.0, 6.0], [1.0, 3.0]])).tolist()
        [[0.3333333333333333, 0.5]]
    """
    a_start, a_end = _read_segments("a", a).unsqueeze(1).unbind(-1)
    b_start, b_end = _read_segments("b", b).unsqueeze(0).unbind(-1)
    shared = torch.minimum(a_end, b_end) - torch.maximum(a_start, b_start)
    # Where two segments meet, their union is their hull: one rounding less than a sum of lengths.
    hull = torch.maximum(a_end, b_end) - torch.minimum(a_start, b_start)
    return torch.where(shared > 0, shared / hull, 0.0)


def best_overlap(predictions: Tensor, targets: Tensor) -> Tensor:
    """Overlap (tIoU) of each prediction with the target that it fits best (any-instance credit).

    Args:
        predictions: start and end in seconds, ``[m, 2]``.
        targets: start and end in seconds of all true moments in the reference, ``[g, 2]``.

    Returns:
        Highest tIoU of each prediction, float64 ``[m]``; 0 where there is no target.

    Raises:
        InputError: if a list has another shape or holds a number that is not finite.

    Example:
        >>> truth = torch.tensor([[0.0, 4.0], [10.0, 14.0]])
        >>> best_overlap(torch.tensor([[9.0, 14.0], [5.0, 6.0]]), truth).tolist()
        [0.8, 0.0]
    """
    overlaps = temporal_iou(predictions, targets)
    if overlaps.size(1) == 0:
        return overlaps.new_zeros(overlaps.size(0))
    return overlaps.amax(dim=1)


def _read_segments(name: str, segments: Tensor) -> Tensor:
    if segments.dim() != 2 or segments.size(1) != 2:
        raise InputError(f"{name}: shape {list(segments.shape)}; wanted segments [m, 2]")
    finite = segments.isfinite().all(dim=1)
    if not bool(finite.all()):
        row = int(finite.int().argmin())
        raise InputError(f"{name}: row {row} is {segments[row].tolist()}; wanted finite seconds")
    return segments.to(torch.float64)
