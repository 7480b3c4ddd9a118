"""Finished cells of a comparison as tables: runs, query classes, paired differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from grid import UNTRAINED, read_metrics

from gnnreloc.errors import InputError
from gnnreloc.evaluation import THRESHOLDS, paired_bootstrap
from gnnreloc.evaluation.metrics import MEAN_THRESHOLDS

RECALLS = [f"r1_{level:g}" for level in THRESHOLDS]
FIGURES = [*RECALLS, "r1_mean", "r5_0.5", "miou", "wrong_class_r1_0.5"]
COLUMNS = [
    *("system", "dataset", "protocol", "split", "seed", "recipe", *FIGURES),
    *("train_seconds", "pairs", "unrefined_r1_0.5", "unrefined_r1_mean"),
]
QUERY = ["query_video", "query_start", "query_end"]
_OF_THE_CELL = {"split", "seed", "root", "device"}


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
    """A finished run: folder, ``metrics.json`` and ``predictions.csv``."""

    folder: Path
    metrics: Mapping[str, Any]
    predictions: pd.DataFrame


def gather(folder: Path) -> list[Run]:
    """All finished runs in a folder, ordered by their folders.

    Raises:
        InputError: if two of them cannot stand in one table, because they were not asked the same
            questions, or runs of one system were not trained alike.
    """
    runs = []
    for place in sorted(path.parent for path in folder.glob("*/metrics.json")):
        metrics = read_metrics(place)
        if metrics is not None:
            runs.append(Run(place, metrics, pd.read_csv(place / "predictions.csv")))
    first: dict[str, Run] = {}
    for run in runs:
        of_system = first.setdefault(run.metrics["system"], run)
        _check_alike(runs[0], run, ("data", "evaluation", "proposals"))
        _check_alike(of_system, run, run.metrics["config"].keys() - _OF_THE_CELL)
    return runs


def _check_alike(first: Run, second: Run, options: Iterable[str]) -> None:
    """Compare options that both runs have; an option of one alone is new in the code since."""
    before, after = (
        _flat({name: run.metrics["config"].get(name, {}) for name in options})
        for run in (first, second)
    )
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            raise InputError(
                f"{first.folder} and {second.folder} cannot stand in one table: their {name} is "
                f"{before[name]} and {after[name]}; remove one, or choose another --out"
            )


def _flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Options with their full names, such as ``data.train_videos``."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        full = prefix + name
        flat |= _flat(value, f"{full}.") if isinstance(value, dict) else {full: value}
    return flat


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
        row |= {"protocol": view.protocol, "recipe": recipe_of(metrics)}
        figures = {f"r1_{level:g}": shown["r1"][f"{level:g}"] for level in THRESHOLDS}
        figures |= {"r1_mean": shown["r1_mean"], "r5_0.5": shown["r5"]["0.5"]}
        figures |= {"miou": shown["miou"]}
        figures |= {"wrong_class_r1_0.5": np.nan if wrong is None else wrong["r1"]["0.5"]}
        figures |= {"unrefined_r1_0.5": before["r1"]["0.5"], "unrefined_r1_mean": before["r1_mean"]}
        row |= {name: round(value, 4) for name, value in figures.items()}
        row |= {"train_seconds": round(metrics["seconds"]["train"], 1)}
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def recipe_of(metrics: Mapping[str, Any]) -> str:
    """The recipe that trained a run, empty where nothing was trained."""
    return "" if metrics["system"] in UNTRAINED else str(metrics["recipe"] or "")


def classes_table(runs: Sequence[Run], view: View) -> pd.DataFrame:
    """Number of pairs and R@1 at tIoU 0.5 of each class of each run."""
    parts = []
    for run in runs:
        hits = (run.predictions[f"tiou{view.suffix}"] > 0.5).groupby(run.predictions["label"])
        rows = pd.DataFrame({"pairs": hits.size(), "r1_0.5": hits.mean().round(4)}).reset_index()
        about = {"system": run.metrics["system"], "recipe": recipe_of(run.metrics)}
        about |= {name: run.metrics[name] for name in ("dataset", "split", "seed")}
        for position, (name, value) in enumerate(about.items()):
            rows.insert(position, name, value)
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def differences_table(runs: Sequence[Run], view: View, against: str) -> pd.DataFrame:
    """Paired bootstrap of every system against one, on the splits that both were run on.

    The figures of a pair are averaged over the seeds of a system; the pairs of one query clip (on
    one split) are drawn together. The interval holds for these splits and seeds. Of a system that
    answers a pair several times (``chance``) the first answer counts.
    """
    rows = []
    of_system = {run.metrics["system"]: _by_split(runs, run.metrics["system"]) for run in runs}
    base = of_system.get(against, {})
    for system, splits in of_system.items():
        common = sorted(splits.keys() & base.keys())
        if system == against or not common:
            continue
        for split in common:
            for run in (*base[split], *splits[split]):
                _check_pairs(base[split][0], run)
        queries = pd.concat(
            [base[split][0].predictions[QUERY].assign(split=split) for split in common]
        )
        groups = queries.groupby(["split", *QUERY]).ngroup().to_numpy()
        for figure in ("r1_0.5", "r1_mean", "miou"):
            a, b = (
                np.concatenate([_mean_over_seeds(by[split], view, figure) for split in common])
                for by in (splits, base)
            )
            found = paired_bootstrap(a, b, groups)
            numbers = (found["difference"], found["low"], found["high"], found["p_value"])
            counts = (len(a), int(groups.max()) + 1, len(common))
            about = (system, against, view.protocol, figure)
            rows.append([*about, *(round(number, 4) for number in numbers), *counts])
    names = ["system", "against", "protocol", "figure", "difference", "low", "high", "p_value"]
    return pd.DataFrame(rows, columns=[*names, "pairs", "queries", "splits"])


def _by_split(runs: Sequence[Run], system: str) -> dict[int, list[Run]]:
    """The runs of a system, one a seed, by split."""
    splits: dict[int, list[Run]] = {}
    for run in runs:
        if run.metrics["system"] == system:
            splits.setdefault(run.metrics["split"], []).append(run)
    return splits


def _mean_over_seeds(runs: Sequence[Run], view: View, figure: str) -> npt.NDArray[np.float64]:
    """A figure of each pair, ``[pairs]``, averaged over the seeds of one split."""
    overlaps = np.stack([run.predictions[f"tiou{view.suffix}"] for run in runs])
    levels = {"r1_0.5": (0.5,), "r1_mean": MEAN_THRESHOLDS}.get(figure)
    if levels is None:
        values = overlaps
    else:
        values = np.mean([overlaps > level for level in levels], axis=0)
    mean: npt.NDArray[np.float64] = values.mean(axis=0)
    return mean


def _check_pairs(first: Run, second: Run) -> None:
    keys = ["video", *QUERY]
    if not first.predictions[keys].equals(second.predictions[keys]):
        raise InputError(
            f"{first.folder} and {second.folder} hold different pairs, or in another order: they "
            "cannot be compared pair by pair"
        )
