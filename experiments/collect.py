"""Gather finished runs into one CSV, one row a run, and print their table.

    python experiments/collect.py runs/* --out experiments/results/bandai.csv

The table of a data set gives mean and standard deviation over the runs of a system (splits and
seeds). The training-free row has a recipe, because its number of timesteps is that of the run.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from gnnreloc.evaluation import THRESHOLDS

#: Rows that every run holds beside its own, on the same pairs.
BESIDE = (
    "training_free",
    "oracle",
    "random_proposal",
    "longest_proposal",
    "whole_reference",
    "chance",
)
SHOWN = ["r1_0.5", "r1_0.7", "r1_0.9", "r1_mean", "r5_0.5", "miou", "wrong_class_r1_0.5"]


def rows_of(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """The run's row and those of its baselines."""
    common = {name: metrics[name] for name in ("dataset", "protocol", "split", "seed")}
    own = common | {"system": metrics["system"], "recipe": metrics["config"]["recipe"]}
    before = figures(metrics["unrefined"])
    own |= figures(metrics)
    own |= {f"unrefined_{name}": before[name] for name in ("r1_0.5", "r1_mean")}
    own |= {"wrong_class_r1_0.5": metrics["wrong_class_query"]["r1"]["0.5"]}
    own |= {"train_seconds": round(metrics["seconds"]["train"], 1), "pairs": metrics["pairs"]}
    beside = [
        common | {"system": name, "pairs": metrics["pairs"]} | figures(metrics["baselines"][name])
        for name in BESIDE
    ]
    beside[BESIDE.index("training_free")]["recipe"] = own["recipe"]
    return [own, *beside]


def class_rows(folder: Path, metrics: dict[str, Any]) -> pd.DataFrame:
    """Number of pairs and R@1 at tIoU 0.5 of each query class of a run."""
    predictions = pd.read_csv(folder / "predictions.csv")
    found = (predictions["tiou"] > 0.5).groupby(predictions["label"])
    rows = pd.DataFrame({"pairs": found.size(), "r1_0.5": found.mean().round(4)}).reset_index()
    run = {"system": metrics["system"], "recipe": metrics["config"]["recipe"]}
    run |= {name: metrics[name] for name in ("dataset", "split", "seed")}
    for position, (name, value) in enumerate(run.items()):
        rows.insert(position, name, value)
    return rows


def figures(summary: dict[str, Any]) -> dict[str, float]:
    """The figures of a summary as columns."""
    recall = {f"r1_{level:g}": summary["r1"][f"{level:g}"] for level in THRESHOLDS}
    rest = {"r1_mean": summary["r1_mean"], "r5_0.5": summary["r5"]["0.5"], "miou": summary["miou"]}
    return {name: round(value, 4) for name, value in (recall | rest).items()}


def summary_table(table: pd.DataFrame) -> str:
    """Mean and standard deviation of every system on one data set in Markdown, the best first."""
    groups = table.fillna({"recipe": ""}).groupby(["system", "recipe"])[SHOWN]
    mean, deviation, runs = groups.mean(), groups.std(), groups.size()
    lines = [f"| system | recipe | runs | {' | '.join(SHOWN)} |", "|---" * (3 + len(SHOWN)) + "|"]
    for key in mean.sort_values("r1_0.5", ascending=False).index:
        cells = [_cell(*pair) for pair in zip(mean.loc[key], deviation.loc[key], strict=True)]
        lines.append(f"| {key[0]} | {key[1]} | {runs.loc[key]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(mean: float, deviation: float) -> str:
    """A figure, with its deviation where there are several runs; empty where no run has it."""
    if math.isnan(mean):
        return ""
    return f"{mean:.3f}" if math.isnan(deviation) else f"{mean:.3f} ± {deviation:.3f}"


def main() -> None:
    """Read the runs, write the CSV, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    parser.add_argument("--out", type=Path, required=True, help="CSV to write")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    classes: list[pd.DataFrame] = []
    for folder in arguments.runs:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        rows += rows_of(metrics)
        classes.append(class_rows(folder, metrics))
    table = pd.DataFrame(rows).drop_duplicates(["dataset", "system", "recipe", "split", "seed"])
    first = ["system", "dataset", "protocol", "split", "seed", "recipe"]
    table = table[[*first, *(name for name in table if name not in first)]]
    table = table.sort_values(["dataset", "system", "recipe", "split", "seed"])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out, index=False)
    by_class = pd.concat(classes)
    by_class = by_class.sort_values(["dataset", "system", "recipe", "split", "seed", "label"])
    path = arguments.out.with_name(f"{arguments.out.stem}_classes.csv")
    by_class.to_csv(path, index=False)
    for dataset, runs in table.groupby("dataset"):
        print(f"{dataset}\n\n{summary_table(runs)}\n")


if __name__ == "__main__":
    main()
