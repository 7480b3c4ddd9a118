"""Finished cells of a comparison, and their tables: runs, query classes, paired differences."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from grid import OF_THE_MACHINE, RANDOM, UNTRAINED, changed_options
from options import flatten
from pandas.api.types import is_numeric_dtype

from gnnreloc.errors import InputError
from gnnreloc.evaluation import THRESHOLDS, paired_bootstrap
from gnnreloc.evaluation.metrics import MEAN_THRESHOLDS
from gnnreloc.evaluation.protocol import VIEWS

RECALLS = [f"r1_{level:g}" for level in THRESHOLDS]
FIGURES = [*RECALLS, "r1_mean", "r5_0.5", "miou", "wrong_class_r1_0.5"]
COLUMNS = [
    *("system", "dataset", "protocol", "split", "seed", "recipe", *FIGURES),
    *("train_seconds", "pairs", "unrefined_r1_0.5", "unrefined_r1_mean"),
]
#: Columns that name a query clip in the predictions, and a pair.
QUERY = ["query_video", "query_start", "query_end"]
KEYS = ["video", *QUERY]
#: Columns that number what the paired bootstrap draws.
DRAWN = ["query", "reference"]
#: Figures of a pair whose differences are told; those of tIoU levels, with their levels.
COMPARED = ("r1_0.5", "r1_0.7", "r1_0.9", "r1_mean", "miou")
LEVELS = {f"r1_{level:g}": (level,) for level in THRESHOLDS} | {"r1_mean": MEAN_THRESHOLDS}
CLASS_COLUMNS = ["system", "recipe", "dataset", "split", "seed", "label", "pairs", "r1_0.5"]


class View(NamedTuple):
    """Which figures of a run are shown: every run holds those of all views.

    Attributes:
        protocol: ``open``, or ``filtered``, which leaks the truth.
        refined: with the boundaries that the system refined, or with the candidates as they are.
    """

    protocol: str = "open"
    refined: bool = True

    @property
    def suffix(self) -> str:
        """End of file and column names, empty for the main view."""
        protocol = "" if self.protocol == "open" else f"_{self.protocol}"
        return protocol if self.refined else f"{protocol}_unrefined"


class Run(NamedTuple):
    """A finished run: folder, ``metrics.json`` and ``predictions.csv``.

    Attributes:
        folder: where it lies.
        metrics: of ``metrics.json``.
        predictions: of ``predictions.csv``.
        changes: what its command line changed in the recipe, such as ``epochs 1``; may be empty.
    """

    folder: Path
    metrics: Mapping[str, Any]
    predictions: pd.DataFrame
    changes: str = ""

    @property
    def recipe(self) -> str:
        """The recipe that trained it, with a star if it was changed; empty without training."""
        if self.metrics["system"] in UNTRAINED:
            return ""
        return f"{self.metrics['recipe'] or ''}{'*' if self.changes else ''}"


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """The metrics of a finished run, or ``None`` where something of it is missing."""
    run = read_run(folder)
    return None if run is None else run[0]


def read_run(folder: Path) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """Metrics and predictions of a finished run, or ``None`` where a file or figure is missing."""
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        names = dict.fromkeys(("video", "query_video", "label"), str)
        # No name of a video or class, such as NA, stands for nothing.
        predictions = pd.read_csv(folder / "predictions.csv", dtype=names, keep_default_na=False)
    except (OSError, ValueError):
        return None
    numbers = {*VIEWS, *QUERY[1:]}
    if not _is_whole(metrics) or not {*names, *QUERY, *VIEWS} <= {*predictions.columns}:
        return None
    if not all(is_numeric_dtype(predictions[name]) for name in numbers):
        return None
    whole = len(predictions) == metrics["pairs"] and (folder / "config.yaml").is_file()
    return (metrics, predictions) if whole else None


def _is_whole(metrics: Any) -> bool:
    """Whether all is there that a table may show; an older run.py wrote no filtered figures."""
    try:
        filtered, wrong = metrics["filtered"], metrics["wrong_class_query"]
        numbers = [*metrics["seconds"].values(), metrics["seconds"]["train"]]
        for view in (metrics, metrics["unrefined"], filtered, filtered["unrefined"]):
            numbers += [view["r1"][f"{level:g}"] for level in THRESHOLDS]
            numbers += [view["r5"]["0.5"], view["r1_mean"], view["miou"]]
        numbers += [] if wrong is None else [wrong["r1"]["0.5"]]
        counts = [metrics[name] for name in ("split", "seed", "pairs")]
        texts = [metrics[name] for name in ("system", "dataset")]
        return (
            all(math.isfinite(number) for number in numbers)
            and all(isinstance(count, int) for count in counts)
            and all(isinstance(text, str) for text in texts)
            and (metrics["recipe"] is None or isinstance(metrics["recipe"], str))
            and isinstance(metrics["config"], dict)
        )
    except (AttributeError, IndexError, KeyError, TypeError):
        return False


def gather(folder: Path) -> list[Run]:
    """All finished runs in a folder, ordered by their folders.

    Raises:
        InputError: if two of them cannot stand in one table, because they are the same cell, were
            not asked the same questions, or are of one system and were not trained alike; or if
            one is on another data set than the folder's name says.
    """
    runs = []
    for place in sorted(path.parent for path in folder.glob("*/metrics.json")):
        found = read_run(place)
        if found is not None:
            runs.append(Run(place, *found, changes=changed_options(place)))
    first: dict[str, Run] = {}
    cells: dict[tuple[Any, ...], Run] = {}
    for run in runs:
        cell = tuple(run.metrics[name] for name in ("system", "split", "seed"))
        if run.metrics["dataset"] != folder.name:
            raise InputError(
                f"{run.folder} holds a run on {run.metrics['dataset']}: it does not belong in "
                f"{folder}; remove it from there"
            )
        if (same := cells.setdefault(cell, run)) is not run:
            raise InputError(
                f"{same.folder} and {run.folder} hold the same cell, {cell[0]} split {cell[1]} "
                f"seed {cell[2]}: remove one"
            )
        of_system = first.setdefault(run.metrics["system"], run)
        _check_alike(runs[0], run, ("data", "evaluation", "proposals", "pca"))
        options = of_system.metrics["config"].keys() | run.metrics["config"].keys()
        _check_alike(of_system, run, options - {"split", "seed"})
    return runs


def _check_alike(first: Run, second: Run, options: Iterable[str]) -> None:
    """Compare options; one that a run does not have is of code that knew nothing else."""
    before, after = (
        dict(flatten({name: run.metrics["config"].get(name, {}) for name in options}))
        for run in (first, second)
    )
    for name in sorted((before.keys() | after.keys()) - {*OF_THE_MACHINE}):
        values = [config.get(name, "not an option yet") for config in (before, after)]
        if values[0] != values[1]:
            raise InputError(
                f"{first.folder} and {second.folder} cannot stand in one table: their {name} is "
                f"{values[0]} and {values[1]}; remove one, or choose another --out"
            )


def runs_table(runs: Sequence[Run], view: View) -> pd.DataFrame:
    """One row a run, with the columns of :data:`COLUMNS`; empty where a run has no such figure."""
    rows = []
    for run in runs:
        metrics = run.metrics
        summary = metrics if view.protocol == "open" else metrics[view.protocol]
        before = summary["unrefined"]
        shown = summary if view.refined else before
        # The wrong query is judged in the main view only.
        wrong = None if view.suffix else metrics["wrong_class_query"]
        row = {name: metrics[name] for name in ("system", "dataset", "split", "seed", "pairs")}
        row |= {"protocol": view.protocol, "recipe": run.recipe}
        figures = {f"r1_{level:g}": shown["r1"][f"{level:g}"] for level in THRESHOLDS}
        figures |= {"r1_mean": shown["r1_mean"], "r5_0.5": shown["r5"]["0.5"]}
        figures |= {"miou": shown["miou"]}
        figures |= {"wrong_class_r1_0.5": np.nan if wrong is None else wrong["r1"]["0.5"]}
        figures |= {"unrefined_r1_0.5": before["r1"]["0.5"], "unrefined_r1_mean": before["r1_mean"]}
        row |= {name: round(value, 4) for name, value in figures.items()}
        row |= {"train_seconds": round(metrics["seconds"]["train"], 1)}
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def classes_table(runs: Sequence[Run], view: View) -> pd.DataFrame:
    """Number of pairs and R@1 at tIoU 0.5 of each class of each run.

    Systems that answer a pair several times (``chance``, ``random_proposal``) are left out: of
    their answers, which the table of runs averages, the predictions hold the first only.
    """
    parts = []
    for run in runs:
        if run.metrics["system"] in RANDOM:
            continue
        hits = (run.predictions[f"tiou{view.suffix}"] > 0.5).groupby(run.predictions["label"])
        rows = pd.DataFrame({"pairs": hits.size(), "r1_0.5": hits.mean().round(4)}).reset_index()
        about = {"system": run.metrics["system"], "recipe": run.recipe}
        about |= {name: run.metrics[name] for name in ("dataset", "split", "seed")}
        for position, (name, value) in enumerate(about.items()):
            rows.insert(position, name, value)
        parts.append(rows)
    return pd.concat([pd.DataFrame(columns=CLASS_COLUMNS), *parts], ignore_index=True)


def differences_table(runs: Sequence[Run], view: View, against: str) -> pd.DataFrame:
    """Paired bootstrap of every system against one, on the splits that both were run on.

    The figures of a pair are averaged over the seeds of a system. Query clips and references (on
    one split) are drawn, both: pairs that share one rise and fall together. The interval holds for
    these splits and seeds. Systems that answer a pair several times (``chance``,
    ``random_proposal``) are left out: of their answers, which the table of runs averages, the
    predictions hold the first only.
    """
    rows = []
    systems = dict.fromkeys(run.metrics["system"] for run in runs)
    of_system = {name: runs_by_split(runs, name) for name in systems if name not in RANDOM}
    base = of_system.get(against, {})
    for system, splits in of_system.items():
        common = sorted(splits.keys() & base.keys())
        if system == against or not common:
            continue
        pairs = common_pairs([base, splits], common)
        counts = (len(pairs), *(pairs[name].nunique() for name in DRAWN), len(common))
        for figure in COMPARED:
            a, b = (pair_figures(by, common, view, figure) for by in (splits, base))
            found = paired_bootstrap(a, b, *(pairs[name].to_numpy() for name in DRAWN))
            numbers = (found["difference"], found["low"], found["high"], found["p_value"])
            about = (system, against, view.protocol, figure)
            rows.append([*about, *(round(number, 4) for number in numbers), *counts])
    names = ["system", "against", "protocol", "figure", "difference", "low", "high", "p_value"]
    return pd.DataFrame(rows, columns=[*names, "pairs", "queries", "references", "splits"])


def runs_by_split(runs: Sequence[Run], system: str) -> dict[int, list[Run]]:
    """The runs of a system, one a seed, by split."""
    splits: dict[int, list[Run]] = {}
    for run in runs:
        if run.metrics["system"] == system:
            splits.setdefault(run.metrics["split"], []).append(run)
    return splits


def common_pairs(
    systems: Sequence[Mapping[int, Sequence[Run]]], splits: Sequence[int]
) -> pd.DataFrame:
    """The pairs of some splits, split after split, which all systems must have been asked.

    Args:
        systems: the runs of each system by split; all have these splits.
        splits: of the classes, at least one.

    Returns:
        One row a pair: :data:`KEYS`, ``label``, ``split``, and :data:`DRAWN`, the numbers of its
        query clip and of its reference, of which the bootstrap draws.

    Raises:
        InputError: if a run holds other pairs than the first, or in another order.
    """
    parts = []
    for split in splits:
        first = systems[0][split][0]
        for run in (run for by_split in systems for run in by_split[split]):
            _check_pairs(first, run)
        parts.append(first.predictions[[*KEYS, "label"]].assign(split=split))
    pairs = pd.concat(parts, ignore_index=True)
    numbers = (pairs.groupby(["split", *keys]).ngroup() for keys in (QUERY, ["video"]))
    return pairs.assign(**dict(zip(DRAWN, numbers, strict=True)))


def pair_figures(
    by_split: Mapping[int, Sequence[Run]], splits: Sequence[int], view: View, figure: str
) -> npt.NDArray[np.float64]:
    """A figure of each pair of some splits, averaged over the seeds of a system, ``[pairs]``."""
    return np.concatenate([_mean_over_seeds(by_split[split], view, figure) for split in splits])


def _mean_over_seeds(runs: Sequence[Run], view: View, figure: str) -> npt.NDArray[np.float64]:
    overlaps = np.stack([run.predictions[f"tiou{view.suffix}"] for run in runs])
    levels = LEVELS.get(figure)
    if levels is None:
        values = overlaps
    else:
        values = np.mean([overlaps > level for level in levels], axis=0)
    mean: npt.NDArray[np.float64] = values.mean(axis=0)
    return mean


def _check_pairs(first: Run, second: Run) -> None:
    if not first.predictions[KEYS].equals(second.predictions[KEYS]):
        raise InputError(
            f"{first.folder} and {second.folder} hold different pairs, or in another order: they "
            "cannot be compared pair by pair"
        )
