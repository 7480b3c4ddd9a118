"""Curves: R@1 over tIoU thresholds for the rows of a table, and the log of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
    to_array,
)

# Rows to compare with. Those that look at no content are grey and dashed, each in its own pattern;
# the wrong-class query is a check on the run's own system and has the colour of the highlight.
_REFERENCE_ROWS: dict[str, dict[str, Any]] = {
    "oracle": {"color": "0.20", "linestyle": (0, (6, 2)), "marker": ""},
    "longest_proposal": {"color": "0.40", "linestyle": (0, (4, 2)), "marker": "x"},
    "whole_reference": {"color": "0.40", "linestyle": (0, (1, 1.5)), "marker": "+"},
    "random_proposal": {"color": "0.60", "linestyle": (0, (4, 2)), "marker": "|"},
    "chance": {"color": "0.60", "linestyle": (0, (1, 1.5)), "marker": ""},
    "wrong_class_query": {"color": VERMILLION, "linestyle": (0, (3, 1.5)), "marker": "."},
}
_COLOURS = (BLUE, GREEN, ORANGE, PURPLE, SKY_BLUE)
_MARKERS = ("o", "s", "^", "D", "v", "P", "*")
_NOT_LOSSES = ("epoch", "step", "seconds")
_WIDE_RANGE = 30.0
_LEGEND_LINE = 0.22  # inches
_FEW_BANDS = 6
_FEW_EPOCHS = 30


def plot_recall_over_tiou(
    rows: Mapping[str, Mapping[float, float]],
    *,
    highlight: str | None,
    bands: Mapping[str, Mapping[float, tuple[float, float]]] | None = None,
    title: str | None = None,
) -> Figure:
    """R@1 over tIoU thresholds, one line a system, best system first in the legend.

    The content-free rows (`chance`, `random_proposal`, `longest_proposal`, `whole_reference`,
    `oracle`) are dashed and grey, `wrong_class_query` is dashed in the colour of the highlight, and
    every other system has a colour and marker of its own.

    Args:
        rows: system -> {tIoU threshold in [0, 1]: R@1 in [0, 1]}.
        highlight: the system drawn thick and on top, or None.
        bands: system -> {threshold: (low, high)} at the thresholds of its row, shaded around its
            line and cut off at 0 and 1, for instance the 95 % interval; a system may have none.
        title: written above the panel.

    Raises:
        ValueError: no rows, an empty row, a number outside [0, 1], `highlight` not in the rows, or
            a band that does not fit its row or has low above high.

    Example:
        >>> rows = {"chance": {0.5: 0.16, 0.7: 0.06}, "dynamic_tuned": {0.5: 0.6, 0.7: 0.5}}
        >>> figure = plot_recall_over_tiou(rows, highlight="dynamic_tuned")
        >>> [line.get_label() for line in figure.axes[0].lines]
        ['dynamic tuned', 'chance']
    """
    if not rows:
        raise ValueError("rows: there are none, wanted at least one system")
    if highlight is not None and highlight not in rows:
        raise ValueError(f"highlight: {highlight!r} is not among the rows {sorted(rows)}")
    curves = {name: _recall_curve(name, row) for name, row in rows.items()}
    shades = {name: _recall_band(name, band, curves) for name, band in (bands or {}).items()}

    figure = new_figure(8.0, max(4.5, 0.6 + _LEGEND_LINE * len(rows)), title)
    axes = figure.subplots()
    clean_axes(axes)
    axes.grid(color=GRID_GREY)
    styles = _row_styles(list(rows), highlight)
    for name in sorted(curves, key=lambda name: -float(curves[name][1].mean())):
        thresholds, recalls = curves[name]
        axes.plot(thresholds, recalls, label=name.replace("_", " "), **styles[name])
        if name in shades:
            # The more bands overlap, the fainter each of them.
            alpha = 0.2 if name == highlight else 0.15 * min(1.0, _FEW_BANDS / len(shades))
            colour = (styles[name]["color"], alpha)
            axes.fill_between(thresholds, *shades[name], facecolor=colour, linewidth=0)
    ticks = np.unique(np.concatenate([thresholds for thresholds, _ in curves.values()]))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    highest = max(float(top.max()) for _, top in (*curves.values(), *shades.values()))
    axes.set_ylim(0.0, min(1.02, max(1.1 * highest, 0.05)))
    axes.set_xlabel("tIoU threshold", fontsize=TEXT_SIZE)
    axes.set_ylabel("R@1 (share of query-reference pairs)", fontsize=TEXT_SIZE)
    legend = axes.legend(
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=TEXT_SIZE,
        handlelength=3.2,
    )
    for line, text in zip(axes.lines, legend.get_texts(), strict=True):
        if highlight is not None and line.get_label() == highlight.replace("_", " "):
            text.set_fontweight("bold")
    return figure


def plot_training(log: pd.DataFrame) -> Figure:
    """Losses, validation metrics and learning rates over the epochs of one run, a panel each.

    A panel without columns is left out. A column with gaps (validation every few epochs) is drawn
    through the epochs that it has. Losses, and several learning rates, go on a logarithmic scale
    where their positive values span more than a factor of 30.

    Args:
        log: one row an epoch. `epoch`; `validation_<metric>` columns; columns that start with `lr`;
            `step` and `seconds` are ignored; every other numeric column is a loss.

    Raises:
        ValueError: no rows, no column `epoch`, or nothing to draw.

    Example:
        >>> log = pd.DataFrame({"epoch": [1, 2], "loss": [0.9, 0.4], "lr": [1e-3, 1e-4]})
        >>> [axes.get_title(loc="left") for axes in plot_training(log).axes]
        ['loss', 'learning rate']
    """
    if "epoch" not in log.columns:
        raise ValueError(f"log: no column 'epoch' among {list(log.columns)}")
    if log.empty:
        raise ValueError("log: there are no rows, wanted one row an epoch")
    panels = {title: names for title, names in _training_panels(log).items() if names}
    if not panels:
        raise ValueError(f"log: no column to draw among {list(log.columns)}")

    figure = new_figure(1.0 + 3.2 * len(panels), 3.6)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, names) in zip(grid, panels.items(), strict=True):
        clean_axes(axes)
        axes.grid(color=GRID_GREY)
        axes.set_title(title, loc="left", fontsize=TEXT_SIZE, fontweight="bold")
        axes.set_xlabel("epoch", fontsize=TEXT_SIZE)
        axes.xaxis.set_major_locator(
            MaxNLocator(6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
        )
        _draw_columns(axes, log, names)
        if title == "loss" or (title == "learning rate" and len(names) > 1):
            _logarithmic_if_wide(axes)
    return figure


def _recall_curve(name: str, row: Mapping[float, float]) -> tuple[Any, Any]:
    """Thresholds in increasing order and their R@1."""
    if not row:
        raise ValueError(f"row {name!r}: there are no thresholds, wanted at least one")
    points = to_array(sorted((float(tiou), float(r1)) for tiou, r1 in row.items()), f"row {name!r}")
    if points.min() < 0.0 or points.max() > 1.0:
        raise ValueError(f"row {name!r}: tIoU and R@1 lie in [0, 1], found {dict(row)}")
    return points[:, 0], points[:, 1]


def _recall_band(
    name: str, band: Mapping[float, tuple[float, float]], curves: Mapping[str, tuple[Any, Any]]
) -> tuple[Any, Any]:
    """Lower and upper edge of a row's band, by threshold, in [0, 1]."""
    if name not in curves:
        raise ValueError(f"band {name!r} is of none of the rows {sorted(curves)}")
    thresholds = curves[name][0].tolist()
    if sorted(band) != thresholds:
        raise ValueError(f"band {name!r}: at {sorted(band)}, wanted its row's {thresholds}")
    low, high = to_array([band[tiou] for tiou in thresholds], f"band {name!r}").clip(0.0, 1.0).T
    if (low > high).any():
        raise ValueError(f"band {name!r}: low above high in {dict(band)}")
    return low, high


