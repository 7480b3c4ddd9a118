"""How long A(x) x takes and how much memory, for learned cosine weights A(x), over N.

    python benchmarks/adjacency.py                        # the whole grid
    python benchmarks/adjacency.py --only small linear    # parts of it: small options large huge
                                                          # linear gpu
    python benchmarks/adjacency.py --device cuda          # the part `gpu`
    python benchmarks/adjacency.py --plot benchmarks/results/adjacency.json

Compares the back ends of ``CosineAdjacency.matmul`` with layers of PyG, with plain PyTorch and with
a single matrix product of the same operation count (the floor), forward alone and with the
gradient. Writes ``results/adjacency.json`` and, beside it, the plots that are drawn from it. Exit
status: 0, or 2 for bad input.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from adjacency_cases import BACK_ENDS, LINEAR, OPTIONS, Setting, make_case
from common import Limits, Session, slope
from plot import write_plots
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

#: Cases by weighting, besides the floor and our back ends.
PEERS = {
    "none": ("graph_conv", "dense_graph_conv", "dense_torch"),
    "relu": ("dense_torch",),
    "shift": ("dense_torch",),
    "softmax": ("agnn_conv", "transformer_conv", "dense_torch", "sdpa"),
}
#: Edge by edge is left out where another weighting of the same sizes shows it.
EDGE_WEIGHTINGS = ("none", "softmax")
PARTS = ("small", "options", "large", "huge", "linear", "gpu")


def grid(parts: Sequence[str]) -> Iterator[tuple[Setting, list[str]]]:
    """The settings, smaller before larger ones, and the cases of each."""
    both = (False, True)
    if "quick" in parts:
        for weighting, backward in product(("none", "softmax"), both):
            yield _with_cases(Setting(12, 2, 8, weighting, backward))
        yield from ((s, ["lowrank"]) for s in (Setting(n, 1, 8, "none", True) for n in (256, 1024)))
    if "small" in parts:
        for (nodes, batch), channels in product(((80, 32), (512, 4), (2048, 1)), (64, 512)):
            for weighting, backward in product(PEERS, both):
                yield _with_cases(Setting(nodes, batch, channels, weighting, backward))
    if "options" in parts:
        for (nodes, batch), weighting in product(((80, 32), (512, 4), (2048, 1)), OPTIONS):
            for backward in both:
                setting = Setting(nodes, batch, 64, weighting, backward)
                yield setting, ["floor", "dense", "blocked", "auto"]
    if "large" in parts:
        for weighting, backward in product(PEERS, both):
            yield _with_cases(Setting(8192, 1, 64, weighting, backward))
        for weighting, backward in product(("none", "softmax"), both):
            yield _with_cases(Setting(8192, 1, 512, weighting, backward))
    if "huge" in parts:
        for weighting, backward in (("relu", False), ("relu", True), ("softmax", False)):
            yield _with_cases(Setting(65536, 1, 64, weighting, backward))
    if "linear" in parts:
        lines = ((10_000, 64), (65_536, 64), (65_536, 512), (100_000, 64), (1_000_000, 64))
        for (nodes, channels), backward in product(lines, both):
            yield Setting(nodes, 1, channels, "none", backward), ["floor", "lowrank", "auto"]
    if "gpu" in parts:
        sizes = product((8192, 16384), (1, 8), ("float32", "bfloat16"))
        for (nodes, batch, dtype), weighting in product(sizes, PEERS):
            for backward in both:
                setting, cases = _with_cases(Setting(nodes, batch, 128, weighting, backward, dtype))
                yield setting, [*cases, "dense_compiled"]


def _with_cases(setting: Setting) -> tuple[Setting, list[str]]:
    ours = [name for name in BACK_ENDS if name != "lowrank" or setting.weighting in LINEAR]
    if setting.weighting not in EDGE_WEIGHTINGS:
        ours.remove("edge")
    return setting, ["floor", *PEERS[setting.weighting], *ours]


def checks_of(results: Sequence[Mapping[str, Any]], device: str) -> list[dict[str, Any]]:
    """The figures that are held against a limit, as far as they were measured."""
    groups: dict[Setting, dict[str, Mapping[str, Any]]] = {}
    for result in results:
        if result["status"] == "measured":
            groups.setdefault(Setting(**result["setting"]), {})[result["case"]] = result
    seconds = {
        setting: {name: result["seconds"]["median"] for name, result in group.items()}
        for setting, group in groups.items()
    }
    found = [row for setting in seconds for row in _ratios(setting, seconds[setting], device)]
    found += _peaks(groups)
    found += _slopes(groups)
    worst = {
        setting: times["auto"] / min(times[name] for name in BACK_ENDS if name in times)
        for setting, times in seconds.items()
        if "auto" in times and groups[setting]["auto"]["seconds"]["runs"] > 1
    }
    if worst:
        setting = max(worst, key=lambda setting: worst[setting])
        name = f"auto / best back end, largest: {_title(setting)}"
        found.append(check(name, worst[setting], "at most", 1.15))
    return found


def _ratios(setting: Setting, times: Mapping[str, float], device: str) -> Iterator[dict[str, Any]]:
    """Times of one setting, against each other."""
    wanted: list[tuple[str, str, str, float]] = []
    if setting[:4] == (80, 32, 512, "none"):
        wanted += [("graph_conv", "auto", "at least", 15.0)]
        wanted += [("auto", "dense_torch", "at most", 1.05)]
    if setting.nodes == 65536 and setting.weighting not in LINEAR:
        wanted += [("blocked", "floor", "at most", 2.0)]
    if device == "cuda" and setting.weighting not in LINEAR:
        wanted += [("floor", "blocked", "at least", 0.5)]
        wanted += [("dense_torch", "blocked", "at least", 1.0)]
        wanted += [("dense_compiled", "blocked", "at least", 1.0)]
    for first, second, sense, limit in wanted:
        if {first, second} <= times.keys():
            name = f"{first} / {second}, {_title(setting)}"
            yield check(name, times[first] / times[second], sense, limit)


def _peaks(groups: Mapping[Setting, Mapping[str, Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Peaks of the whole process, in GB (10^9 bytes), at the largest sizes."""
    for setting, group in groups.items():
        for case, nodes, limit in (("lowrank", 1_000_000, 6.0), ("blocked", 65536, 2.0)):
            memory = group[case]["memory"] if case in group else None
            if setting.nodes == nodes and setting.channels == 64 and memory is not None:
                peak = memory["total"] / 1e9
                yield check(f"peak GB of {case}, {_title(setting)}", peak, "at most", limit)


