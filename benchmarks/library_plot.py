"""Seconds of a query over the size of a library, drawn from the results of ``library.py``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from gnnreloc.plotting.style import (
    BLUE,
    GREEN,
    GRID_GREY,
    ORANGE,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    VERMILLION,
    clean_axes,
    new_figure,
    save_figure,
)

#: The limit that is drawn: seconds of a query, and the number of proposals for which it holds.
LIMIT, OF_PROPOSALS = 1.0, 100_000
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "query": ("query", {"color": BLUE, "marker": "o", "linewidth": 2.0}),
    "stage_one": ("first stage", {"color": GREEN, "marker": "s"}),
    "stage_one_exact": (
        "first stage, all vectors",
        {"color": GREEN, "marker": "D", "linestyle": ""},
    ),
    "stage_two": ("second stage", {"color": ORANGE, "marker": "^"}),
}
SYSTEMS = {"training_free": "nothing trained", "dynamic": "trained model"}


def write_plot(document: Mapping[str, Any], path: Path) -> Path:
    """A panel for each system, beside the results.

    Args:
        document: of :func:`record.read_results`.
        path: of the results.
    """
    environment = document["environment"]
    figure = new_figure(9.0, 4.2, f"a query over a library, {environment['cpu']}")
    panels = figure.subplots(1, len(SYSTEMS), sharex=True, sharey=True)
    for axes, (system, title) in zip(panels, SYSTEMS.items(), strict=True):
        _draw(axes, document, system)
        axes.set_title(title, loc="left", fontsize=TEXT_SIZE, fontweight="bold")
        axes.set_xlabel("proposals", fontsize=TEXT_SIZE)
    panels[0].set_ylabel("time (s)", fontsize=TEXT_SIZE)
    panels[0].legend(frameon=False, fontsize=SMALL_TEXT_SIZE)
    return save_figure(figure, path.with_suffix(".png"))


def lines(document: Mapping[str, Any], system: str) -> dict[str, dict[int, float]]:
    """Case -> {proposals: median seconds} of one system."""
    found: dict[str, dict[int, float]] = {}
    for result in document["results"]:
        setting = result["setting"]
        if setting.get("system") == system and result["case"] in CASES:
            line = found.setdefault(result["case"], {})
            line[setting["proposals"]] = result["seconds"]["median"]
    return found


def _draw(axes: Axes, document: Mapping[str, Any], system: str) -> None:
    clean_axes(axes)
    axes.grid(color=GRID_GREY)
    axes.set(xscale="log", yscale="log")
    found = lines(document, system)
    for case, (label, style) in CASES.items():
        if case in found:
            sizes = sorted(found[case])
            axes.plot(sizes, [found[case][size] for size in sizes], label=label, **style)
    axes.plot(
        [OF_PROPOSALS],
        [LIMIT],
        color=VERMILLION,
        marker="_",
        markersize=18,
        linestyle="",
        label="limit",
    )