def _row_styles(names: Sequence[str], highlight: str | None) -> dict[str, dict[str, Any]]:
    """Line properties of every row; a row keeps its colour whatever its rank."""
    styles: dict[str, dict[str, Any]] = {}
    others = 0
    for name in names:
        if name == highlight:
            styles[name] = {"color": VERMILLION, "linewidth": 3.5, "marker": "o", "zorder": 4}
        elif name in _REFERENCE_ROWS:
            styles[name] = {"linewidth": 1.5, "markersize": 6.0, **_REFERENCE_ROWS[name]}
        else:
            marker = _MARKERS[others % len(_MARKERS)]
            colour = _COLOURS[others % len(_COLOURS)]
            styles[name] = {"color": colour, "linewidth": 1.8, "marker": marker, "markersize": 5.0}
            others += 1
    return styles


def _training_panels(log: pd.DataFrame) -> dict[str, list[str]]:
    """Panel title -> the numeric columns drawn in it, columns without a value left out."""
    panels: dict[str, list[str]] = {"loss": [], "validation": [], "learning rate": []}
    for name in log.select_dtypes("number").columns.map(str):
        if name in _NOT_LOSSES or log[name].isna().all():
            continue
        if name.startswith("validation_"):
            panels["validation"].append(name)
        elif name == "lr" or name.startswith("lr_"):
            panels["learning rate"].append(name)
        else:
            panels["loss"].append(name)
    return panels


def _draw_columns(axes: Axes, log: pd.DataFrame, names: Sequence[str]) -> None:
    """One line a column, with a legend below the panel where there are several."""
    colours = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY_BLUE)
    for i, name in enumerate(names):
        points = log[["epoch", name]].dropna()
        axes.plot(
            points["epoch"].to_numpy(float),
            points[name].to_numpy(float),
            label=name.removeprefix("validation_").replace("_", " "),
            color=colours[i % len(colours)],
            linestyle=("-", "--", ":")[i // len(colours) % 3],
            marker="o" if len(points) <= _FEW_EPOCHS else "",
            markersize=3.5,
            linewidth=1.8,
        )
    if len(names) > 1:
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.2),
            ncols=2,
            frameon=False,
            fontsize=SMALL_TEXT_SIZE,
            columnspacing=1.2,
            handlelength=1.6,
        )
    elif names[0] not in ("loss", "lr"):
        axes.set_ylabel(str(axes.lines[0].get_label()), fontsize=TEXT_SIZE)


def _logarithmic_if_wide(axes: Axes) -> None:
    """Logarithmic y axis where all values are positive and span more than the wide range."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    if values.min() > 0.0 and values.max() > _WIDE_RANGE * values.min():
        axes.set_yscale("log")
