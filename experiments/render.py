"""The report of a comparison: terminal, Markdown, LaTeX, CSV files and figure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pandas as pd
from comparison_page import write_report
from gather import Run, View, classes_table, differences_table, runs_table
from rich.box import HORIZONTALS
from rich.console import Console
from rich.table import Table
from tables import Block, Report, intervals, make_report

from gnnreloc.atomic_write import atomic_write
from gnnreloc.evaluation import THRESHOLDS
from gnnreloc.plotting import plot_recall_over_tiou, save_figure

#: More fixed graphs than this hide each other: the simplest and the best are drawn then.
_MOST_GRAPHS = 2
#: More bands than this hide each other.
_MOST_BANDS = 6


def write_tables(
    folder: Path,
    runs: Sequence[Run],
    view: View,
    against: str,
    console: Console,
    root: str | None = None,
) -> str:
    """Write every table and the figure beside the folder of the runs, and print the table.

    Args:
        folder: folder of the runs, named after the data set.
        runs: the finished runs.
        view: which of their figures are shown.
        against: the system that the others are compared with.
        console: where the table is printed.
        root: folder of the data set, where it is not where the runs found it.

    Returns:
        The path of all files without their endings.
    """
    dataset = folder.name
    table = runs_table(runs, view)
    differences = differences_table(runs, view, against)
    changes = {run.metrics["system"]: run.changes for run in runs if run.recipe and run.changes}
    report = make_report(dataset, table, differences, view, against, changes)
    texts = {
        ".csv": table.to_csv(index=False),
        "_classes.csv": classes_table(runs, view).to_csv(index=False),
        "_differences.csv": differences.to_csv(index=False),
        ".md": markdown(report),
        ".tex": latex(report),
    }
    stem = f"{folder}{view.suffix}"
    for ending, text in texts.items():
        with atomic_write(stem + ending) as file:
            file.write(text.encode())
    curves, bands = _curves(table, against)
    highlight = against if against in curves else None
    figure = plot_recall_over_tiou(curves, highlight=highlight, bands=bands, title=report.title)
    save_figure(figure, f"{stem}.png")
    path = Path(f"{stem}_report.html")
    write_report(path, report, runs, differences, (curves, bands), against, root)
    print_report(report, console)
    return stem


def _curves(
    table: pd.DataFrame, highlight: str
) -> tuple[dict[str, dict[float, float]], dict[str, dict[float, tuple[float, float]]]]:
    """R@1 over tIoU of the systems that a figure has room for, and intervals.

    Of many fixed graphs only the simplest and the best are drawn, and of many curves only two get
    their band, that of ``highlight`` and of the best other system; the table has them all.
    """
    found = intervals(table)
    fixed = [name for name in found if name.startswith("khop")]
    left_out: set[str] = set()
    if len(fixed) > _MOST_GRAPHS:
        left_out = {*fixed} - {fixed[0], max(fixed, key=lambda name: found[name]["r1_mean"].mean)}
    curves: dict[str, dict[float, float]] = {}
    bands: dict[str, dict[float, tuple[float, float]]] = {}
    for system, figures in found.items():
        if system in left_out:
            continue
        points = {level: figures[f"r1_{level:g}"] for level in THRESHOLDS}
        curves[system] = {level: point.mean for level, point in points.items()}
        if not math.isnan(points[THRESHOLDS[0]].low):
            bands[system] = {level: (point.low, point.high) for level, point in points.items()}
    if len(bands) > _MOST_BANDS:
        others = [name for name in bands if name not in (highlight, "oracle")]
        best = max(others, key=lambda name: found[name]["r1_mean"].mean)
        bands = {name: bands[name] for name in bands if name in (highlight, best)}
    return curves, bands


def print_report(report: Report, console: Console) -> None:
    """The report on the terminal, at most 120 columns wide."""
    for place, block in enumerate(report.blocks):
        title = None if place else report.title
        table = Table(title=title, box=HORIZONTALS, padding=0, show_edge=False)
        table.add_column("system", no_wrap=True)
        for name in block.header:
            table.add_column(name, justify="right", no_wrap=True)
        for number, row in enumerate(block.rows):
            if number in _starts(block):
                table.add_section()
            name, style = (row.name, None) if row.name else ("  published", "dim")
            table.add_row(name, *row.cells, style=style)
        console.print(table, "")
    for note in report.notes:
        console.print(note, markup=False, highlight=False)


def markdown(report: Report) -> str:
    """The report in Markdown."""
    lines = [f"## {report.title}", ""]
    for block in report.blocks:
        lines.append(f"| {' | '.join(['system', *block.header])} |")
        lines.append(f"| --- |{' ---: |' * len(block.header)}")
        for row in block.rows:
            lines.append(f"| {' | '.join([row.name or '*published*', *row.cells])} |")
        lines.append("")
    return "\n".join([*lines, *(f"- {note}" for note in report.notes), ""])


def latex(report: Report) -> str:
    r"""The report as a ``table*`` to ``\input`` in a document that loads ``booktabs``."""
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_escape('. '.join([report.title, ' '.join(report.notes)]))}}}",
    ]
    for block in report.blocks:
        lines += [rf"\begin{{tabular}}{{l{'r' * len(block.header)}}}", r"\toprule"]
        lines += [" & ".join(map(_escape, ["system", *block.header])) + r" \\", r"\midrule"]
        for number, row in enumerate(block.rows):
            if number in _starts(block):
                lines.append(r"\midrule")
            cells = [_escape(cell) for cell in (row.name, *row.cells)]
            lines.append(" & ".join([cells[0] or r"\quad published", *cells[1:]]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}\par\medskip"]
    return "\n".join([*lines, r"\end{table*}", ""])


def _starts(block: Block) -> set[int]:
    """The rows before which a rule is drawn."""
    pairs = enumerate(pairwise(block.rows), start=1)
    return {number for number, (before, row) in pairs if before.section != row.section}


def _escape(text: str) -> str:
    text = re.sub(r"([&%_#${}])", r"\\\1", text)
    text = re.sub(r"(?<!\d)([-+])(?=[.\d])", r"$\1$", text).replace("±", r"$\pm$")
    return text
