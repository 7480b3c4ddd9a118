r"""Where systems differ: R@1 on slices of the pairs, from the runs that compare.py left.

    python experiments/slices.py --runs runs/compare/bandai --root DATA/bandai_mocap \
        --systems dynamic_tuned khop_n1_k12 --against dynamic_tuned --out experiments/results

writes <dataset>_slices.csv and <dataset>_slices.png, on the splits that all named systems were run
on. The slices are those of slicings.py: by the ratio of the lengths of query clip and moment, the
length of the moment, the distractors in the reference, and the tIoU of the best proposal.

The CSV has a row for each slice, system and figure: R@1 of the system (value), of the one that it
is compared with (against_value), the difference (system less against) with its 95 % interval (low,
high) by the paired bootstrap of compare.py, and the number of pairs and splits. The slice "all"
holds all pairs; in the row ">=1.5 less <1.5" of the length ratio, each number is the one on the
first slice less that on the second. Exit status: 0, or 1 if a file cannot be written, 2 for bad
input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from compare import OneLineParser
from gather import DRAWN, Run, View, common_pairs, gather, pair_figures, runs_by_split
from grid import RANDOM
from jsonargparse import Namespace
from matplotlib.figure import Figure
from options import fail
from run import load_corpus
from slicings import SLICINGS, pair_properties, partition

from gnnreloc.atomic_write import atomic_write
from gnnreloc.data import Corpus
from gnnreloc.errors import InputError
from gnnreloc.evaluation import paired_bootstrap
from gnnreloc.plotting import save_figure, style

FIGURES = ("r1_0.5", "r1_0.7")
COLUMNS = [
    *("slicing", "slice", "system", "against", "figure", "pairs", "value", "against_value"),
    *("difference", "low", "high", "splits"),
]
_COLOURS = (style.BLUE, style.GREEN, style.ORANGE, style.PURPLE, style.SKY_BLUE)
_MARKERS = ("o", "s", "^", "D", "v", "P", "*")

Values = npt.NDArray[np.float64]
Inside = npt.NDArray[np.bool_]
Systems = Mapping[str, Mapping[int, Sequence[Run]]]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of this command.

    Raises:
        InputError: if an option is unknown or missing.
    """
    parser = OneLineParser(
        prog="slices.py",
        usage="slices.py --runs FOLDER --systems NAME ... --against NAME [options]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--runs", type=Path, required=True, help="folder of the runs, named after the data set")
    add("--root", help="folder of the data set")
    add("--systems", nargs="+", required=True, help="names of systems in that folder")
    add("--against", required=True, help="the system that the others are compared with")
    add("--out", type=Path, help="folder of the results, else the one that holds --runs")
    return parser.parse_args(list(arguments))


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


def plot_slices(table: pd.DataFrame, dataset: str) -> Figure:
    """R@1 of every system over the slices: a column of panels a slicing, a row a figure.

    Args:
        table: of :func:`slices_table`. The coarser slices by length ratio are left out, and what
            has one slice.
        dataset: its name.

    Raises:
        InputError: if nothing has two slices.
    """
    against = table.assign(system=table["against"], value=table["against_value"])
    against = against.drop_duplicates(["slicing", "slice", "figure"])
    table = pd.concat([against, table])
    table = table[table["slicing"] != "length ratio"]
    shown = table.groupby("slicing", sort=False).filter(lambda rows: rows["slice"].nunique() > 1)
    slicings, systems = shown["slicing"].unique(), shown["system"].unique()
    if not len(slicings):
        raise InputError("all pairs are in one slice, whatever they are parted by: nothing to draw")
    title = f"{dataset}: R@1 on slices of the pairs"
    figure = style.new_figure(2.0 + 3.0 * len(slicings), 6.4, title)
    grid = figure.subplots(len(FIGURES), len(slicings), squeeze=False, sharey=True)
    for (place, slicing), (line, level) in product(enumerate(slicings), enumerate(FIGURES)):
        axes = grid[line, place]
        style.clean_axes(axes)
        axes.grid(color=style.GRID_GREY)
        rows = shown[(shown["slicing"] == slicing) & (shown["figure"] == level)]
        for number, system in enumerate(systems):
            own = rows[rows["system"] == system]
            colour = style.VERMILLION if number == 0 else _COLOURS[(number - 1) % len(_COLOURS)]
            marker = _MARKERS[number % len(_MARKERS)]
            name = str(system).replace("_", " ")
            axes.plot(own["slice"], own["value"], color=colour, marker=marker, label=name)
        ticks = [f"{part}\n{n} pairs" for part, n in zip(own["slice"], own["pairs"], strict=True)]
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_ylim(0.0, 1.0)
        axes.margins(x=0.12)
        if line == 0:
            axes.set_title(
                slicing.split(",")[0], loc="left", fontsize=style.TEXT_SIZE, fontweight="bold"
            )
        if place == 0:
            axes.set_ylabel(f"R@1 at {level.removeprefix('r1_')}", fontsize=style.TEXT_SIZE)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False)
    return figure


def main(arguments: Sequence[str]) -> None:
    """Read the runs and their data, write the table and the figure."""
    try:
        options = parse(arguments)
        folder = options.runs.expanduser().resolve()
        if not folder.is_dir():
            raise InputError(f"--runs {options.runs} is no folder")
        names = dict.fromkeys([options.against, *options.systems])
        if len(names) == 1:
            raise InputError(f"--systems: none beside {options.against} to compare with it")
        systems = choose_runs(gather(folder), [*names], folder)
        splits = sorted(set.intersection(*({*by_split} for by_split in systems.values())))
        if not splits:
            raise InputError(f"{folder}: no split that all were run on: {', '.join(names)}")
        pairs = common_pairs([*systems.values()], splits)
        parts = []
        for split, own in pairs.groupby("split"):
            corpus = corpus_of(systems[options.against][int(split)][0], options.root)
            parts.append(pair_properties(own, corpus))
        pairs = pairs.join(pd.concat(parts))
        table = slices_table(systems, options.against, splits, pairs)
        drawing = plot_slices(table, folder.name)
        stem = f"{(options.out or folder.parent).expanduser() / folder.name}_slices"
        with atomic_write(f"{stem}.csv") as file:
            file.write(table.to_csv(index=False).encode())
        save_figure(drawing, f"{stem}.png")
        print(table[table["slicing"].isin(["all", "length ratio"])].to_string(index=False))
        print(f"written: {stem}.csv, .png")
    except InputError as error:
        fail(error)
    except OSError as error:
        fail(error, status=1)


if __name__ == "__main__":
    main(sys.argv[1:])
