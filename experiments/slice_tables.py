"""R@1 of systems on slices of the pairs, and their differences, from finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from gather import DRAWN, Run, View, common_pairs, pair_figures, runs_by_split
from grid import RANDOM
from jsonargparse import Namespace
from run import load_corpus
from slicings import SLICINGS, pair_properties, partition

from gnnreloc.data import Corpus
from gnnreloc.errors import InputError
from gnnreloc.evaluation import paired_bootstrap

FIGURES = ("r1_0.5", "r1_0.7")
COLUMNS = [
    *("slicing", "slice", "system", "against", "figure", "pairs", "value", "against_value"),
    *("difference", "low", "high", "splits"),
]

Values = npt.NDArray[np.float64]
Inside = npt.NDArray[np.bool_]
Systems = Mapping[str, Mapping[int, Sequence[Run]]]


def choose_runs(runs: Sequence[Run], names: Sequence[str], folder: Path) -> Systems:
    """The runs of some systems, by system and split.

    Raises:
        InputError: if there are none of one of them, or if it answers a pair several times.
    """
    if not runs:
        raise InputError(f"--runs {folder} holds no finished run")
    known = sorted({run.metrics["system"] for run in runs} - {*RANDOM})
    for name in names:
        if name in RANDOM:
            raise InputError(
                f"{name} answers a pair several times, and its predictions hold the first answer "
                "only: no slices of it"
            )
        if name not in known:
            there = ", ".join(known) or "none"
            raise InputError(f"{folder} holds no finished run of {name!r}; there are: {there}")
    return {name: runs_by_split(runs, name) for name in names}


def corpus_of(run: Run, root: str | None) -> Corpus:
    """The data set of a run, read again with its options; ``root`` is its folder on this machine.

    Proposals that are made with the seed of the run are those of this run's seed.
    """
    config = run.metrics["config"]
    options = {name: run.metrics[name] for name in ("dataset", "split", "seed")}
    options |= {"proposals": config.get("proposals", "dataset"), "pca": config.get("pca")}
    options |= {"root": root}
    return load_corpus(Namespace(**options, data=Namespace(**config.get("data", {}))))


def sliced_pairs(systems: Systems, splits: Sequence[int], root: str | None) -> pd.DataFrame:
    """The pairs that all systems were asked on some splits, with what the slicings look at.

    Args:
        systems: runs by system and split.
        splits: those that all were run on.
        root: folder of the data set; that of the runs by default.

    Raises:
        InputError: if the data set is not there or another one, or runs hold other pairs.
    """
    pairs = common_pairs([*systems.values()], splits)
    first = next(iter(systems.values()))
    parts = [
        pair_properties(own, corpus_of(first[int(split)][0], root))
        for split, own in pairs.groupby("split")
    ]
    return pairs.join(pd.concat(parts))


def slices_table(
    systems: Systems, against: str, splits: Sequence[int], pairs: pd.DataFrame
) -> pd.DataFrame:
    """A row for each slice, system and figure, with the columns of :data:`COLUMNS`.

    Args:
        systems: runs by system and split.
        against: the one of them that the others are compared with.
        splits: those that all were run on.
        pairs: of :func:`gather.common_pairs`, with the columns of :func:`pair_properties`.
    """
    parted = {"all": {"all": np.ones(len(pairs), dtype=bool)}}
    parted |= {name: partition(pairs[of], bounds) for name, (of, bounds) in SLICINGS.items()}
    rows: list[list[object]] = []
    for system in (name for name in systems if name != against):
        for figure in FIGURES:
            a, b = (
                pair_figures(systems[name], splits, View(), figure) for name in (system, against)
            )
            for slicing, parts in parted.items():
                about = (system, against, figure)
                for part, inside in parts.items():
                    numbers = difference_on(inside, a, b, pairs)
                    rows.append([slicing, part, *about, int(inside.sum()), *numbers])
                if slicing == "length ratio" and len(parts) == 2:
                    alike, unlike = parts.values()
                    numbers = difference_between(unlike, alike, a, b, pairs)
                    rows.append([slicing, " less ".join([*parts][::-1]), *about, len(a), *numbers])
    table = pd.DataFrame([[*row, len(splits)] for row in rows], columns=COLUMNS)
    return table.round(4)


def difference_on(inside: Inside, a: Values, b: Values, pairs: pd.DataFrame) -> tuple[float, ...]:
    """Means of two systems on a slice, their difference and its interval (low, high)."""
    drawn = (pairs.loc[inside, name].to_numpy() for name in DRAWN)
    found = paired_bootstrap(a[inside], b[inside], *drawn)
    ends = found["difference"], found["low"], found["high"]
    return float(a[inside].mean()), float(b[inside].mean()), *ends


def difference_between(
    more: Inside, less: Inside, a: Values, b: Values, pairs: pd.DataFrame
) -> tuple[float, ...]:
    r"""As :func:`difference_on`, of each number the one on a slice less that on another.

    The bootstrap knows the mean of one list only. With :math:`d = a - b`, slices :math:`S, T` of
    the :math:`n` pairs and the means :math:`d_S, d_T`, it gets for pair :math:`i`

    .. math:: d_S - d_T + \frac{n}{|S|} [i \in S] (d_i - d_S) - \frac{n}{|T|} [i \in T] (d_i - d_T)

    whose mean is :math:`d_S - d_T`, and that of a draw the difference of the two means in it to
    first order, with the shares of the slices taken as fixed.
    """
    apart = a - b
    means = apart[more].mean(), apart[less].mean()
    items = means[0] - means[1] + more / more.mean() * (apart - means[0])
    items = items - less / less.mean() * (apart - means[1])
    drawn = (pairs[name].to_numpy() for name in DRAWN)
    found = paired_bootstrap(items, np.zeros_like(items), *drawn)
    values = (float(of[more].mean() - of[less].mean()) for of in (a, b))
    return *values, found["difference"], found["low"], found["high"]
