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
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pandas as pd
from compare import OneLineParser
from gather import gather
from matplotlib.figure import Figure
from options import fail
from slice_tables import FIGURES, choose_runs, sliced_pairs, slices_table

from gnnreloc.atomic_write import atomic_write
from gnnreloc.errors import InputError
from gnnreloc.plotting import save_figure, style

_COLOURS = (style.BLUE, style.GREEN, style.ORANGE, style.PURPLE, style.SKY_BLUE)
_MARKERS = ("o", "s", "^", "D", "v", "P", "*")


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
        pairs = sliced_pairs(systems, splits, options.root)
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
