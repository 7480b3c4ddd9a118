"""Run every system of the tables on one data set, over class splits and seeds, and tabulate them.

    python experiments/compare.py --dataset synthetic --systems chance identity dynamic_tuned
    python experiments/compare.py --dataset bandai --root DATA/bandai_mocap --splits 0 1 2
    python experiments/compare.py --dataset bandai --root DATA/bandai_mocap --protocol filtered
    python experiments/compare.py --epochs 2 --out runs/try -- --evaluation.queries 4

What stands behind ``--`` goes to every call of run.py (``--model.*`` and ``--training.*`` only to
systems that are trained). The same command goes on where it was stopped: finished runs are kept,
begun ones taken up, failed ones tried again. The folder ``--out`` gets, for each data set,
<dataset>.csv (a row a run), <dataset>_classes.csv, <dataset>_differences.csv (paired bootstrap
against ``--against``), <dataset>.md, <dataset>.tex, <dataset>.png, <dataset>_report.html (a page
that shows all of it and loads nothing from elsewhere), and the runs in <dataset>/. The tables hold
all finished runs that lie there. Exit status: 0, or 1 if a run failed, 2 for bad input, 130 after
Ctrl-C.
"""

from __future__ import annotations

import argparse
import difflib
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, NoReturn

from gather import View, gather, read_metrics
from grid import Cell, Options, check_neighbours, check_options, plan
from render import write_tables
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from scheduler import Outcome, lock_folder, run_cells
from tables import NAMES

from gnnreloc.datasets import DATASETS
from gnnreloc.errors import InputError
from gnnreloc.proposals import PROPOSAL_KINDS

