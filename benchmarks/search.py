"""How fast proposals are scored, one by one as pair graphs and from what was encoded before.

    python benchmarks/search.py
    python benchmarks/search.py --proposals 1000 10000

A query is asked of a video with so many proposals, with the default model, T = 40, candidates asked
once, and features of 1280 channels. ``plain`` builds the pair graphs and calls the model, as in
training; ``encoded`` has the proposals encoded, which ``encode`` does once for all queries. All
give the same scores. Writes ``results/search.json``. Exit status: 0, or 2 for bad input.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from common import Case, Limits, Run, Session
from record import (
    check,
    common_parser,
    environment,
    fail,
    print_checks,
    set_up,
    write_results,
)
from rich.console import Console
from rich.table import Table

from gnnreloc.data import Features
from gnnreloc.errors import InputError
from gnnreloc.models import PairNetwork, create_model

#: Least pairs a second of the encoded path, in those of the plain one (issue 6).
LIMIT = 20.0
#: Proposals that the plain path is asked at most: it takes as long for each of more.
PLAIN = 500
CHANNELS, STEP, ROWS = 1280, 0.5, 7200


def cases_of(proposals: int, device: torch.device, *, timesteps: int, channels: int) -> list[Case]:
    """Both paths for one number of proposals, and the encoding."""
    model = create_model("dynamic", in_channels=channels, timesteps=timesteps, rounds=1)
    assert isinstance(model, PairNetwork)
    model = model.to(device).eval()
    query = Features(torch.randn(20, channels), STEP)
    reference = Features(torch.randn(ROWS, channels), STEP)
    start = torch.rand(proposals, 1, dtype=torch.float64) * (reference.duration - 60)
    length = 2 + torch.rand(proposals, 1, dtype=torch.float64) * 58
    segments = torch.cat([start, start + length], dim=1)
    few = segments[:PLAIN]

    def plain() -> Run:
        return lambda: PairNetwork.localize(model, query, reference, few)

    def encode() -> Run:
        return lambda: model.encode(reference, segments)

    def encoded() -> Run:
        ready = model.encode(reference, segments)
        return lambda: ready.localize(query)

    setting = {"proposals": proposals, "timesteps": timesteps, "channels": channels}
    return [
        Case("plain", setting, plain, figures={"pairs": len(few)}),
        Case("encode", setting, encode, figures={"pairs": proposals}),
        Case("encoded", setting, encoded, figures={"pairs": proposals}),
    ]


def rate(result: Mapping[str, Any]) -> float:
    """Pairs a second."""
    return float(result["figures"]["pairs"] / result["seconds"]["median"])


def checks_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Both paths, for the largest number of proposals."""
    most = max(result["setting"]["proposals"] for result in results)
    rates = {r["case"]: rate(r) for r in results if r["setting"]["proposals"] == most}
    name = f"pairs/s, encoded / plain, {most} proposals"
    return [check(name, rates["encoded"] / rates["plain"], "at least", LIMIT)]


def print_results(results: Sequence[Mapping[str, Any]], console: Console) -> None:
    """A table of pairs/s."""
    table = Table(title="one query, T = 40", title_justify="left", box=None)
    for name in ("proposals", "case", "pairs/s", "s", "IQR", "peak MB"):
        table.add_column(name, justify="left" if name == "case" else "right")
    for result in results:
        seconds, memory = result["seconds"], result["memory"]
        table.add_row(
            str(result["setting"]["proposals"]),
            result["case"],
            f"{rate(result):.0f}",
            f"{seconds['median']:.3f}",
            f"{seconds['iqr']:.3f}",
            "" if memory is None else f"{memory['above'] / 1e6:.0f}",
        )
    console.print(table, "")


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write."""
    parser = common_parser(__doc__, "search")
    parser.add_argument("--proposals", nargs="+", type=int, default=[1000, 10_000])
    try:
        options = parser.parse_args(list(arguments))
        if min(options.proposals) < 1:
            raise InputError(f"--proposals must be at least 1, got {min(options.proposals)}")
        device = set_up(options)
        started = environment(device)
        sizes = (
            {"timesteps": 6, "channels": 16}
            if options.quick
            else {"timesteps": 40, "channels": CHANNELS}
        )
        numbers = [20] if options.quick else options.proposals
        session = Session(device, Limits(seconds=0.02 if options.quick else 5.0, long=60.0))
        for number in numbers:
            session.measure(cases_of(number, device, **sizes))
        checks = checks_of(session.results)
        print_results(session.results, Console(width=None if Console().is_terminal else 110))
        print_checks(checks)
        write_results(
            options.out,
            "search",
            started=started,
            options={"seed": options.seed, "quick": options.quick, **session.describe()},
            results=session.results,
            checks=checks,
        )
        print(options.out)
    except InputError as error:
        fail(error)


if __name__ == "__main__":
    main(sys.argv[1:])
