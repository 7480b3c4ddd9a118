"""How many pair graphs a second PyG's DataLoader delivers, and how many training consumes.

    python benchmarks/loader.py
    python benchmarks/loader.py --workers 0 1 2 4

The loader runs over the training set alone, for an epoch of the recipe ``tuned`` on the data set
``synthetic``; its workers go on from one to the next. Training takes the same batches from memory:
it is what would be consumed if loading cost nothing. Writes ``results/loader.json``. Exit status:
0, or 2 for bad input.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from common import Case, Limits, Run, Session
from record import check, common_parser, environment, fail, set_up
from rich.console import Console
from rich.table import Table
from training_step import TrainingStep, pair_seconds, quick_options, write_report

from gnnreloc.datasets import synthetic
from gnnreloc.errors import InputError

#: Least ratio of pairs delivered to pairs consumed (issue 4).
LIMIT = 3.0


def cases_of(step: TrainingStep, workers: Sequence[int]) -> list[Case]:
    """Training from memory, and the loader with so many workers."""
    batches = list(step.loader(0))
    figures = {"pairs": sum(int(batch.pair.numel()) for batch in batches)}
    setting = {"model": "dynamic", "batch_size": step.trainer.batch_size}

    def loading(number: int) -> Run:
        loader = step.loader(number)
        return lambda: sum(1 for _ in loader)

    return [
        Case("training", setting, lambda: partial(step.train, batches), figures=figures),
        *(
            Case(f"workers_{number}", setting, partial(loading, number), figures=figures)
            for number in workers
        ),
    ]


def checks_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The best number of workers against training."""
    times = {result["case"]: pair_seconds(result) for result in results}
    best = min((case for case in times if case != "training"), key=lambda case: times[case])
    ratio = times["training"] / times[best]
    return [check(f"pairs/s of the loader ({best}) / of training", ratio, "at least", LIMIT)]


def print_results(results: Sequence[Mapping[str, Any]], console: Console) -> None:
    """A table of pairs/s."""
    table = Table(title="pair graphs a second", title_justify="left", box=None)
    table.add_column("case")
    for name in ("pairs/s", "s an epoch", "IQR", "x training"):
        table.add_column(name, justify="right")
    training = pair_seconds(results[0])
    for result in results:
        seconds = result["seconds"]
        table.add_row(
            result["case"],
            f"{1 / pair_seconds(result):.0f}",
            f"{seconds['median']:.3f}",
            f"{seconds['iqr']:.3f}",
            f"{training / pair_seconds(result):.2f}",
        )
    console.print(table, "")


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write."""
    parser = common_parser(__doc__, "loader")
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2], help="of the loader")
    try:
        options = parser.parse_args(list(arguments))
        if min(options.workers) < 0:
            raise InputError(f"--workers must be at least 0, got {min(options.workers)}")
        device = set_up(options)
        started = environment(device)
        corpus, sizes = quick_options() if options.quick else (synthetic(), {})
        step = TrainingStep("dynamic", corpus, device=device, seed=options.seed, options=sizes)
        # A run is a whole epoch: none is so long that it would be measured only once.
        session = Session(device, Limits(seconds=0.02 if options.quick else 5.0, long=60.0))
        session.measure(cases_of(step, options.workers))
        print_results(session.results, Console(width=None if Console().is_terminal else 110))
        write_report(
            options.out,
            "loader",
            step,
            session,
            seed=options.seed,
            started=started,
            checks=checks_of(session.results),
        )
    except InputError as error:
        fail(error)


if __name__ == "__main__":
    main(sys.argv[1:])
