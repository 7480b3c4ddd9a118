"""Temporal actionness grouping (TAG): candidate moments from a curve of actionness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gnnreloc.errors import InputError
from gnnreloc.proposals.nms import nms_1d

#: Actionness levels at which the smoothed curve is cut (strictly above counts as action).
TAG_THRESHOLDS = (0.01, 0.05, 0.1, 0.15, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
#: Shares of snippets below the level that a growing proposal may take in.
TAG_TOLERANCES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)

# Actionness is held this far from 0 and 1 before its log-odds are taken: one saturated snippet must
# not outweigh a whole moment (log-odds stay within about 6.9).
_LOGIT_MARGIN = 1e-3

_FloatArray = npt.NDArray[np.float64]
_IntArray = npt.NDArray[np.int64]


def tag_proposals(
    actionness: Tensor | npt.ArrayLike,
    *,
    step: float = 1.0,
    offset: float = 0.0,
    sigma: float = 3.0,
    thresholds: Sequence[float] = TAG_THRESHOLDS,
    tolerances: Sequence[float] = TAG_TOLERANCES,
    nms_threshold: float = 0.9,
    min_length: float = 0.0,
    max_proposals: int | None = None,
    scoring: Literal["logit", "actionness"] = "logit",
) -> tuple[Tensor, Tensor]:
    r"""Group snippets of high actionness into proposals (Zhao et al. 2017, the paper's section 4).

    1. Smooth the curve with a Gaussian (mirrored at both ends, cut at four deviations).
    2. For each threshold mark the snippets strictly above it; each stretch of marked snippets has a
       rising and a falling edge.
    3. For each tolerance grow to the right from every rising edge while the share of unmarked
       snippets since that edge is at most the tolerance; the proposal ends with the last marked
       snippet that was reached. Grow to the left from every falling edge in the same way.
    4. Score each distinct proposal over the snippets :math:`t` inside it, from the curve *before*
       smoothing, and thin them out by non-maximum suppression.

    The published detector adds up foreground logits. A curve of probabilities has lost them, so
    ``scoring="logit"`` adds up :math:`\log a_t - \log(1 - a_t)` with :math:`a_t` held within
    [0.001, 0.999]: a snippet below one half counts against its proposal.
    ``scoring="actionness"`` adds up :math:`a_t`, which always prefers the longer of two nested
    proposals. Both are our reading.

    An actionness model has to be trained on the training classes alone, or the proposals leak
    the test classes.

    Args:
        actionness: probability of action in each snippet, ``[n]``, in [0, 1].
        step: seconds from one snippet to the next.
        offset: start of the first snippet in seconds; snippet i covers
            ``[offset + i * step, offset + (i + 1) * step)``.
        sigma: standard deviation of the Gaussian in snippets; 0 leaves the curve as it is.
        thresholds: actionness levels, each in [0, 1].
        tolerances: shares of unmarked snippets, each in [0, 1].
        nms_threshold: highest tIoU between two proposals; 1 keeps all distinct ones.
        min_length: shortest proposal in seconds; shorter ones are dropped before suppression.
        max_proposals: keep this many of the best, at least 1; ``None`` keeps all.
        scoring: what is added up inside a proposal.

    Returns:
        Proposals in seconds, float64 ``[m, 2]``, and their scores, float64 ``[m]``, best first
        (equal scores: earlier start, then earlier end). ``m`` is 0 if no snippet exceeds any
        threshold.

    Raises:
        InputError: if the curve is empty, not one-dimensional, or holds a value outside [0, 1], or
            an option is out of its range.

    Example:
        >>> curve = [0.1, 0.9, 0.9, 0.2, 0.8, 0.1]
        >>> segments, _ = tag_proposals(curve, sigma=0, thresholds=[0.5], tolerances=[0.0, 0.4])
        >>> segments.tolist()
        [[1.0, 3.0], [1.0, 5.0], [4.0, 5.0]]
    """
    values = _read_curve(actionness)
    _check_options(step, offset, sigma, min_length, thresholds, tolerances)
    starts, ends = _group(_smooth(values, sigma), thresholds, tolerances)
    long_enough = (ends - starts) * step >= min_length - 1e-9 * step
    starts, ends = starts[long_enough], ends[long_enough]

    total = np.concatenate(([0.0], np.cumsum(_snippet_scores(values, scoring))))
    scores = torch.from_numpy(total[ends] - total[starts])
    segments = torch.from_numpy(offset + step * np.stack((starts, ends), axis=1))
    keep = nms_1d(segments, scores, nms_threshold, max_proposals)
    return segments[keep], scores[keep]


def _read_curve(actionness: Tensor | npt.ArrayLike) -> _FloatArray:
    if isinstance(actionness, Tensor):
        actionness = actionness.detach().to("cpu", torch.float64).numpy()
    try:
        values = np.asarray(actionness, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"actionness: {error}; wanted numbers in [0, 1]") from error
    if values.ndim != 1 or values.size == 0:
        raise InputError(f"actionness: shape {list(values.shape)}; wanted [n] with n >= 1")
    wrong = ~((values >= 0.0) & (values <= 1.0))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(f"actionness: snippet {row} is {values[row]}; wanted a value in [0, 1]")
    return values


def _check_options(
    step: float,
    offset: float,
    sigma: float,
    min_length: float,
    thresholds: Sequence[float],
    tolerances: Sequence[float],
) -> None:
    if not (math.isfinite(step) and step > 0.0):
        raise InputError(f"step: {step}; wanted seconds > 0")
    if not math.isfinite(offset):
        raise InputError(f"offset: {offset}; wanted finite seconds")
    for name, value in (("sigma", sigma), ("min_length", min_length)):
        if not (math.isfinite(value) and value >= 0.0):
            raise InputError(f"{name}: {value}; wanted a finite number >= 0")
    for name, levels in (("thresholds", thresholds), ("tolerances", tolerances)):
        if len(levels) == 0:
            raise InputError(f"{name}: empty; wanted at least one value in [0, 1]")
        for level in levels:
            if not 0.0 <= level <= 1.0:
                raise InputError(f"{name}: {level}; wanted values in [0, 1]")


def _smooth(values: _FloatArray, sigma: float) -> _FloatArray:
    """Gaussian smoothing with the curve mirrored at its ends, ``[n]``."""
    radius = int(4.0 * sigma + 0.5)
    if radius == 0:
        return values
    snippets = np.arange(-radius, radius + 1, dtype=np.float64)
    kernel = np.exp(-0.5 * (snippets / sigma) ** 2)
    mirrored = np.pad(values, radius, mode="symmetric")
    smooth: _FloatArray = np.convolve(mirrored, kernel / kernel.sum(), mode="valid")
    # A flat curve must not rise above a threshold by rounding, which differs between machines.
    return np.round(smooth, 12)


def _snippet_scores(values: _FloatArray, scoring: str) -> _FloatArray:
    """What each snippet adds to the score of a proposal around it, ``[n]``."""
    if scoring == "actionness":
        return values
    if scoring == "logit":
        inner = np.clip(values, _LOGIT_MARGIN, 1.0 - _LOGIT_MARGIN)
        return np.log(inner) - np.log1p(-inner)
    raise InputError(f"scoring: {scoring!r}; wanted 'logit' or 'actionness'")


def _group(
    curve: _FloatArray, thresholds: Sequence[float], tolerances: Sequence[float]
) -> tuple[_IntArray, _IntArray]:
    """Distinct proposals as snippet ranges ``[start, end)``, sorted by start, then end."""
    base = len(curve) + 1
    codes = [np.empty(0, dtype=np.int64)]
    for threshold in thresholds:
        edges = np.diff(np.concatenate(([False], curve > threshold, [False])).astype(np.int8))
        rising, falling = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        for tolerance in tolerances:
            last = _last_run(rising, falling, tolerance)
            codes.append(rising * base + falling[last])
            # To the left: the same on the reversed time axis.
            mirrored = _last_run(base - 1 - falling[::-1], base - 1 - rising[::-1], tolerance)
            first = len(rising) - 1 - mirrored[::-1]
            codes.append(rising[first] * base + falling)
    starts, ends = np.divmod(np.unique(np.concatenate(codes)), base)
    return starts, ends


def _last_run(rising: _IntArray, falling: _IntArray, tolerance: float) -> _IntArray:
    """For each run of marked snippets, the last run that growth from its rising edge takes in.

    Growth from run i stops before the first run j with ``below(i, j) > tolerance * length(i, j)``,
    counted between the two rising edges. With ``u`` the unmarked snippets before an edge this reads
    ``u_j - tolerance * r_j > u_i - tolerance * r_i``: the next greater element of a sequence, which
    a stack finds for all runs in one pass.
    """
    marked_before = np.cumsum(falling - rising) - (falling - rising)
    # Rounded, so that a share equal to the tolerance counts as equal.
    levels = np.round(rising - marked_before - tolerance * rising, 9).tolist()
    last = np.full(len(levels), len(levels) - 1, dtype=np.int64)
    growing: list[int] = []
    for run, level in enumerate(levels):
        while growing and level > levels[growing[-1]]:
            last[growing.pop()] = run - 1
        growing.append(run)
    return last
