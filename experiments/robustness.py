r"""What trained systems lose when timesteps are lost or noisy, from the runs that compare.py left.

    python experiments/robustness.py --runs runs/compare/bandai --root DATA/bandai_mocap \
        --systems dynamic_tuned khop_n1_k12 --shares 0 0.1 0.3 --out experiments/results

writes <dataset>_robustness.csv. Every finished run of the named systems is asked its test pairs
again, with this share of the timesteps of queries and references disturbed: "drop" (lost: the last
one before that is left is shown instead) and "noise" (signal-to-noise ratio of 1 in each channel).
The disturbed timesteps depend on seed and video alone, so systems with one seed see the same.

The CSV has a row for each system, split, seed, disturbance and share, with R@1 and mIoU of the main
view. The undisturbed row of a run (disturbance "none", share 0) is always measured, and first: it
must be what the run wrote into metrics.json, or code, data and checkpoint do not belong together.
Rows that are there already are kept: the same command goes on where it was stopped, and other
systems and shares can be added. Exit status: 0, or 1 if a file cannot be written, 2 for bad input,
130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pandas as pd
from compare import OneLineParser
from finished_run import FinishedRun, load_run
from gather import Run, gather
from options import fail

from gnnreloc.atomic_write import atomic_write
from gnnreloc.data import disturb_features, evaluation_pairs
from gnnreloc.data.disturbed_features import Disturbance
from gnnreloc.errors import InputError
from gnnreloc.evaluation import evaluate

KINDS = get_args(Disturbance)
#: How far a figure of an undisturbed run may be from the one that it wrote: other machines round
#: otherwise.
TOLERANCE = 0.01
KEYS = ["system", "split", "seed", "disturbance", "share"]
FIGURES = ["r1_0.5", "r1_0.7", "r1_mean", "miou"]
COLUMNS = [*KEYS, *FIGURES, "pairs"]


class Key(NamedTuple):
    """What a row is about: the columns of :data:`KEYS`."""

    system: str
    split: int
    seed: int
    disturbance: str
    share: float

    def __str__(self) -> str:
        disturbed = f"{self.disturbance} {self.share:g}" if self.share else "undisturbed"
        return f"{self.system} split {self.split} seed {self.seed}, {disturbed}"


Rows = dict[Key, list[float]]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of this command.

    Raises:
        InputError: if an option is unknown or missing, or a share is none.
    """
    parser = OneLineParser(
        prog="robustness.py",
        usage="robustness.py --runs FOLDER --systems NAME ... [options]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--runs", type=Path, required=True, help="folder of the runs, named after the data set")
    add("--root", help="folder of the data set, where it is no longer the one of the runs")
    add("--systems", nargs="+", required=True, help="names of systems in that folder")
    add("--shares", nargs="+", type=float, default=[0.0, 0.1, 0.3], help="of the timesteps")
    add("--out", type=Path, help="folder of the results, else the one that holds --runs")
    options = parser.parse_args(list(arguments))
    for share in options.shares:
        if not 0.0 <= share <= 1.0:
            raise InputError(f"--shares: wanted from 0 to 1, found {share:g}")
    return options


def choose_runs(runs: Sequence[Run], names: Sequence[str], folder: Path) -> list[Run]:
    """The runs of some systems, in the order of their names.

    Raises:
        InputError: if there are none of one of them.
    """
    known = sorted({run.metrics["system"] for run in runs})
    for name in names:
        if name not in known:
            there = ", ".join(known) or "none"
            raise InputError(f"{folder} holds no finished run of {name!r}; there are: {there}")
    return [run for name in names for run in runs if run.metrics["system"] == name]


def figures(summary: Mapping[str, Any], pairs: int) -> list[float]:
    """The columns of a row behind its key, from a summary of :func:`gnnreloc.evaluation.evaluate`.

    Args:
        summary: R@1 and mIoU.
        pairs: their number.
    """
    values = [summary["r1"]["0.5"], summary["r1"]["0.7"], summary["r1_mean"], summary["miou"]]
    return [*(round(float(value), 4) for value in values), pairs]


def figures_again(run: FinishedRun, key: Key) -> list[float]:
    """The columns of a row behind its key, for a run that is asked again."""
    pairs = evaluation_pairs(run.corpus, "test", **vars(run.config.evaluation))
    # A share of 0 leaves the corpus as it is, whatever the kind.
    kind: Disturbance = "drop" if key.disturbance == "drop" else "noise"
    corpus = disturb_features(run.corpus, kind, key.share, key.seed)
    return figures(evaluate(run.model, corpus, pairs, title=str(key)).summary, len(pairs))


