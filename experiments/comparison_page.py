"""The page of a comparison, ``<dataset>_report.html``: tables, curves, slices, cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from finished_run import load_run
from gather import COMPARED, Run, View, pair_figures, runs_by_split
from run_page import SLICES, case_sections, configuration, curves_over_tiou, looks, slice_charts
from slice_tables import sliced_pairs
from tables import NAMES, Report, difference_text

from gnnreloc.data import evaluation_pairs
from gnnreloc.errors import InputError
from gnnreloc.report import (
    LineChart,
    Note,
    Page,
    Part,
    Section,
    Series,
    Table,
    TableRow,
    write_page,
)

#: More lines than this hide each other.
_MOST_LINES = 6
_VALIDATION = "validation_r1_0.5"
_FIGURES = {
    "r1_0.5": "R@1 at .5",
    "r1_0.7": "R@1 at .7",
    "r1_0.9": "R@1 at .9",
    "r1_mean": "mean .5-.9",
    "miou": "mIoU",
}

Curves = Mapping[str, Mapping[float, float]]
Bands = Mapping[str, Mapping[float, tuple[float, float]]]


def write_report(
    path: Path,
    report: Report,
    runs: Sequence[Run],
    differences: pd.DataFrame,
    curves: tuple[Curves, Bands],
    against: str,
    root: str | None = None,
) -> None:
    """Write the page of a comparison.

    What needs the data set or a checkpoint (slices, cases) is left out where these are gone, and
    the page says why.

    Args:
        path: where to.
        report: the tables.
        runs: all finished runs.
        differences: of :func:`gather.differences_table`.
        curves: R@1 over tIoU by system, and the intervals of some.
        against: the system that the others are compared with.
        root: folder of the data set, where it is not where the runs found it.
    """
    highlight = against if against in curves[0] else None
    own = [run for run in runs if run.metrics["system"] == against]
    first = own[0] if own else runs[0]
    places = looks(curves[0], highlight)
    sections = [
        Section("Result", result_tables(report, against)),
        Section("Curves", [curves_over_tiou(*curves, highlight, NAMES)]),
        Section("Differences", difference_tables(differences, against)),
        Section("Training", validation_curves(runs, places)),
        slices_section(runs, against, places, root),
        *cases_of(first, root),
        Section("Runs", [runs_part(runs)]),
        Section("Configuration", configuration(first.metrics), f"That of {first.folder.name}."),
    ]
    write_page(Page(report.title, sections=sections), path)


def result_tables(report: Report, against: str) -> list[Part]:
    """The tables as they are printed."""
    parts: list[Part] = []
    for number, block in enumerate(report.blocks):
        rows, section = [], None
        for row in block.rows:
            cells = [row.name or "published", *row.cells]
            ruled = section is not None and row.section != section
            rows.append(TableRow(cells, ruled=ruled, bold=row.name == NAMES.get(against)))
            section = row.section
        last = number == len(report.blocks) - 1
        parts.append(Table(["", *block.header], rows, report.notes if last else ()))
    return parts


def difference_tables(differences: pd.DataFrame, against: str) -> list[Part]:
    """What every system is above or below the one that it is compared with."""
    if differences.empty:
        return []
    rows = []
    for system, own in differences.groupby("system", sort=False):
        by_figure = own.set_index("figure")
        cells = [NAMES.get(str(system), str(system))]
        for figure in COMPARED:
            cells.append(difference_text(*by_figure.loc[figure, ["difference", "low", "high"]]))
        rows.append(TableRow([*cells, str(by_figure["pairs"].iloc[0])]))
    header = [
        f"less {NAMES.get(against, against)}",
        *(_FIGURES[name] for name in COMPARED),
        "pairs",
    ]
    return [
        Table(
            header, rows, ["With 95 % intervals of a paired bootstrap over queries and references."]
        )
    ]


def validation_curves(runs: Sequence[Run], places: Mapping[str, int]) -> list[Part]:
    """R@1 on the validation classes over the epochs, mean over the runs of a system.

    Args:
        runs: all finished runs.
        places: systems that may be shown, with the places of their looks.
    """
    logs: dict[str, list[pd.DataFrame]] = {}
    for run in runs:
        try:
            log = pd.read_csv(run.folder / "log.csv")
        except (OSError, ValueError):
            continue
        if {"epoch", _VALIDATION} <= {*log.columns}:
            logs.setdefault(run.metrics["system"], []).append(log)
    series = []
    for system in [name for name in places if name in logs][:_MOST_LINES]:
        known = pd.concat(logs[system])[["epoch", _VALIDATION]].dropna()
        means = known.groupby("epoch")[_VALIDATION].mean()
        points = {float(epoch): float(value) for epoch, value in means.items()}
        if points:
            series.append(Series(NAMES.get(system, system), points, place=places[system]))
    if not series:
        return []
    return [LineChart(series, "epoch", "R@1 at .5", title="validation classes, mean of the runs")]


def slices_section(
    runs: Sequence[Run], against: str, places: Mapping[str, int], root: str | None
) -> Section:
    """R@1 on slices of the pairs: the system, and the best of the others with the same splits."""
    systems = {name: runs_by_split(runs, name) for name in places}
    if against not in systems:
        return Section("Slices", [])
    splits = sorted(systems[against])
    whole = [name for name in places if {*splits} <= {*systems[name]}]
    chosen = whole[:_MOST_LINES]
    try:
        pairs = sliced_pairs({name: systems[name] for name in chosen}, splits, root)
    except InputError as error:
        return Section("Slices", [Note(f"Left out: {error}.")])
    hits: dict[str, dict[str, Any]] = {}
    for figure in ("r1_0.5", "r1_0.7"):
        hits[_FIGURES[figure]] = {
            NAMES.get(name, name): pair_figures(systems[name], splits, View(), figure)
            for name in chosen
        }
    shown = {NAMES.get(name, name): place for name, place in places.items()}
    return Section("Slices", slice_charts(pairs, hits, shown), SLICES)


def cases_of(run: Run, root: str | None) -> list[Section]:
    """Adjacency and cases of one run; none where its data or its checkpoint are gone."""
    try:
        found = load_run(run.folder, root)
        pairs = evaluation_pairs(found.corpus, "test", **vars(found.config.evaluation))
    except (InputError, OSError) as error:
        return [Section("Cases", [Note(f"Left out: {error}.")])]
    return case_sections(found.model, found.corpus, pairs, run.predictions)


def runs_part(runs: Sequence[Run]) -> Table:
    """A line a run."""
    rows = []
    for run in runs:
        metrics = run.metrics
        rows.append(
            TableRow(
                [
                    NAMES.get(metrics["system"], metrics["system"]),
                    *(str(metrics[name]) for name in ("split", "seed")),
                    *(f"{metrics['r1'][level]:.3f}" for level in ("0.5", "0.7", "0.9")),
                    f"{metrics['miou']:.3f}",
                    f"{metrics['seconds']['train']:.0f}",
                ]
            )
        )
    header = ["", "split", "seed", "R@1 .5", "R@1 .7", "R@1 .9", "mIoU", "s of training"]
    return Table(header, rows)
