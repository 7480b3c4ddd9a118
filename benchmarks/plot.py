"""Time and memory over the number of nodes, drawn from the results of ``adjacency.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gnnreloc.plotting.style import (
    BLUE,
    GREEN,
    GRID_GREY,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    VERMILLION,
    clean_axes,
    new_figure,
    save_figure,
)

# Our back ends have full lines and circles, the peers dashes and marks of their own.
_OURS: dict[str, Any] = {"linestyle": "-", "marker": "o", "linewidth": 2.0}
_PEER: dict[str, Any] = {"linestyle": (0, (4, 2)), "linewidth": 1.4}
STYLES: dict[str, dict[str, Any]] = {
    "floor": {"color": "0.5", "linestyle": (0, (1, 1.5)), "marker": "", "linewidth": 1.8},
    "edge": {"color": ORANGE, **_OURS},
    "dense": {"color": BLUE, **_OURS},
    "lowrank": {"color": GREEN, **_OURS},
    "blocked": {"color": VERMILLION, **_OURS},
    "auto": {"color": "0.1", "linestyle": "", "marker": "x", "markersize": 8.0},
    "graph_conv": {"color": ORANGE, "marker": "s", **_PEER},
    "agnn_conv": {"color": ORANGE, "marker": "D", **_PEER},
    "transformer_conv": {"color": PURPLE, "marker": "^", **_PEER},
    "dense_graph_conv": {"color": SKY_BLUE, "marker": "v", **_PEER},
    "dense_torch": {"color": SKY_BLUE, "marker": "s", **_PEER},
    "dense_compiled": {"color": BLUE, "marker": "P", **_PEER},
    "sdpa": {"color": PURPLE, "marker": "s", **_PEER},
}
WEIGHTINGS = ("none", "relu", "shift", "softmax")
#: Row of a figure: where its number is in a result, what it is, and its unit.
ROWS = (
    ("seconds", "median", "time of a graph (ms)", 1e3),
    ("memory", "above", "peak memory of a graph (MB)", 1e-6),
)

Line = dict[int, float]


def write_plots(document: Mapping[str, Any], path: Path) -> list[Path]:
    """One figure for each width, direction and type, beside the results that it is drawn from.

    Args:
        document: of :func:`record.read_results`.
        path: of the results; its name begins those of the figures.

    Returns:
        The files written.
    """
    results = [result for result in document["results"] if result["status"] == "measured"]
    kinds = {_kind(result["setting"]) for result in results}
    written = []
    for channels, backward, dtype in sorted(kinds):
        chosen = [r for r in results if _kind(r["setting"]) == (channels, backward, dtype)]
        direction = "forward+backward" if backward else "forward"
        title = f"A(x) x, d = {channels}, {direction}, {dtype}, {_machine(document)}"
        name = f"{path.stem}_d{channels}_{direction.replace('+', '_')}"
        name += "" if dtype == "float32" else f"_{dtype}"
        written.append(save_figure(draw(chosen, title), path.with_name(f"{name}.png")))
    return written


def draw(results: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Time above memory over N, a column a weighting, all axes logarithmic.

    Args:
        results: measured ones of one width and direction.
        title: written above.
    """
    shown = [w for w in WEIGHTINGS if any(r["setting"]["weighting"] == w for r in results)]
    figure = new_figure(1.6 + 3.2 * len(shown), 6.8, title)
    panels = figure.subplots(len(ROWS), len(shown), squeeze=False, sharex=True, sharey="row")
    for row, (part, number, label, unit) in zip(panels, ROWS, strict=True):
        for axes, weighting in zip(row, shown, strict=True):
            chosen = [r for r in results if r["setting"]["weighting"] == weighting]
            found = lines(chosen, part, number, unit)
            if part == "memory":
                found.pop("floor", None)  # its matrices are of another size
            _draw_lines(axes, found)
            if part == "seconds":
                axes.set_title(weighting, loc="left", fontsize=TEXT_SIZE, fontweight="bold")
            else:
                axes.set_xlabel("nodes of a graph N", fontsize=TEXT_SIZE)
        row[0].set_ylabel(label, fontsize=TEXT_SIZE)
    drawn: dict[str, Any] = {}
    for axes in panels.flat:
        for line in axes.lines:
            drawn.setdefault(str(line.get_label()), line)
    names = [name for name in STYLES if name in drawn]
    figure.legend(
        [drawn[name] for name in names],
        [name.replace("_", " ") for name in names],
        loc="outside lower center",
        ncols=min(-(-len(names) // 2), 1 + 2 * len(shown)),
        frameon=False,
        fontsize=SMALL_TEXT_SIZE,
        handlelength=3.0,
    )
    return figure


def lines(
    results: Sequence[Mapping[str, Any]], part: str, number: str, unit: float
) -> dict[str, Line]:
    """Case -> {N: figure of one graph}; a figure that is missing or 0 is left out.

    Args:
        results: measured ones.
        part: ``seconds`` or ``memory``.
        number: which of its figures.
        unit: factor.
    """
    found: dict[str, Line] = {}
    for result in results:
        figure = (result[part] or {}).get(number)
        if figure:
            setting = result["setting"]
            line = found.setdefault(result["case"], {})
            line.setdefault(setting["nodes"], figure * unit / setting["batch"])
    return found


def _draw_lines(axes: Axes, found: Mapping[str, Line]) -> None:
    clean_axes(axes)
    axes.grid(color=GRID_GREY)
    axes.set(xscale="log", yscale="log")
    for name in STYLES:
        if name in found:
            sizes = sorted(found[name])
            style = {"markersize": 5.0, **STYLES[name]}
            axes.plot(sizes, [found[name][size] for size in sizes], label=name, **style)


def _kind(setting: Mapping[str, Any]) -> tuple[int, bool, str]:
    return setting["channels"], setting["backward"], setting["dtype"]


def _machine(document: Mapping[str, Any]) -> str:
    environment = document["environment"]
    threads = environment["threads"]
    plural = "" if threads == 1 else "s"
    return str(environment["gpu"] or f"{environment['cpu']}, {threads} thread{plural}")
