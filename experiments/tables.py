"""The tables of a comparison, in the order and the words of the paper's tables.

``published.csv`` holds the figures of tables 1 and 2 of Zhou et al. 2022, *Dynamic Adjacency Matrix
for Video Relocalization*, as they are printed there. They stand under ours where the data set has
them; they are of one run each, on classes that the paper does not name, and their curves are so
flat from tIoU 0.5 to 0.7 that the candidates were probably filtered by the truth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from gather import FIGURES, RECALLS, View
from grid import RANDOM, WITH_RECIPE

from gnnreloc.evaluation import mean_interval
from gnnreloc.evaluation.metrics import MEAN_THRESHOLDS
from gnnreloc.evaluation.significance import Interval
from gnnreloc.models import model_builder

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
        "dynamic_paper": "Dynamic adjacency, paper recipe",
        "dynamic_tuned": "Dynamic adjacency, tuned recipe",
    },
    {
        "hybrid_tuned": "hybrid, tuned recipe",
        "frozen_phi": "learned, frozen random phi",
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
#: Names in ``published.csv`` that are not ours, as ours are named after their recipes.
_PUBLISHED_NAMES = {"Dynamic adjacency": "dynamic_paper"}


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
    systems = {name: system for system, name in NAMES.items()} | _PUBLISHED_NAMES
    table = pd.read_csv(PUBLISHED, dtype={"dataset": str, "method": str})
    found = {}
    for _, row in table[table["dataset"] == dataset].iterrows():
        figures = {f"r1_{level}": float(row[level]) for level in table.columns[2:]}
        mean = sum(figures[f"r1_{level:g}"] for level in MEAN_THRESHOLDS) / len(MEAN_THRESHOLDS)
        found[systems[row["method"].split(" (")[0]]] = figures | {"r1_mean": mean}
    return found


def make_report(
    dataset: str,
    runs: pd.DataFrame,
    differences: pd.DataFrame,
    view: View,
    against: str,
    changes: Mapping[str, str],
) -> Report:
    """The report of all runs on a data set.

    Args:
        dataset: its name.
        runs: of :func:`gather.runs_table`.
        differences: of :func:`gather.differences_table`.
        view: the view that both were made with.
        against: the system that the others are compared with.
        changes: what the command line changed in the recipe of a system, where it did.
    """
    ours, printed = intervals(runs), published_figures(dataset)
    at_half = differences[differences["figure"] == "r1_0.5"]
    columns = (at_half[name] for name in ("system", "difference", "low", "high"))
    difference = {
        str(system): difference_text(*ends) for system, *ends in zip(*columns, strict=True)
    }
    rest = [figure for figure in FIGURES if figure not in RECALLS]
    recall = Block([figure.removeprefix("r1_0") for figure in RECALLS], [])
    names = ["recipe", "mean .5-.9", "R@5 .5", "mIoU", "wrong query .5", "difference .5", "runs"]
    other = Block(names, [])
    for place, section in enumerate(SECTIONS):
        for system, name in section.items():
            if system not in ours:
                continue
            own = runs[runs["system"] == system]
            recipe = "/".join(dict.fromkeys(_recipe(system, text) for text in own["recipe"]))
            cells = {figure: _cell(ours[system].get(figure)) for figure in FIGURES}
            recall.rows.append(Row(place, name, [cells[figure] for figure in RECALLS]))
            last = [difference.get(system, ""), str(len(own))]
            middle = [cells[figure] for figure in rest]
            other.rows.append(Row(place, name, [recipe, *middle, *last]))
            if system in printed:
                shown = {figure: _short(value) for figure, value in printed[system].items()}
                recall.rows.append(Row(place, "", [shown[figure] for figure in RECALLS]))
                other.rows.append(Row(place, "", ["", shown["r1_mean"], *[""] * 5]))
    leak = ", which LEAKS THE TRUTH" if view.protocol == "filtered" else ""
    refined = "after" if view.refined else "before"
    title = f"{dataset}: R@1 over tIoU, protocol {view.protocol}{leak}, {refined} refinement"
    notes = [
        *_notes_on_figures(runs, view),
        *_notes_on_differences(runs, difference, against),
        *_notes_on_rows(runs, changes, bool(printed.keys() & ours.keys())),
    ]
    return Report(title, [recall, other], notes)


def _notes_on_figures(runs: pd.DataFrame, view: View) -> list[str]:
    """What the figures and their intervals say."""
    splits, seeds = runs["split"].nunique(), runs.groupby(["system", "split"]).size().max()
    half = "±: half of the 95 % interval (Student t) over"
    notes = ["R@1: share of pairs whose first moment has a tIoU strictly above the column's."]
    if splits > 1:
        averaged = f", up to {seeds} seeds of each averaged" if seeds > 1 else ""
        notes.append(
            f"{half} {splits} class splits{averaged}. They share classes and clips, so this "
            "interval is the narrowest that can be claimed."
        )
    elif seeds > 1:
        notes.append(f"{half} up to {seeds} seeds of one split: nothing is said of other classes.")
    else:
        notes.append("One run a system: no interval.")
    if not view.suffix:
        notes.append("Wrong query: R@1 at .5 of the same system, asked with another class.")
    if view.protocol == "filtered":
        notes.append(
            "Filtered: candidates whose tIoU with the truth lies between 0.3 and 0.7 are taken "
            "away. This uses the truth: the figures serve to be compared with published ones only."
        )
        own = [system for system in NAMES if not _ranks_proposals(system)]
        if told := _list(own, runs):
            notes.append(f"Not filtered, as they give moments of their own: {told}.")
    return notes


def _notes_on_differences(
    runs: pd.DataFrame, difference: Mapping[str, str], against: str
) -> list[str]:
    """What the differences say, or why there are none."""
    notes = []
    if difference:
        notes.append(
            f"Difference: R@1 at .5 less that of {NAMES[against]} on the same pairs, with the 95 % "
            "interval of a paired bootstrap that draws query clips and references, both, for these "
            "splits and seeds."
        )
    elif against not in RANDOM and {*runs["system"]} - {against, *RANDOM}:
        notes.append(f"No difference is given: no other system shares a split with {against}.")
    if told := _list(RANDOM, runs):
        notes.append(
            f"Asked 20 times a pair, all averaged here: {told}. The file of predictions holds the "
            "first answer only, so no differences and no figures of classes are given of them."
        )
    return notes


def _notes_on_rows(runs: pd.DataFrame, changes: Mapping[str, str], printed: bool) -> list[str]:
    """Which rows can be compared."""
    trained = runs[runs["recipe"] != ""].drop_duplicates("system")
    recipes = {
        str(system): _recipe(str(system), recipe).removesuffix("*")
        for system, recipe in zip(trained["system"], trained["recipe"], strict=True)
    }
    notes = []
    if recipes:
        usual = max(recipes.values(), key=[*recipes.values()].count)
        others = [
            f"{NAMES[system]} ({recipes[system]})"
            for system in NAMES
            if recipes.get(system, usual) != usual
        ]
        but = f" but {'; '.join(others)}" if others else ""
        notes.append(
            f"Recipe {usual} trained all rows that are trained{but}. Only rows of one recipe "
            "compare graphs; own is a recipe for that system alone."
        )
    by_change: dict[str, list[str]] = {}
    for system, change in changes.items():
        by_change.setdefault(change, []).append(system)
    if by_change:
        told = "; ".join(
            f"{change} ({'all' if {*systems} == {*recipes} else _list(systems, runs)})"
            for change, systems in by_change.items()
        )
        notes.append(f"Recipes with a star (*) were changed on the command line: {told}.")
    if printed:
        notes.append(
            "Published: Zhou et al. 2022, one run, other class splits, probably filtered candidates"
            " (leaks)."
        )
    splits = sorted(runs["split"].unique())
    lacking = [
        f"{NAMES.get(str(system), system)} (split {', '.join(map(str, missing))})"
        for system, own in runs.groupby("system")["split"]
        if (missing := [split for split in splits if split not in set(own)])
    ]
    if lacking:
        notes.append(f"Not run on every split, so not comparable: {'; '.join(lacking)}.")
    return notes


def _list(systems: Iterable[str], runs: pd.DataFrame) -> str:
    """The names of those systems that are in the table."""
    present = {*runs["system"]}
    return "; ".join(NAMES.get(system, system) for system in systems if system in present)


def _ranks_proposals(system: str) -> bool:
    """Whether a system ranks candidates, which alone can be filtered."""
    build, _ = model_builder(WITH_RECIPE.get(system, (system,))[0])
    return bool(getattr(build, "ranks_proposals", True))


def _recipe(system: str, recipe: str) -> str:
    """The recipe in a cell of the table: a recipe for one system alone is its own."""
    return re.sub(rf"^{re.escape(system)}(?=\*?$)", "own", recipe)


def _cell(figure: Interval | None) -> str:
    if figure is None:
        return ""
    mean, _, high = figure
    return _short(mean) if math.isnan(high) else f"{_short(mean)}±{_short(high - mean)}"


def difference_text(difference: float, low: float, high: float) -> str:
    """A difference and its interval, where there is one, as in ``+.039 [+.013, +.064]``."""
    if math.isnan(low):
        return _short(difference, "+")
    return f"{_short(difference, '+')} [{_short(low, '+')}, {_short(high, '+')}]"


def _short(value: float, sign: str = "") -> str:
    """Three decimals without the zero before the point, as in ``.651``; empty for NaN."""
    return "" if math.isnan(value) else re.sub(r"(?<!\d)0\.", ".", f"{value:{sign}.3f}")
