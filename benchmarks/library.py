"""How a library of videos answers: latency over its size, and whether both stages find the best.

    python benchmarks/library.py
    python benchmarks/library.py --proposals 1000 10000 --recall 10000 --model-recall 1000
    python benchmarks/library.py --plot benchmarks/results/library.json     # the plot again

The videos are those of the data set ``synthetic``, as many as give so many proposals, with features
of 1280 channels; queries show actions that also happen in them. Each library is built by the code
of ``gnnreloc index`` and asked by that of ``gnnreloc search``; only that features are generated
instead of extracted. Writes ``results/library.json`` and a plot beside it. Exit status: 0, or 2 for
bad input.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from common import Case, Limits, Run, Session
from library_plot import write_plot
from library_recall import approximate, two_stages
from library_videos import Videos, generate, train
from record import (
    check,
    common_parser,
    environment,
    fail,
    print_checks,
    read_results,
    set_up,
    write_results,
)
from rich.console import Console
from rich.table import Table

from gnnreloc.errors import InputError
from gnnreloc.models.saved_model import SavedModel
from gnnreloc.search.index_tables import EXACT_UP_TO
from gnnreloc.search.library import CANDIDATES, Library

#: Longest query (s) of a library with so many proposals, and least share of queries of which both
#: stages find the best moment (issue 6).
SECONDS, OF_PROPOSALS, RECALL = 1.0, 100_000, 0.95
SIZES = (1000, 10_000, 100_000, 1_000_000)
#: Places that the second stage looks at, for recall; the default is among them.
NUMBERS = (50, 100, 200, 500, 1000)
#: Queries that are timed, in turn, and those whose answers are compared.
TIMED, COMPARED = 20, 60


def build(videos: Videos, folder: Path, session: Session) -> dict[str, Any]:
    """Write the index of a library, timed; anew for each run."""

    def run() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        videos.build(folder)

    (result,) = session.measure([Case("build", {}, lambda: run)])
    library = Library(folder, backbone=videos.backbone)
    result["setting"]["proposals"] = library.tables.count_proposals()
    result["figures"] |= {
        "videos": len(videos.features),
        "hours": videos.hours,
        "feature_bytes": _size(folder / "features"),
        "index_bytes": _size(folder) - _size(folder / "features"),
        "vector_bytes": library.embedding.width * 2,
        "live_bytes": library.tables.live_bytes(),
    }
    return result


def ask(
    videos: Videos, folder: Path, model: SavedModel, session: Session, proposals: int
) -> list[dict[str, Any]]:
    """Both stages and the whole query, without a model and with one."""
    queries = videos.queries[:TIMED]

    def stage_one(library: Library, *, exact: bool) -> Run:
        turn = itertools.cycle(queries)
        return lambda: library.nearest(next(turn), CANDIDATES, exact=exact)

    def stage_two(library: Library) -> Run:
        found = [(query, library.nearest(query, CANDIDATES)) for query in queries]
        turn = itertools.cycle(found)
        return lambda: library.rank(*next(turn))

    def whole(library: Library) -> Run:
        turn = itertools.cycle(queries)
        return lambda: library.search(next(turn))

    cases = []
    for system, asked in (("training_free", None), ("dynamic", model)):
        library = Library(folder, asked, backbone=videos.backbone)
        setting = {"proposals": proposals, "system": system}
        runs = {
            "stage_one": lambda own=library: stage_one(own, exact=False),
            "stage_two": lambda own=library: stage_two(own),
            "query": lambda own=library: whole(own),
        }
        if proposals > EXACT_UP_TO:
            runs["stage_one_exact"] = lambda own=library: stage_one(own, exact=True)
        cases += [Case(name, setting, run) for name, run in runs.items()]
    return session.measure(cases)


def checks_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The latency of each system, and its recall, for the sizes that the issue names."""
    checks = []
    for result in results:
        setting = result["setting"]
        size = setting["proposals"]
        if result["case"] == "query" and OF_PROPOSALS <= size < 2 * OF_PROPOSALS:
            name = f"{setting['system']}: seconds of a query, {size} proposals"
            checks.append(check(name, result["seconds"]["median"], "at most", SECONDS))
        if result["case"] == "two_stages" and setting["candidates"] == CANDIDATES:
            name = f"{setting['system']}: recall@1 of two stages, {size} proposals"
            checks.append(check(name, result["figures"]["recall"], "at least", RECALL))
    return checks