def _slopes(groups: Mapping[Setting, Mapping[str, Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Exponents of N: the time of ``lowrank`` and the memory of ``blocked``, one graph."""
    for case, key, figure, least in (
        ("lowrank", "seconds", "median", 10_000),
        ("blocked", "memory", "above", 2048),
    ):
        lines: dict[tuple[Any, ...], dict[int, float]] = {}
        for setting, group in groups.items():
            measured = group[case][key] if case in group else None
            if setting.batch == 1 and setting.nodes >= least and measured and measured[figure]:
                lines.setdefault(setting[2:], {})[setting.nodes] = measured[figure]
        for line, points in lines.items():
            sizes = sorted(points)
            if len(sizes) > 1 and sizes[-1] >= 16 * sizes[0]:
                what = {"seconds": "time", "memory": "memory"}[key]
                direction = "forward+backward" if line[2] else "forward"
                exponent = slope(sizes, [points[size] for size in sizes])
                name = f"slope of the {what} of {case}, N={sizes[0]}..{sizes[-1]}, d={line[0]}"
                yield check(f"{name}, {line[1]}, {direction}", exponent, "at most", 1.1)


def print_group(results: Sequence[Mapping[str, Any]], console: Console) -> None:
    """A table of cases that are compared, with their ratios."""
    table = Table(title=_title(Setting(**results[0]["setting"])), title_justify="left", box=None)
    table.add_column("case")
    for name in ("median", "IQR", "peak MB", "x floor", "x dense_torch"):
        table.add_column(name, justify="right", no_wrap=True)
    times = {r["case"]: r["seconds"]["median"] for r in results if r["seconds"]}
    for result in results:
        if result["status"] == "skipped":
            table.add_row(result["case"], "skipped", result["reason"], style="dim")
            continue
        seconds, memory = result["seconds"], result["memory"]
        median = seconds["median"]
        ratios = (median / times.get(name, math.nan) for name in ("floor", "dense_torch"))
        table.add_row(
            result["case"],
            f"{median * 1e3:.3f} ms",
            f"{seconds['iqr'] * 1e3:.3f}",
            f"{memory['above'] / 1e6:.1f}" if memory else "",
            *("" if math.isnan(ratio) else f"{ratio:.2f}" for ratio in ratios),
        )
    console.print(table, "")


def _title(setting: Setting) -> str:
    direction = "forward+backward" if setting.backward else "forward"
    sizes = f"N={setting.nodes}, batch {setting.batch}, d={setting.channels}"
    return f"{sizes}, {setting.weighting}, {direction}, {setting.dtype}"


def main(arguments: Sequence[str]) -> None:
    """Measure, print, write and draw; or draw again."""
    parser = common_parser(__doc__, "adjacency")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="parts of the grid")
    parser.add_argument("--seconds", type=float, default=0.3, help="timed, of each case")
    parser.add_argument("--wait", type=float, default=100.0, help="longest run of a case (s)")
    most = "most memory of a case (GiB; default: 8, on CUDA 64)"
    parser.add_argument("--memory", type=float, help=most)
    parser.add_argument("--plot", type=Path, help="draw the plots of this file again, and no more")
    try:
        options = parser.parse_args(list(arguments))
        if options.plot is not None:
            for path in write_plots(read_results(options.plot), options.plot):
                print(path)
            return
        if options.memory is None:
            options.memory = 64.0 if options.device == "cuda" else 8.0
        for name in ("seconds", "wait", "memory"):
            if not 0 < getattr(options, name) < math.inf:
                raise InputError(f"--{name} must be above 0, got {getattr(options, name)}")
        device = set_up(options)
        started = environment(device)
        default = ("gpu",) if device.type == "cuda" else PARTS[:-1]
        parts = ("quick",) if options.quick else options.only or default
        seconds = min(options.seconds, 0.02) if options.quick else options.seconds
        memory = int(options.memory * 2**30)
        session = Session(device, Limits(seconds=seconds, wait=options.wait, memory=memory))
        console = Console(width=None if Console().is_terminal else 110)
        for setting, names in grid(parts):
            cases = [make_case(name, setting, device, options.seed) for name in names]
            print_group(session.measure(cases), console)
        checks = checks_of(session.results, device.type)
        print_checks(checks)
        write_results(
            options.out,
            "adjacency",
            started=started,
            options={"parts": list(parts), "seed": options.seed, **session.describe()},
            results=session.results,
            checks=checks,
        )
        for path in (options.out, *write_plots(read_results(options.out), options.out)):
            print(path)
    except InputError as error:
        fail(error)


if __name__ == "__main__":
    main(sys.argv[1:])
