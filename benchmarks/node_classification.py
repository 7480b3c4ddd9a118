"""Does a learned adjacency help others? Node classification with few labels, on known data sets.

    python benchmarks/node_classification.py
    python benchmarks/node_classification.py --planetoid DATA/planetoid
    python benchmarks/node_classification.py --datasets wine --systems learned gcn_knn --seeds 3
    python benchmarks/node_classification.py --table

Data sets and splits are those of IDGL (Chen et al., NeurIPS 2020) and of LDS (Franceschi et al.,
ICML 2019) before it: Wine and Breast Cancer with 10 labelled nodes to train and 20 to validate,
features scaled; Digits with 50 and 100, unscaled; the rest is test, stratified, a new split each
seed; ``wine_idgl`` and the like have the splits that IDGL's configuration files name. Cora and
Citeseer have a given graph and the public split, a seed draws the weights alone. The folder of
``--planetoid`` holds ``cora/raw`` and ``citeseer/raw`` with the files ``ind.*``; without it these
two are left out.

No classifier sees a test label. Where a system has several settings (``SETTINGS``), each run takes
the one with the least cross-entropy on its own validation nodes.

A finished run is a row of the CSV, and the same command goes on where it was stopped. The page
beside the CSV is written from it, and ``--table`` does so without running anything. Exit status: 0,
or 2 for bad input.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from node_classifiers import (
    Fitted,
    Options,
    graph_convolution,
    learned_propagation,
    logistic_regression,
    perceptron,
)
from node_label_propagation import label_propagation
from node_splits import CITATION, DATASETS, Split, load
from node_table import page, table

from gnnreloc.errors import InputError

RESULTS = Path(__file__).parent / "results" / "node_classification.csv"
COLUMNS = ["dataset", "system", "seed", "validation", "test", "seconds", "options", "commit"]

#: The settings of ours in APPNP, without and with a given graph.
LEARNED: dict[str, dict[str, Any]] = {
    "tabular": {
        "neighbours": 10,
        "model": {
            "compare": "features",
            "mix": 0.2,
            "temperature": 0.1,
            "teleport": 0.05,
            "hidden": 64,
            "dropout": 0.5,
        },
        "rate": 0.02,
        "weight_decay": 5e-3,
    },
    "citation": {
        "model": {
            "compare": "predictions",
            "mix": 0.2,
            "temperature": 0.5,
            "teleport": 0.2,
            "hidden": 64,
            "dropout": 0.7,
            "node_dropout": 0.5,
        },
        "rate": 0.02,
        "consistency": 3.0,
        "sharpness": 2.5,
    },
}
#: The same with the given weights alone, which shows what the learned ones are worth.
FIXED = {
    kind: settings | {"model": settings["model"] | {"mix": 1.0}}
    for kind, settings in LEARNED.items()
}
#: The settings of our label propagation, which is for data without a graph.
PROPAGATION: Options = {"neighbours": 40, "mix": 0.2, "temperature": 0.5, "rounds": 2}
_PENALTIES: list[Options] = [{"inverse_penalty": value} for value in (0.01, 0.1, 1.0, 10.0, 100.0)]
_NEIGHBOURS: list[Options] = [{"neighbours": neighbours} for neighbours in (5, 10, 20)]
#: The settings of each system that a run chooses from; none where a system does not apply.
SETTINGS: dict[str, dict[str, list[Options]]] = {
    "logistic_regression": {"tabular": _PENALTIES, "citation": _PENALTIES},
    "mlp": {"tabular": [{"hidden": 64}], "citation": [{"hidden": 64}]},
    "gcn_knn": {"tabular": _NEIGHBOURS, "citation": _NEIGHBOURS},
    "gcn_given": {"tabular": [], "citation": [{}]},
    "fixed": {kind: [settings] for kind, settings in FIXED.items()},
    "learned": {kind: [settings] for kind, settings in LEARNED.items()},
    "propagation_fixed": {"tabular": [{**PROPAGATION, "rounds": 0}], "citation": []},
    "propagation": {"tabular": [PROPAGATION], "citation": []},
}
SYSTEMS: dict[str, Callable[..., Fitted]] = {
    "logistic_regression": logistic_regression,
    "mlp": perceptron,
    "gcn_knn": graph_convolution,
    "gcn_given": graph_convolution,
    "fixed": learned_propagation,
    "learned": learned_propagation,
    "propagation_fixed": label_propagation,
    "propagation": label_propagation,
}


def run(dataset: str, system: str, seed: int, split: Split, epochs: int | None) -> dict[str, Any]:
    """Fit a system with each of its settings, and give the row of the best by validation loss.

    Args:
        dataset: name.
        system: name.
        seed: of weights and dropout.
        split: the data.
        epochs: the most to train, None for those of the setting.
    """
    started = time.perf_counter()
    shorter = {} if epochs is None or system == "logistic_regression" else {"epochs": epochs}
    fits: list[tuple[Fitted, Options]] = []
    for settings in settings_of(dataset, system):
        options = {**settings, **shorter}
        torch.manual_seed(seed)
        fits.append((SYSTEMS[system](split.problem, **options), options))
    best, chosen = min(fits, key=lambda fit: fit[0].loss)
    right = best.predicted[split.test] == split.truth[split.test]
    return {
        "dataset": dataset,
        "system": system,
        "seed": seed,
        "validation": best.accuracy,
        "test": right.float().mean().item(),
        "seconds": time.perf_counter() - started,
        "options": json.dumps(chosen),
        "commit": commit(Path(__file__).parent),
    }


def settings_of(dataset: str, system: str) -> list[Options]:
    """The settings of a system that a run on a data set chooses from; none if it does not apply."""
    return SETTINGS[system]["citation" if dataset in CITATION else "tabular"]


def commit(folder: Path) -> str:
    """The commit of the code, with ``+dirty`` where a file of it differs; empty without git.

    Args:
        folder: that of this script; the results in it, which change with every row, do not count.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", ".", "../gnnreloc", ":(exclude)results")
        return git("rev-parse", "--short=7", "HEAD") + ("+dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def read_rows(path: Path) -> pd.DataFrame:
    """The finished runs in a CSV, none where there is no such file."""
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.read_csv(path, dtype={"commit": str, "options": str}, keep_default_na=False)
    if list(rows.columns) != COLUMNS:
        raise InputError(f"{path}: wanted the columns {','.join(COLUMNS)}")
    return rows


def run_missing(cells: Sequence[tuple[str, str, int]], options: argparse.Namespace) -> None:
    """Run the cells that the CSV lacks, and append a row for each."""
    rows = read_rows(options.out)
    finished = set(zip(rows["dataset"], rows["system"], rows["seed"], strict=True))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    splits: dict[tuple[str, int], Split] = {}
    for dataset, system, seed in cells:
        if (dataset, system, seed) in finished:
            continue
        place = dataset, 0 if dataset in CITATION else seed
        if place not in splits:
            splits = {place: load(dataset, seed, options.planetoid)}
        row = run(dataset, system, seed, splits[place], options.epochs)
        new = pd.DataFrame([row], columns=COLUMNS)
        exists = options.out.exists()
        new.to_csv(options.out, mode="a", header=not exists, index=False, float_format="%.6g")
        told = f"validation {100 * row['validation']:.1f} %, {row['seconds']:.1f} s"
        print(f"{dataset} {system} {seed}: {told}", flush=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the command.

    Raises:
        InputError: if an option is unknown or has no such value.
    """
    parser = argparse.ArgumentParser(
        prog="node_classification.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        exit_on_error=False,
    )
    add = parser.add_argument
    add("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    add("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    add("--seeds", type=int, default=10, help="how many, from 0")
    add("--planetoid", type=Path, help="folder with cora/raw and citeseer/raw")
    add("--out", type=Path, help=f"CSV, by default results/{RESULTS.name} beside the script")
    add("--epochs", type=int, help="the most to train, for a try in runs/")
    add("--quick", action="store_true", help="Wine, 2 seeds, 8 epochs")
    add("--table", action="store_true", help="run nothing, write the page from the CSV")
    try:
        options, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise InputError(str(error)) from error
    if unknown:
        raise InputError(f"unknown option {unknown[0]}")
    for name in ("seeds", "epochs"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise InputError(f"--{name}: wanted at least 1, found {value}")
    if options.quick:
        options.datasets, options.seeds, options.epochs = ["wine"], 2, 8
    if options.out is None:
        options.out = RESULTS if options.epochs is None else Path("runs") / RESULTS.name
    return options


def main(arguments: Sequence[str]) -> int:
    """Run what is missing, write the page, print the table, and give the exit status."""
    try:
        options = parse(arguments)
        if not options.table:
            if options.planetoid is None:
                left_out = [name for name in options.datasets if name in CITATION]
                options.datasets = [name for name in options.datasets if name not in CITATION]
                if left_out:
                    print(f"left out without --planetoid: {', '.join(left_out)}")
            cells = [
                (dataset, system, seed)
                for dataset in options.datasets
                for seed in range(options.seeds)
                for system in options.systems
                if settings_of(dataset, system)
            ]
            run_missing(cells, options)
        rows = read_rows(options.out)
        if rows.empty:
            raise InputError(f"{options.out}: no finished run in it")
        options.out.with_suffix(".md").write_text(page(rows), encoding="utf-8")
        print(table(rows))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)  # the graphs are small: more threads take longer
    sys.exit(main(sys.argv[1:]))