def print_results(results: Sequence[Mapping[str, Any]], console: Console) -> None:
    """A table of times, and one of recall."""
    times = Table(title="a query, and building", title_justify="left", box=None)
    for name in ("proposals", "system", "case", "s", "IQR", "peak MB"):
        times.add_column(name, justify="left" if name in ("system", "case") else "right")
    recall = Table(title="the best moment found", title_justify="left", box=None)
    for name in ("proposals", "system", "case", "candidates", "recall@1", "same", "right", "s"):
        recall.add_column(name, justify="left" if name in ("system", "case") else "right")
    for result in results:
        setting, seconds, memory = result["setting"], result["seconds"], result["memory"]
        system, figures = str(setting.get("system", "")), result["figures"]
        if "queries" in figures:
            recall.add_row(
                *(str(setting["proposals"]), system, result["case"], str(setting["candidates"])),
                *(f"{figures[k]:.3f}" if k in figures else "" for k in ("recall", "same", "right")),
                f"{seconds['median']:.3f}",
            )
        else:
            times.add_row(
                *(str(setting["proposals"]), system, result["case"]),
                *(f"{seconds['median']:.4f}", f"{seconds['iqr']:.4f}"),
                "" if memory is None else f"{memory['above'] / 1e6:.0f}",
            )
    console.print(times, "", recall, "")


def measure(options: Any, device: torch.device) -> list[dict[str, Any]]:
    """All results."""
    quick, seed = options.quick, options.seed
    channels = 48 if quick else 1280
    small = {"timesteps": 6, "hidden_channels": 8} if quick else {}
    model = train(
        4 if quick else 60, channels=channels, epochs=1 if quick else 12, seed=seed, **small
    )
    # A library is built once where this takes long; queries differ, so that many are timed.
    building = Session(device, Limits(seconds=0.01, long=0.0 if quick else 2.0))
    asking = Session(device, Limits(seconds=0.02 if quick else 4.0, long=60.0))
    numbers = (5, CANDIDATES) if quick else NUMBERS
    results = []
    for size in [500] if quick else sorted(options.proposals):
        videos = generate(size, channels=channels, seed=seed)
        with tempfile.TemporaryDirectory(prefix="gnnreloc-") as place:
            folder = Path(place, "index")
            built = build(videos, folder, building)
            proposals = built["setting"]["proposals"]
            results += [built, *ask(videos, folder, model, asking, proposals)]
            compared = videos.queries[: 4 if quick else COMPARED]
            if quick or size in options.recall:
                library = Library(folder, backbone=videos.backbone)
                results += two_stages(library, compared, numbers, videos.is_right)
            if quick or size in options.model_recall:
                own = Path(place, "for_model")
                videos.build(own, model)
                library = Library(own, model, backbone=videos.backbone)
                results += two_stages(library, compared, numbers, videos.is_right)
            if proposals > EXACT_UP_TO:
                library = Library(folder, backbone=videos.backbone)
                results += approximate(library, compared, CANDIDATES)
        print_results(results, Console(width=None if Console().is_terminal else 110))
    return results


def main(arguments: Sequence[str]) -> None:
    """Measure, print, write and draw."""
    parser = common_parser(__doc__, "library")
    add = parser.add_argument
    add("--proposals", nargs="+", type=int, default=list(SIZES), help="sizes of the libraries")
    add("--recall", nargs="*", type=int, default=[10_000, 100_000], help="sizes with recall")
    add("--model-recall", nargs="*", type=int, default=[10_000], help="sizes with a model's recall")
    add("--plot", type=Path, help="only draw the plot of this file")
    try:
        options = parser.parse_args(list(arguments))
        if min(options.proposals) < 1:
            raise InputError(f"--proposals must be at least 1, got {min(options.proposals)}")
        if options.plot is not None:
            print(write_plot(read_results(options.plot), options.plot))
            return
        device = set_up(options)
        if device.type != "cpu":
            raise InputError("--device: a library is asked on the CPU")
        started = environment(device)
        results = measure(options, device)
        checks = checks_of(results)
        print_checks(checks)
        write_results(
            options.out,
            "library",
            started=started,
            options={"seed": options.seed, "quick": options.quick},
            results=results,
            checks=checks,
        )
        print(options.out)
        print(write_plot(read_results(options.out), options.out))
    except InputError as error:
        fail(error)


def _size(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main(sys.argv[1:])