RUN = Path(__file__).with_name("run.py")
#: Options of run.py that are set here.
_OURS = (
    *("system", "graph", "recipe", "dataset", "root", "split", "seed", "out", "resume", "epochs"),
    *("only_metrics", "proposals"),
)


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line and exits with status 2."""

    def error(self, message: str) -> NoReturn:
        """Print the message without the usage."""
        raise InputError(message)


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, Options]:
    """The options of this command, and those of every call of ``run.py``.

    Raises:
        InputError: if an option is unknown or has no such value.
    """
    parser = OneLineParser(
        prog="compare.py",
        usage="compare.py [options] [-- options of run.py]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--dataset", default="synthetic", choices=list(DATASETS), help="name of the data set")
    add("--root", help="its folder")
    add("--systems", nargs="+", default=["all"], help="all, or some of: " + ", ".join(NAMES))
    add("--splits", nargs="+", type=_number, default=[0], help="splits of the classes")
    add("--seeds", nargs="+", type=_number, default=[0], help="seeds of weights and samples")
    add("--out", type=Path, default=Path("runs/compare"), help="folder of the results")
    add("--proposals", choices=PROPOSAL_KINDS, help="candidates, instead of the data set's own")
    add("--epochs", type=_number, help="training epochs, instead of the recipe's")
    add("--jobs", type=_number, default=2, help="how many run at once")
    add("--against", default="dynamic_tuned", help="the system that others are compared with")
    add("--protocol", choices=["open", "filtered"], default="open", help="filtered leaks the truth")
    add("--refinement", choices=["on", "off"], default="on", help="boundaries as refined, or not")
    own = list(arguments)
    end = own.index("--") if "--" in own else len(own)
    options = parser.parse_args(own[:end])
    for name in (*(name for name in options.systems if name != "all"), options.against):
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(NAMES)}"
            raise InputError(f"unknown system {name!r}; {hint}")
    if options.jobs < 1:
        raise InputError("--jobs: wanted at least 1, found 0")
    if (options.dataset == "synthetic") != (options.root is None):
        needs = "is generated: it has no" if options.root else "needs"
        raise InputError(f"--dataset {options.dataset} {needs} --root")
    if options.root and not Path(options.root).expanduser().is_dir():
        raise InputError(f"--root {options.root} is no folder")
    return options, _pass_on(options, own[end + 1 :])


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"wanted a whole number of at least 0, found {text!r}")
    return int(text)


def _pass_on(options: argparse.Namespace, behind: Sequence[str]) -> Options:
    """The options of every call of ``run.py``, name to values."""
    passed: dict[str, list[str]] = {"dataset": [options.dataset]}
    for name in ("root", "proposals", "epochs"):
        if getattr(options, name) is not None:
            passed[name] = [str(getattr(options, name))]
    values: list[str] | None = None
    for word in behind:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if name in _OURS:
                raise InputError(f"--{name} behind -- : it is set by compare.py")
            values = passed[name] = [value] if equals else []
        elif values is None:
            raise InputError(f"{word!r} behind -- : wanted an option of run.py")
        else:
            values.append(word)
    return passed


def main(arguments: Sequence[str], script: Path = RUN) -> int:
    """Run what is missing, write the tables, and give the exit status."""
    try:
        options, passed = parse(arguments)
        folder = options.out.expanduser() / options.dataset
        cells = plan(
            NAMES if "all" in options.systems else options.systems,
            options.splits,
            options.seeds,
            folder=folder,
            options=passed,
            seeded_proposals=options.proposals in ("tag", "sst"),
        )
        with lock_folder(folder) as lock:
            return compare(options, cells, script, lock)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130


def compare(options: argparse.Namespace, cells: Sequence[Cell], script: Path, lock: IO[str]) -> int:
    """Run the cells that are not finished, then write and print the tables of all that are."""
    folder = options.out.expanduser() / options.dataset
    for cell in cells:
        check_options(cell)
    check_neighbours(folder, cells[0].options)
    gather(folder)  # what could not stand in one table is told before hours are spent
    console = Console(width=None if sys.stdout.isatty() else 120)
    failed = run_missing(cells, script=script, jobs=options.jobs, lock=lock, console=console)
    runs = gather(folder)
    if runs:
        view = View(options.protocol, options.refinement == "on")
        # A narrow terminal wraps the lines of the table, which is better than to cut its figures.
        wide = Console(width=max(120, console.width))
        stem = write_tables(folder, runs, view, options.against, wide, options.root)
        _say(
            console,
            f"written: {stem}.csv, _classes.csv, _differences.csv, .md, .tex, .png, _report.html",
        )
    for outcome in failed:
        _say(console, f"failed: {outcome.cell}: {outcome.failure} ({outcome.cell.folder})")
    if failed:
        _say(
            console, f"{len(failed)} of {len(cells)} runs failed; the same command tries them again"
        )
    return 1 if failed else 0


def run_missing(
    cells: Sequence[Cell], *, script: Path, jobs: int, lock: IO[str], console: Console
) -> list[Outcome]:
    """Run the cells that are not finished, a line for each as it ends; returns the failures."""
    spent: dict[str, list[float]] = {}
    missing = []
    for cell in cells:
        metrics = read_metrics(cell.folder)
        if metrics is None:
            missing.append(cell)
        else:
            spent.setdefault(cell.system, []).append(sum(metrics["seconds"].values()))
    kept = len(cells) - len(missing)
    _say(console, f"{len(cells)} runs, {kept} of them finished before")
    failed = []
    waiting = [cell.system for cell in missing]
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with (
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
        closing(run_cells(missing, script=script, jobs=jobs, lock=lock)) as outcomes,
    ):
        bar = progress.add_task("", total=len(cells), completed=kept)
        for outcome in outcomes:
            waiting.remove(outcome.cell.system)
            if outcome.failure is None:
                spent.setdefault(outcome.cell.system, []).append(outcome.seconds)
            else:
                failed.append(outcome)
            left = time_left(waiting, spent, jobs)
            _say(console, f"[{len(cells) - len(waiting)}/{len(cells)}] {_told(outcome)}{left}")
            for line in outcome.tail:
                _say(console, f"    {line}")
            progress.update(bar, advance=1, description=left.removeprefix("; "))
    return failed


def _told(outcome: Outcome) -> str:
    """What became of a cell."""
    cell, seconds = outcome.cell, f"{outcome.seconds:.0f} s"
    metrics = read_metrics(cell.folder)
    if outcome.failure is not None or metrics is None:
        return f"FAILED {cell}: {outcome.failure}, {seconds}, see {cell.folder / 'log.txt'}"
    return f"{cell}: R@1 .5 = {metrics['r1']['0.5']:.3f}, {seconds}"


def time_left(waiting: Sequence[str], spent: Mapping[str, Sequence[float]], jobs: int) -> str:
    """How long the rest will take, as the end of a line; empty where nothing is known or left.

    Args:
        waiting: system of each cell that has not ended.
        spent: seconds of the finished cells of each system; a system without any takes the mean of
            all cells.
        jobs: how many cells run at once.
    """
    known = [seconds for cells in spent.values() for seconds in cells]
    if not waiting or not known:
        return ""
    each = (spent.get(system) or known for system in waiting)
    seconds = sum(sum(cells) / len(cells) for cells in each) / jobs
    minutes, hours = seconds / 60, seconds / 3600
    amount = f"{hours:.1f} h" if hours >= 1 else f"{minutes:.0f} min"
    return f"; about {amount} left" if minutes >= 1 else "; less than a minute left"


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, markup=False, highlight=False)


if __name__ == "__main__":
    # As Ctrl-C: the cells that run are stopped, not left behind.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
