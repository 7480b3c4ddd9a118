"""How far a figure can be trusted: intervals over runs, and paired tests between two systems."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit
from torch import Tensor

from gnnreloc.errors import InputError

# Draws held in memory at once by the bootstrap (32 MB an array).
_DRAWS_AT_ONCE = 4_000_000

_FloatArray = npt.NDArray[np.float64]

#: A label for each item, ``[n]``; items with equal labels belong together.
Labels: TypeAlias = Iterable[Hashable] | Tensor | npt.NDArray[Any]


class Interval(NamedTuple):
    """A mean and the interval around it, in the unit of the values."""

    mean: float
    low: float
    high: float


class PairedDifference(TypedDict):
    """Outcome of :func:`paired_bootstrap`, ready for JSON.

    Attributes:
        difference: mean of a - b over all items.
        low: lower end of the interval of that mean.
        high: upper end of the interval.
        p_value: two-sided, for the hypothesis that the two systems are level.
    """

    difference: float
    low: float
    high: float
    p_value: float


def mean_interval(
    values: Tensor | npt.ArrayLike,
    confidence: float = 0.95,
    groups: Labels | None = None,
) -> Interval:
    r"""Mean of a figure over runs (class splits and seeds) with its Student-t interval.

    .. math:: \bar v \pm t_{(1 + c) / 2,\, n - 1} \, \frac{s}{\sqrt n}

    with :math:`s` the sample standard deviation. Runs that share a group (seeds on one class split)
    rise and fall together, so they are averaged first, and :math:`v` are the means of the groups.
    With a single group only its own runs are left: the interval then holds for that group, and says
    nothing about others.

    The formula takes the groups as independent. Class splits of one data set are not: they share
    classes and clips, so their means vary less than those of classes drawn afresh would, and the
    interval over splits is the narrowest that can be claimed.

    Args:
        values: one figure a run, ``[n]`` with n >= 1.
        confidence: share of such intervals, in (0, 1), that would cover the true mean.
        groups: the group (class split) of each run, ``[n]``; ``None`` takes the runs as
            independent.

    Returns:
        ``(mean, low, high)``. One value says nothing about its spread: its bounds are NaN.

    Raises:
        InputError: if there is no value, one is not finite, there is not one group a value, or the
            confidence is out of its range.

    Example:
        >>> mean, low, high = mean_interval([0.60, 0.70, 0.80])
        >>> round(mean, 4), round(low, 4), round(high, 4)
        (0.7, 0.4516, 0.9484)

        Two seeds on each of three splits count as three figures:

        >>> runs, splits = [0.55, 0.65, 0.69, 0.71, 0.80, 0.80], [0, 0, 1, 1, 2, 2]
        >>> round(mean_interval(runs, groups=splits).low, 4)
        0.4516
    """
    runs = _read_values("values", values)
    _check_confidence(confidence)
    sums, sizes = _by_group(runs, groups)
    if len(sums) > 1:
        runs = sums / sizes
    mean = float(runs.mean())
    if len(runs) == 1:
        return Interval(mean, math.nan, math.nan)
    quantile = float(stdtrit(len(runs) - 1, 0.5 + 0.5 * confidence))
    half = quantile * float(runs.std(ddof=1)) / math.sqrt(len(runs))
    return Interval(mean, mean - half, mean + half)


def paired_bootstrap(
    a: Tensor | npt.ArrayLike,
    b: Tensor | npt.ArrayLike,
    groups: Labels | None = None,
    crossed: Labels | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> PairedDifference:
    r"""Compare two systems on the same items by resampling groups of items.

    Items that share a query rise and fall together, so whole groups are drawn with replacement, as
    many as there are, and the difference is the mean over all items of the drawn groups. Several
    runs (seeds) on one item are averaged before, not given as items of their own. The
    interval is the percentile interval of those differences; the p-value is twice the smaller share
    of them on one side of zero (zero itself on both), with one added to count and total so that it
    is never 0.

    Items that share a reference rise and fall together as well, across queries. With a second
    grouping both are drawn, each with replacement and independently of the other (the pigeonhole
    bootstrap, Owen 2007, Annals of Applied Statistics 1(2)). If the group of item :math:`i` was
    drawn :math:`u_i` times and its crossed group :math:`v_i` times, the difference is

    .. math:: \sum_i u_i v_i (a_i - b_i) \,\big/\, \sum_i u_i v_i

    A draw whose weights are all zero is drawn again. The interval errs on the wide side: what is
    peculiar to single items is counted with both groupings.

    Args:
        a: a figure of the first system for each item (hit 0 or 1, or a tIoU), ``[n]``.
        b: the same of the second system, in the same order, ``[n]``.
        groups: a label for each item, ``[n]`` (its class split and query); ``None`` makes every
            item its own.
        crossed: a second label for each item, ``[n]`` (its class split and reference), which cuts
            across the groups; ``None`` draws the groups alone.
        resamples: how many times groups are drawn, at least 1.
        seed: seed of the draws; the same seed gives the same result.
        confidence: share of the resampled differences inside the interval, in (0, 1).

    Returns:
        ``difference, low, high, p_value``. With a single group, or a single crossed one, the last
        three are NaN.

    Raises:
        InputError: if lengths differ, there is no item, a value is not finite, or an option is out
            of its range.

    Example:
        >>> hits, misses = [1.0] * 20, [0.0] * 20
        >>> paired_bootstrap(hits, misses, resamples=999)
        {'difference': 1.0, 'low': 1.0, 'high': 1.0, 'p_value': 0.002}
    """
    first, second = _read_values("a", a), _read_values("b", b)
    if len(first) != len(second):
        raise InputError(f"b: {len(second)} values; wanted {len(first)}, one for each of a")
    if resamples < 1:
        raise InputError(f"resamples: {resamples}; wanted at least 1")
    _check_confidence(confidence)
    differences = first - second
    sums, sizes = _by_group(differences, groups)
    difference = float(sums.sum() / sizes.sum())
    places = None if crossed is None else _positions("crossed", crossed, len(differences))
    if len(sums) == 1 or (places is not None and places.max() == 0):
        return {"difference": difference, "low": math.nan, "high": math.nan, "p_value": math.nan}

    if places is None:
        drawn = _resample(sums, sizes, resamples, seed)
    else:
        own = range(len(differences)) if groups is None else groups
        rows = _positions("groups", own, len(differences))
        drawn = _resample_crossed(differences, rows, places, resamples, seed)
    tail = 0.5 * (1.0 - confidence)
    low, high = np.quantile(drawn, (tail, 1.0 - tail))
    fewer = min(int((drawn <= 0.0).sum()), int((drawn >= 0.0).sum()))
    p_value = min(1.0, 2.0 * (fewer + 1) / (resamples + 1))
    return {"difference": difference, "low": float(low), "high": float(high), "p_value": p_value}


def _by_group(values: _FloatArray, groups: Labels | None) -> tuple[_FloatArray, _FloatArray]:
    """Sum and number of the values of each group, in order of appearance, ``[groups]`` both."""
    if groups is None:
        return values, np.ones_like(values)
    codes = _positions("groups", groups, len(values))
    sums, sizes = np.bincount(codes, weights=values), np.bincount(codes)
    return sums.astype(np.float64), sizes.astype(np.float64)


def _positions(name: str, labels: Labels, count: int) -> npt.NDArray[np.int64]:
    """Number of the group of each item, in order of appearance, ``[n]``."""
    listed = labels.tolist() if isinstance(labels, (Tensor, np.ndarray)) else list(labels)
    if len(listed) != count:
        raise InputError(f"{name}: shape [{len(listed)}]; wanted [{count}]")
    places: dict[Hashable, int] = {}
    return np.array([places.setdefault(label, len(places)) for label in listed], dtype=np.int64)


def _resample(sums: _FloatArray, sizes: _FloatArray, resamples: int, seed: int) -> _FloatArray:
    """Mean difference of each bootstrap sample of groups, ``[resamples]``."""
    generator = np.random.default_rng(seed)
    rows = max(1, _DRAWS_AT_ONCE // len(sums))
    means = []
    for done in range(0, resamples, rows):
        draw = generator.integers(len(sums), size=(min(rows, resamples - done), len(sums)))
        means.append(sums[draw].sum(axis=1) / sizes[draw].sum(axis=1))
    return np.concatenate(means)


def _resample_crossed(
    values: _FloatArray,
    groups: npt.NDArray[np.int64],
    crossed: npt.NDArray[np.int64],
    resamples: int,
    seed: int,
) -> _FloatArray:
    """Mean difference of each bootstrap sample of two groupings, ``[resamples]``."""
    generator = np.random.default_rng(seed)
    rows = max(1, _DRAWS_AT_ONCE // len(values))
    means = np.empty(0)
    while len(means) < resamples:
        size = min(rows, resamples - len(means))
        weights = np.ones((size, len(values)))
        for places in (groups, crossed):
            count = int(places.max()) + 1
            drawn = generator.multinomial(count, np.full(count, 1.0 / count), size=size)
            weights *= drawn[:, places]
        total = weights.sum(axis=1)
        used = total > 0.0
        means = np.concatenate([means, weights[used] @ values / total[used]])
    return means


def _read_values(name: str, values: Tensor | npt.ArrayLike) -> _FloatArray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size == 0:
        raise InputError(f"{name}: shape {list(numbers.shape)}; wanted [n] with n >= 1")
    if not np.isfinite(numbers).all():
        item = int(np.isfinite(numbers).argmin())
        raise InputError(f"{name}: item {item} is {numbers[item]}; wanted a finite number")
    return numbers


def _check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence: {confidence}; wanted a share in (0, 1)")
