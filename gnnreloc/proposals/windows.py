"""Sliding windows of several lengths: candidate moments that need no model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gnnreloc.errors import InputError

# More windows of one length than this is a slip in the units, and would fill the memory.
_MOST_WINDOWS = 1_000_000


def window_proposals(
    duration: float,
    *,
    lengths: Sequence[float],
    overlap: float = 0.75,
    min_length: float = 0.0,
) -> Tensor:
    """Cover a video with windows of each length.

    Windows of one length start every ``length * (1 - overlap)`` seconds from 0 on. One more, flush
    with the end of the video, follows where the regular ones leave a rest. A length of at least
    ``duration`` gives the whole video, once.

    Args:
        duration: length of the video in seconds.
        lengths: window lengths in seconds; ones that differ by less than a millionth count once.
        overlap: share of a window, in [0, 1), that it has in common with its neighbour.
        min_length: drop windows shorter than this many seconds.

    Returns:
        Windows in seconds inside ``[0, duration]``, float64 ``[m, 2]``, without duplicates: by
        length in the order given, then by start.

    Raises:
        InputError: if a number is not finite, a length or the duration is not positive, no length
            is given, the overlap is out of its range, or one length gives over a million windows.

    Example:
        >>> window_proposals(10.0, lengths=[4.0], overlap=0.5).tolist()
        [[0.0, 4.0], [2.0, 6.0], [4.0, 8.0], [6.0, 10.0]]
        >>> window_proposals(10.0, lengths=[6.0, 12.0, 20.0], overlap=0.5).tolist()
        [[0.0, 6.0], [3.0, 9.0], [4.0, 10.0], [0.0, 10.0]]
    """
    _check_positive("duration", duration)
    if len(lengths) == 0:
        raise InputError("lengths: empty; wanted at least one window length in seconds")
    for length in lengths:
        _check_positive("lengths", length)
    if not 0.0 <= overlap < 1.0:
        raise InputError(f"overlap: {overlap}; wanted a share in [0, 1)")
    if not (math.isfinite(min_length) and min_length >= 0.0):
        raise InputError(f"min_length: {min_length}; wanted seconds >= 0")

    distinct: list[float] = []
    for length in (min(float(length), float(duration)) for length in lengths):
        # Lengths that rounding alone keeps apart would give some windows twice.
        if not any(math.isclose(length, other, rel_tol=1e-6) for other in distinct):
            distinct.append(length)
    windows = [torch.empty(0, 2, dtype=torch.float64)]
    for length in distinct:
        if length >= min_length:
            windows.append(_slide(float(duration), length, length * (1.0 - overlap)))
    return torch.cat(windows)


def geometric_lengths(shortest: float, longest: float, count: int) -> tuple[float, ...]:
    """Window lengths in a constant ratio, so that every moment is close to one of them.

    Args:
        shortest: first length in seconds.
        longest: last length in seconds, at least ``shortest``.
        count: how many lengths; 1 gives ``shortest`` alone.

    Returns:
        ``count`` rising lengths in seconds; the first and the last are exactly those given.

    Raises:
        InputError: if a length is not positive and finite, ``longest`` is less than ``shortest``,
            or ``count`` is less than 1.

    Example:
        >>> [round(length, 3) for length in geometric_lengths(2.0, 16.0, 4)]
        [2.0, 4.0, 8.0, 16.0]
    """
    _check_positive("shortest", shortest)
    _check_positive("longest", longest)
    if longest < shortest:
        raise InputError(f"longest: {longest}; wanted at least shortest = {shortest} seconds")
    if count < 1:
        raise InputError(f"count: {count}; wanted at least 1")
    return tuple(np.geomspace(shortest, longest, count).tolist())


def _slide(duration: float, length: float, stride: float) -> Tensor:
    """Windows of one length, ``[m, 2]``; the last one ends with the video."""
    rest = duration - length
    # A regular window that ends with the video but for rounding is the flush one.
    regular = math.ceil(rest / stride - 1e-9)
    if regular >= _MOST_WINDOWS:
        raise InputError(
            f"lengths: {length} s every {stride} s gives {regular + 1} windows in {duration} s; "
            f"wanted at most {_MOST_WINDOWS}"
        )
    if regular == 0:
        rest = 0.0  # the whole video but for rounding
    starts = torch.arange(regular, dtype=torch.float64) * stride
    ends = (starts + length).clamp(max=duration)
    flush = torch.tensor([[rest, duration]], dtype=torch.float64)
    return torch.cat((torch.stack((starts, ends), dim=1), flush))


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0.0):
        raise InputError(f"{name}: {value}; wanted seconds > 0")
