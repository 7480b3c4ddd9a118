"""The tables of a comparison, in the order and the words of the paper's tables.

``published.csv`` holds the figures of tables 1 and 2 of Zhou et al. 2022, *Dynamic Adjacency Matrix
for Video Relocalization*, as they are printed there. They stand under ours where the data set has
them; they are of one run each, on classes that the paper does not name, and their curves are so
flat from tIoU 0.5 to 0.7 that the candidates were probably filtered by the truth.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from gather import FIGURES, RECALLS, View

from gnnreloc.evaluation import mean_interval
from gnnreloc.evaluation.metrics import MEAN_THRESHOLDS
from gnnreloc.evaluation.significance import Interval

PUBLISHED = Path(__file__).with_name("published.csv")

_HOPS = ("1", "12", "123")
#: Systems in the order of the tables, with their names there: the paper's, ours, the controls.
SECTIONS = (
    {
        "chance": "Chance",
        "frame_level": "Frame-Level Baseline",
        "video_level": "Video-Level Baseline",
        "sst": "SST",
        "cross_gated_bilinear": "Cross-Gated Bilinear Matching",
        "aft_srm": "AFT+SRM",
        **{f"khop_n{n}_k{k}": f"n={n}, k={'&'.join(k)}" for n in (1, 2, 3) for k in _HOPS},
        "khop_cnn_n1_k1": "n=1, k=1, CNN",
        "khop_cnn_n2_k123": "n=2, k=1&2&3, CNN",
        "dynamic_paper": "Dynamic adjacency",
    },
    {
        "dynamic_tuned": "dynamic, tuned recipe",
        "hybrid_tuned": "hybrid, tuned recipe",
        "complete": "complete graph",
        "identity": "identity (no edges)",
        "training_free": "training-free alignment",
    },
    {
        "random_proposal": "random proposal",
        "longest_proposal": "longest proposal",
        "whole_reference": "whole reference",
        "oracle": "oracle (best proposal)",
    },
)
NAMES = {system: name for section in SECTIONS for system, name in section.items()}


class Row(NamedTuple):
    """One line of a table.

    Attributes:
        section: rows of different sections are parted by a rule.
        name: name of the system, empty for the published figures of the row above.
        cells: texts, which may be empty.
    """

    section: int
    name: str
    cells: list[str]


class Block(NamedTuple):
    """One table: names of the columns beside the first, and rows."""

    header: list[str]
    rows: list[Row]


class Report(NamedTuple):
    """All that is shown of a comparison on one data set: title, tables, remarks below them."""

    title: str
    blocks: list[Block]
    notes: list[str]


def intervals(runs: pd.DataFrame) -> dict[str, dict[str, Interval]]:
    """Mean and 95 % interval of every figure of every system, over splits and their seeds.

    A figure that a run of the system lacks is left out.
    """
    table: dict[str, dict[str, Interval]] = {}
    for system in NAMES:
        own = runs[runs["system"] == system]
        if own.empty:
            continue
        table[system] = {
            figure: mean_interval(own[figure], groups=own["split"])
            for figure in FIGURES
            if own[figure].notna().all()
        }
    return table


def published_figures(dataset: str) -> dict[str, dict[str, float]]:
    """The published R@1 on a data set, by our names of systems and figures; empty without any."""
    systems = {name: system for system, name in NAMES.items()}
    table = pd.read_csv(PUBLISHED, dtype={"dataset": str, "method": str})
    found = {}
    for _, row in table[table["dataset"] == dataset].iterrows():
        figures = {f"r1_{level}": float(row[level]) for level in table.columns[2:]}
        mean = sum(figures[f"r1_{level:g}"] for level in MEAN_THRESHOLDS) / len(MEAN_THRESHOLDS)
        found[systems[row["method"].split(" (")[0]]] = figures | {"r1_mean": mean}
    return found


def make_report(
    dataset: str, runs: pd.DataFrame, differences: pd.DataFrame, view: View, against: str
) -> Report:
    """The report of all runs on a data set.

    Args:
        dataset: its name.
        runs: of :func:`gather.runs_table`.
        differences: of :func:`gather.differences_table`.
        view: the view that both were made with.
        against: the system that the others are compared with.
    """
    ours, printed = intervals(runs), published_figures(dataset)
    at_half = differences[differences["figure"] == "r1_0.5"]
    columns = (at_half[name] for name in ("system", "difference", "low", "high"))
    difference = {str(system): _difference(*ends) for system, *ends in zip(*columns, strict=True)}
    rest = [figure for figure in FIGURES if figure not in RECALLS]
    recall = Block([figure.removeprefix("r1_0") for figure in RECALLS], [])
    other = Block(["mean .5-.9", "R@5 .5", "mIoU", "wrong query .5", "difference .5", "runs"], [])
    for place, section in enumerate(SECTIONS):
        for system, name in section.items():
            if system not in ours:
                continue
            count = str((runs["system"] == system).sum())
            cells = {figure: _cell(ours[system].get(figure)) for figure in FIGURES}
            recall.rows.append(Row(place, name, [cells[figure] for figure in RECALLS]))
            last = [difference.get(system, ""), count]
            other.rows.append(Row(place, name, [cells[figure] for figure in rest] + last))
            if system in printed:
                shown = {figure: _short(value) for figure, value in printed[system].items()}
                recall.rows.append(Row(place, "", [shown[figure] for figure in RECALLS]))
                other.rows.append(Row(place, "", [shown["r1_mean"], *[""] * 5]))
    leak = ", which LEAKS THE TRUTH" if view.protocol == "filtered" else ""
    refined = "after" if view.refined else "before"
    title = f"{dataset}: R@1 over tIoU, protocol {view.protocol}{leak}, {refined} refinement"
    return Report(title, [recall, other], _notes(runs, difference, bool(printed), view, against))


def _notes(
    runs: pd.DataFrame, difference: dict[str, str], printed: bool, view: View, against: str
) -> list[str]:
    """What a reader has to know to read the tables rightly."""
    splits, seeds = sorted(runs["split"].unique()), runs.groupby(["system", "split"]).size().max()
    half = "±: half of the 95 % interval (Student t) over"
    notes = ["R@1: share of pairs whose first moment has a tIoU strictly above the column's."]
    if len(splits) > 1:
        averaged = f", up to {seeds} seeds of each averaged" if seeds > 1 else ""
        notes.append(f"{half} {len(splits)} class splits{averaged}.")
    elif seeds > 1:
        notes.append(f"{half} up to {seeds} seeds of one split: nothing is said of other classes.")
    else:
        notes.append("One run a system: no interval.")
    if view.protocol == "filtered":
        notes.append(
            "Filtered: candidates whose tIoU with the truth lies between 0.3 and 0.7 are taken "
            "away. This uses the truth: the figures serve to be compared with published ones only."
        )
    if difference:
        notes.append(
            f"Difference: R@1 at .5 less that of {NAMES[against]} on the same pairs, with the 95 % "
            "interval of a paired bootstrap over query clips, for these splits and seeds."
        )
    elif runs["system"].nunique() > 1:
        notes.append(f"No difference is given: no other system shares a split with {against}.")
    if not view.suffix:
        notes.append("Wrong query: R@1 at .5 of the same system, asked with another class.")
    if printed:
        notes.append(
            "Published: Zhou et al. 2022, one run, other class splits, probably filtered candidates"
            " (leaks)."
        )
    lacking = [
        f"{NAMES.get(str(system), system)} (split {', '.join(map(str, missing))})"
        for system, own in runs.groupby("system")["split"]
        if (missing := [split for split in splits if split not in set(own)])
    ]
    if lacking:
        notes.append(f"Not run on every split, so not comparable: {'; '.join(lacking)}.")
    return notes


def _cell(figure: Interval | None) -> str:
    if figure is None:
        return ""
    mean, _, high = figure
    return _short(mean) if math.isnan(high) else f"{_short(mean)}±{_short(high - mean)}"


def _difference(difference: float, low: float, high: float) -> str:
    if math.isnan(low):
        return _short(difference, "+")
    return f"{_short(difference, '+')} [{_short(low, '+')}, {_short(high, '+')}]"


def _short(value: float, sign: str = "") -> str:
    """Three decimals without the zero before the point, as in ``.651``; empty for NaN."""
    return "" if math.isnan(value) else re.sub(r"(?<!\d)0\.", ".", f"{value:{sign}.3f}")