def read_rows(path: Path) -> Rows:
    """The rows that are there already; none without a file.

    Raises:
        InputError: if the file holds something else.
    """
    try:
        table = pd.read_csv(path)
        if list(table.columns) != COLUMNS:
            raise ValueError(f"wanted the columns {', '.join(COLUMNS)}")
        kinds = dict.fromkeys(["split", "seed", "pairs"], "int64")
        kinds |= dict.fromkeys(["share", *FIGURES], "float64")
        records = table.astype(kinds).itertuples(index=False, name=None)
    except FileNotFoundError:
        return {}
    except ValueError as error:  # also what pandas raises on a file that is no table
        raise InputError(f"{path} holds no such table: {error}; remove it") from error
    return {Key(*record[: len(KEYS)]): list(record[len(KEYS) :]) for record in records}


def table_of(rows: Rows) -> pd.DataFrame:
    """The rows in order, with the columns of :data:`COLUMNS`."""
    order = {name: place for place, name in enumerate(("none", *KINDS))}
    kept = sorted(rows, key=lambda key: (*key[:3], order.get(key.disturbance, 9), key.share))
    return pd.DataFrame([[*key, *rows[key]] for key in kept], columns=COLUMNS)


def write_rows(rows: Rows, path: Path) -> None:
    """Write the table, whole or not at all."""
    with atomic_write(path) as file:
        file.write(table_of(rows).to_csv(index=False).encode())


def first_difference(found: Sequence[float], wanted: Sequence[float]) -> str | None:
    """The first figure that differs by more than :data:`TOLERANCE`, told; ``None`` without one.

    Args:
        found: columns of a row behind its key.
        wanted: what they should be.
    """
    for name, one, other in zip([*FIGURES, "pairs"], found, wanted, strict=True):
        if abs(one - other) > TOLERANCE:
            return f"{name} is {one:g}, {other:g}"
    return None


def measure(run: Run, shares: Sequence[float], root: str | None, rows: Rows, path: Path) -> None:
    """Add the rows of a run that are missing; each is written, and told in a line.

    Raises:
        InputError: if rows that are there are of another run, or the run cannot be loaded or does
            not give its own figures again.
    """
    cell = (run.metrics["system"], run.metrics["split"], run.metrics["seed"])
    undisturbed = Key(*cell, "none", 0.0)
    as_it_was = figures(run.metrics, run.metrics["pairs"])
    different = first_difference(rows.get(undisturbed, as_it_was), as_it_was)
    if different is not None:
        raise InputError(
            f"{path} holds rows of another run of {cell[0]} on split {cell[1]} with seed {cell[2]} "
            f"than {run.folder}, its {different}: remove them, or choose another --out"
        )
    shares = [share for share in dict.fromkeys(shares) if share]
    disturbed = [Key(*cell, kind, share) for kind in KINDS for share in shares]
    missing = [key for key in (undisturbed, *disturbed) if key not in rows]
    if not missing:
        return
    loaded = load_run(run.folder, root)
    again = figures_again(loaded, undisturbed)
    different = first_difference(again, as_it_was)
    if different is not None:
        raise InputError(
            f"{run.folder} does not give its own figures again, its {different} in metrics.json: "
            "code, data and checkpoint do not belong together"
        )
    for key in missing:
        rows[key] = again if key == undisturbed else figures_again(loaded, key)
        write_rows(rows, path)
        told = ", ".join(
            f"{name} = {value:.3f}" for name, value in zip(FIGURES, rows[key], strict=False)
        )
        print(f"{key}: {told}", flush=True)


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Means over splits and seeds, and number of runs, by system, disturbance and share."""
    groups = table.groupby(["system", "disturbance", "share"], sort=False)
    return groups[FIGURES].mean().round(3).assign(runs=groups.size()).reset_index()


def main(arguments: Sequence[str]) -> None:
    """Ask the runs again, write the table after each row, and print its means."""
    try:
        options = parse(arguments)
        folder = options.runs.expanduser().resolve()
        if not folder.is_dir():
            raise InputError(f"--runs {options.runs} is no folder")
        names = [*dict.fromkeys(options.systems)]
        runs = choose_runs(gather(folder), names, folder)
        path = (options.out or folder.parent).expanduser() / f"{folder.name}_robustness.csv"
        rows = read_rows(path)
        for run in runs:
            measure(run, options.shares, options.root, rows, path)
        table = table_of(rows)
        print(means(table[table["system"].isin(names)]).to_string(index=False))
        print(f"written: {path}")
    except InputError as error:
        fail(error)
    except OSError as error:
        fail(error, status=1)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on where it stopped", status=130)


if __name__ == "__main__":
    main(sys.argv[1:])
