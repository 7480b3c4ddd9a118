"""What a large library costs: storage, hours of extraction, size of the index, seconds of a query.

    python benchmarks/planning.py
    python benchmarks/planning.py --hours 500 --extraction benchmarks/results/extraction_cuda.json

Reads what ``extraction.py`` and ``library.py`` measured and prints the table of docs/planning.md.
Sizes and times grow with the hours of video, in proportion; a library of more proposals than the
largest that was measured is planned as several, which are asked side by side. Exit status: 0, or 2
for bad input.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record import RESULTS, OneLineParser, fail, read_results

from gnnreloc.errors import InputError

HOURS = (10_000, 1_000_000)


@dataclass(frozen=True)
class Rates:
    """What an hour of video costs, as measured.

    Attributes:
        feature_bytes: size of its features.
        machine_hours: hours of extraction on the machine that was measured.
        decoding_hours: those that decoding takes.
        proposals: candidate moments in the index.
        index_bytes: size of the index, without the features.
        build_hours: hours of writing the index from features.
        proposals_asked: size of the largest library that was asked.
        query_seconds: seconds of a query of that library, by system.
    """

    feature_bytes: float
    machine_hours: float
    decoding_hours: float
    proposals: float
    index_bytes: float
    build_hours: float
    proposals_asked: int
    query_seconds: Mapping[str, float]


def rates_of(extraction: Mapping[str, Any], library: Mapping[str, Any]) -> Rates:
    """The rates of two files of results; those of the largest library.

    Raises:
        InputError: If a case is missing.
    """
    parts = {row["case"]: row for row in extraction["results"] if row["status"] == "measured"}
    builds = [row for row in library["results"] if row["case"] == "build"]
    if not {"whole", "decode"} <= parts.keys() or not builds:
        raise InputError("planning: wanted the cases whole, decode and build among the results")
    whole = parts["whole"]
    hours = whole["figures"]["video_seconds"] / 3600
    largest = max(builds, key=lambda row: row["setting"]["proposals"])
    figures, proposals = largest["figures"], largest["setting"]["proposals"]
    queries = {
        row["setting"]["system"]: row["seconds"]["median"]
        for row in library["results"]
        if row["case"] == "query" and row["setting"]["proposals"] == proposals
    }
    return Rates(
        feature_bytes=whole["figures"]["feature_bytes"] / hours,
        machine_hours=whole["seconds"]["median"] / 3600 / hours,
        decoding_hours=parts["decode"]["seconds"]["median"] / 3600 / hours,
        proposals=proposals / figures["hours"],
        index_bytes=figures["live_bytes"] / figures["hours"],
        build_hours=largest["seconds"]["median"] / 3600 / figures["hours"],
        proposals_asked=proposals,
        query_seconds=queries,
    )


def plan(hours: float, rates: Rates) -> dict[str, str]:
    """What so many hours of video cost: each row of the table."""
    proposals = hours * rates.proposals
    libraries = math.ceil(proposals / rates.proposals_asked)
    rows = {
        "features": _bytes(hours * rates.feature_bytes),
        "extraction": f"{_number(hours * rates.machine_hours)} machine hours",
        "of which decoding": f"{_number(hours * rates.decoding_hours)} machine hours",
        "machines that extract it in a week": f"{math.ceil(hours * rates.machine_hours / 168):,}",
        "candidate moments": _number(proposals),
        "index": _bytes(hours * rates.index_bytes),
        "writing the index": f"{_number(hours * rates.build_hours)} machine hours",
        "libraries, asked side by side": f"{libraries:,}",
    }
    for system, seconds in rates.query_seconds.items():
        name = "without training" if system == "training_free" else "with a model"
        rows[f"a query of one library, {name}"] = f"{seconds:.2f} s"
    return rows


def table(hours: Sequence[float], rates: Rates) -> str:
    """The table, in Markdown."""
    columns = {"one hour": plan(1, rates)} | {
        f"{each:,} hours": plan(each, rates) for each in hours
    }
    for alone in ("machines that extract it in a week", "libraries, asked side by side"):
        columns["one hour"][alone] = ""
    lines = [f"| | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    for name in columns["one hour"]:
        cells = (column[name] for column in columns.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    parser = OneLineParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--hours", nargs="+", type=int, default=list(HOURS), help="hours of video")
    add("--extraction", type=Path, default=RESULTS / "extraction.json", help="of extraction.py")
    add("--library", type=Path, default=RESULTS / "library.json", help="of library.py")
    try:
        options = parser.parse_args(list(arguments))
        if min(options.hours) < 1:
            raise InputError(f"--hours must be at least 1, got {min(options.hours)}")
        rates = rates_of(read_results(options.extraction), read_results(options.library))
        print(table(options.hours, rates))
    except InputError as error:
        fail(error)


def _bytes(count: float) -> str:
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.3g} {unit}"
    return f"{count / 1000:.3g} TB"


def _number(value: float) -> str:
    """Three digits, large numbers in full."""
    if value < 100:
        return f"{value:.3g}"
    return f"{round(value, 2 - math.floor(math.log10(value))):,.0f}"


if __name__ == "__main__":
    main(sys.argv[1:])
