"""Change one thing after the other in the recipe ``tuned``, and tabulate what each is worth.

    python experiments/vary.py --list apart --dataset bandai --root DATA/bandai_mocap --splits 0 1 2
    python experiments/vary.py --list ladder --tuned runs/compare/synthetic
    python experiments/vary.py --list timesteps --only timesteps_40 -- --evaluation.queries 50

The lists are in variations.yaml: ``apart`` takes one thing away, the changes of ``ladder``
add up until the recipe ``paper`` is reached, ``timesteps`` are values of T. The runs of a variation
are in <out>/<variation>/<dataset>, as compare.py makes them; one that is in two lists is run once.
The same command goes on where it was stopped. What stands behind ``--`` goes to every call of
run.py.

Written are <out>/<dataset>_<list>.csv (a row a run) and <dataset>_<list>_differences.csv (paired
bootstrap of each variation against ``tuned`` and, on the ladder, against the rung before), of all
finished runs of the list that lie there. Exit status: 0, or 1 if a run failed, 2 for bad input, 130
after Ctrl-C.
"""

from __future__ import annotations

import argparse
import difflib
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from compare import RUN, OneLineParser, run_missing
from compare import parse as parse_compare
from gather import Run, gather, read_metrics
from grid import Cell, check_options, plan
from rich.console import Console
from scheduler import lock_folder
from variation_tables import print_variations, variation_differences, variations_table
from variations import LADDER, TUNED, Variation, check_runs, read_lists, resolve, words

from gnnreloc.atomic_write import atomic_write
from gnnreloc.errors import InputError

SYSTEM = "dynamic_tuned"
#: Options that are handed on to compare.py, with what they are.
_HANDED_ON = {
    "dataset": "name of the data set",
    "root": "its folder",
    "splits": "splits of the classes",
    "seeds": "seeds of weights and samples",
    "proposals": "candidates, instead of the data set's own",
    "jobs": "how many run at once",
}


class Planned(NamedTuple):
    """A variation on one data set.

    Attributes:
        variation: the variation.
        folder: of its runs.
        cells: that are asked for, each with the name of the variation for its system.
        wanted: all options that a run of it has, by their full names.
    """

    variation: Variation
    folder: Path
    cells: list[Cell]
    wanted: Mapping[str, Any]


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[Planned]]:
    """The options of this command, and all variations of the list.

    An option of ``run.py`` that is unknown ends the program as there: one line, status 2.

    Raises:
        InputError: if an option is unknown or has no such value.
    """
    parser = OneLineParser(
        prog="vary.py",
        usage="vary.py [options] [-- options of run.py]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    lists = read_lists()
    add = parser.add_argument
    add("--list", required=True, choices=list(lists), help="which variations")
    add("--only", nargs="+", metavar="NAME", help="some of the list; tuned is always one of them")
    add("--tuned", type=Path, help="folder of compare.py with finished runs of the recipe as it is")
    add("--out", type=Path, default=Path("runs/vary"), help="folder of the results")
    for name, text in _HANDED_ON.items():
        add(f"--{name}", nargs="+", help=text)
    own = list(arguments)
    end = own.index("--") if "--" in own else len(own)
    options = parser.parse_args(own[:end])
    options.out = options.out.expanduser()
    known = [variation.name for variation in lists[options.list]]
    for name in options.only or ():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(known)}"
            raise InputError(f"--only: unknown variation {name!r}; {hint}")
    given = {name: getattr(options, name) for name in _HANDED_ON if getattr(options, name)}
    asked, _ = parse_compare(words(given))
    options.dataset, options.jobs = asked.dataset, asked.jobs
    planned = [_plan(one, given, own[end + 1 :], options.out) for one in lists[options.list]]
    if options.tuned is not None:
        tuned = options.tuned.expanduser()
        cells = [cell._replace(folder=tuned / cell.folder.name) for cell in planned[0].cells]
        planned[0] = planned[0]._replace(folder=tuned, cells=cells)
    return options, planned


def _plan(
    variation: Variation, given: Mapping[str, Sequence[str]], behind: Sequence[str], out: Path
) -> Planned:
    for word in behind:
        name = word.removeprefix("--").partition("=")[0]
        if word.startswith("--") and name in variation.options:
            raise InputError(f"--{name} behind -- : the variation {variation.name} sets it")
    passed = dict(variation.options)
    # The number of epochs is an option of compare.py, the rest is passed through it.
    epochs = {"epochs": passed.pop("epochs")} if "epochs" in passed else {}
    asked, options = parse_compare([*words({**given, **epochs}), "--", *words(passed), *behind])
    folder = out / variation.name / asked.dataset
    cells = plan([SYSTEM], asked.splits, asked.seeds, folder=folder, options=options)
    own = [cell._replace(system=variation.name) for cell in cells]
    return Planned(variation, folder, own, resolve(cells[0].options))


def main(arguments: Sequence[str], script: Path = RUN) -> int:
    """Run what is missing, write the tables, and give the exit status."""
    try:
        options, planned = parse(arguments)
        with lock_folder(options.out) as lock:
            return vary(options, planned, script, lock)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130


def vary(
    options: argparse.Namespace, planned: Sequence[Planned], script: Path, lock: IO[str]
) -> int:
    """Run the cells that are not finished, then write and print the tables of all that are."""
    asked = [TUNED, *options.only] if options.only else [one.variation.name for one in planned]
    cells = [cell for one in planned if one.variation.name in asked for cell in one.cells]
    for cell in cells:
        check_options(cell)
    _gather_all(planned)  # what could not stand in one table is told before hours are spent
    if options.tuned is not None:
        for cell in planned[0].cells:
            if read_metrics(cell.folder) is None:
                raise InputError(f"--tuned {options.tuned}: no finished run {cell.folder.name}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    failed = run_missing(cells, script=script, jobs=options.jobs, lock=lock, console=console)
    runs = _gather_all(planned)
    if runs:
        variations = [one.variation for one in planned]
        table = variations_table(variations, runs)
        differences = variation_differences(variations, runs, ladder=options.list == LADDER)
        stem = f"{options.out / options.dataset}_{options.list}"
        for ending, rows in ((".csv", table), ("_differences.csv", differences)):
            with atomic_write(stem + ending) as file:
                file.write(rows.to_csv(index=False).encode())
        print_variations(table, differences, console, title=f"{options.dataset}: {options.list}")
        print(f"written: {stem}.csv, _differences.csv")
    for outcome in failed:
        print(f"failed: {outcome.cell}: {outcome.failure} ({outcome.cell.folder})")
    if failed:
        print(f"{len(failed)} of {len(cells)} runs failed; the same command tries them again")
    return 1 if failed else 0


def _gather_all(planned: Sequence[Planned]) -> dict[str, list[Run]]:
    """The finished runs of each variation that has any, by its name."""
    found = {}
    for one in planned:
        name = one.variation.name
        runs = [run for run in gather(one.folder) if run.metrics["system"] == SYSTEM]
        check_runs(runs, name, one.wanted)
        if runs:
            found[name] = runs
    return found


if __name__ == "__main__":
    # As Ctrl-C: the cells that run are stopped, not left behind.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
