"""The tables of varied recipes: a row a run, and what each variation is worth."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pandas as pd
from gather import Run, View, differences_table, runs_table
from rich.box import HORIZONTALS
from rich.console import Console
from rich.table import Table
from variations import TUNED, Variation, words

from gnnreloc.evaluation import mean_interval

#: What is printed; the first two with what the variation is worth.
FIGURES = ("r1_0.5", "r1_0.7", "r1_mean")


def variations_table(
    variations: Sequence[Variation], runs: Mapping[str, Sequence[Run]]
) -> pd.DataFrame:
    """One row a run: variation, meaning, options, and the columns of :data:`gather.COLUMNS`.

    Args:
        variations: in the order of the table; those without runs are left out.
        runs: of each variation, by its name.
    """
    parts = []
    for name, meaning, options in variations:
        if name in runs:
            rows = runs_table(runs[name], View())
            about = {"variation": name, "meaning": meaning, "options": shlex.join(words(options))}
            for position, (column, value) in enumerate(about.items()):
                rows.insert(position, column, value)
            parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def variation_differences(
    variations: Sequence[Variation], runs: Mapping[str, Sequence[Run]], *, ladder: bool
) -> pd.DataFrame:
    """Paired bootstrap of each variation against the recipe as it is, see ``differences_table``.

    Args:
        variations: in the order of the table, the recipe as it is first.
        runs: of each variation, by its name.
        ladder: compare each variation with the one before as well.
    """
    names = [variation.name for variation in variations]
    tables = []
    for before, name in pairwise(names):
        for against in dict.fromkeys([TUNED, before] if ladder else [TUNED]):
            pair = [
                run._replace(metrics={**run.metrics, "system": system})
                for system in (against, name)
                for run in runs.get(system, ())
            ]
            tables.append(differences_table(pair, View(), against))
    return pd.concat(tables, ignore_index=True).rename(columns={"system": "variation"})


def print_variations(
    table: pd.DataFrame, differences: pd.DataFrame, console: Console, *, title: str
) -> None:
    """Print the means of each variation, and what it is worth at tIoU .5 and .7.

    On the ladder that is the difference from the rung before, otherwise from the recipe as it is.
    """
    found = differences.drop_duplicates(["variation", "figure"], keep="last")
    columns = (found[name] for name in ("variation", "figure", "difference", "low", "high"))
    cells = {
        (name, figure): f"{difference:+.3f} [{low:+.3f}, {high:+.3f}]"
        for name, figure, difference, low, high in zip(*columns, strict=True)
    }
    against = dict(zip(found["variation"], found["against"], strict=True))
    grid = Table(title=title, box=HORIZONTALS, padding=0, show_edge=False)
    grid.add_column("variation", no_wrap=True)
    for name in (*FIGURES, "splits", "less", "at .5", "at .7"):
        grid.add_column(name, justify="right", no_wrap=True)
    for name in dict.fromkeys(table["variation"]):
        own = table[table["variation"] == name]
        means = (mean_interval(own[figure], groups=own["split"]).mean for figure in FIGURES)
        splits = " ".join(map(str, sorted(own["split"].unique())))
        worth = (cells.get((name, figure), "") for figure in FIGURES[:2])
        figures = (f"{mean:.3f}" for mean in means)
        grid.add_row(name, *figures, splits, against.get(name, ""), *worth)
    console.print(grid, "")
    console.print(
        "R@1: mean over splits, of each over its seeds. At .5 and .7: less that of the variation "
        "named, on the same pairs, with the 95 % interval of a paired bootstrap that draws query "
        "clips and references, both.",
        highlight=False,
    )
