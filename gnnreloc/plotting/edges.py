"""Heat maps of the edges between query and proposal, pair by pair, in seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gnnreloc.plotting.style import (
    DPI,
    FRAME_GREY,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    VERMILLION,
    clean_axes,
    new_figure,
    to_array,
)

# As in plot_adjacency: white is an absent edge, blue a positive one and red a negative one.
_SEQUENTIAL = "Blues"
_DIVERGING = "RdBu"
_BORDER = VERMILLION
# Inches: the width of a panel and of a colour bar, the height of a panel and of a line of text.
_PANEL, _BAR, _ROW, _LINE = 2.8, 0.12, 2.6, 0.2
_FREE = 0.45  # inches beside a panel, for the numbers on its axis


@dataclass(frozen=True, eq=False)
class EdgeCase:
    """The edges between one query and one proposal, in one or more pictures; times in seconds.

    Args:
        title: what the case shows; may have several lines, of which the first is bold.
        query_duration: length of the query clip.
        duration: length of the proposal.
        surroundings: what the system sees of the video before the proposal, and as much after it.
        pictures: heading -> weights, a row for each timestep of the query and a column for each
            timestep of the proposal with its surroundings, both evenly spaced in time.

    Raises:
        ValueError: a length that is not positive, negative surroundings, no picture, one that is
            not a matrix or holds a NaN or an infinity; names the case.
    """

    title: str
    query_duration: float
    duration: float
    surroundings: float
    pictures: Mapping[str, torch.Tensor | npt.NDArray[Any]]

    def __post_init__(self) -> None:
        """Check every field, so that an error names the case and not a line of matplotlib."""
        for field in ("query_duration", "duration"):
            if not 0.0 < getattr(self, field) < math.inf:
                raise ValueError(
                    f"case {self.title!r}: {field} is {getattr(self, field)}, wanted seconds > 0"
                )
        if not 0.0 <= self.surroundings < math.inf:
            raise ValueError(
                f"case {self.title!r}: surroundings is {self.surroundings}, wanted seconds >= 0"
            )
        if not self.pictures:
            raise ValueError(f"case {self.title!r}: it has no picture, wanted at least one")
        for heading, picture in self.pictures.items():
            shape = tuple(picture.shape)
            if len(shape) != 2 or 0 in shape:
                raise ValueError(
                    f"case {self.title!r}: picture {heading!r} has shape {shape}, wanted a matrix"
                )
            to_array(picture, f"case {self.title!r}: picture {heading!r}")


def plot_edges(cases: Sequence[EdgeCase], *, title: str | None = None) -> Figure:
    """The edges of several pairs: a column for each pair, a row for each kind of picture.

    Time in the query runs down and time in the video to the right, from the start of the proposal;
    lines mark its start and end, outside of which lie its surroundings. What matches in step shows
    as a diagonal from corner to corner of the proposal. The colours of a row are on one scale: from
    0 up, or symmetric about 0 where there are negative weights.

    Args:
        cases: the pairs, with pictures of the same headings.
        title: written above everything.

    Raises:
        ValueError: there are no cases, or their headings differ.

    Example:
        >>> case = EdgeCase("same speed", 2.0, 4.0, 1.0, {"learned": np.eye(6)})
        >>> plot_edges([case]).axes[4].images[0].get_extent()
        [-1.0, 5.0, 2.0, 0.0]
    """
    if not cases:
        raise ValueError("cases: there are none, wanted at least one")
    headings = list(cases[0].pictures)
    for case in cases:
        if list(case.pictures) != headings:
            raise ValueError(
                f"case {case.title!r}: wanted the pictures {headings} of the first case, found "
                f"{list(case.pictures)}"
            )
    lines = max(case.title.count("\n") + 1 for case in cases)
    heights = [lines * _LINE, *[1.2 * _LINE, _ROW] * len(headings)]
    figure = new_figure(0.9 + (_PANEL + _FREE) * len(cases), 0.9 + 1.1 * sum(heights), title)
    # A row of text above every row of panels, and the colour bars in a column of their own.
    widths = [*[_PANEL] * len(cases), _BAR]
    grid: Any = figure.subplots(
        len(heights), len(widths), squeeze=False, height_ratios=heights, width_ratios=widths
    )
    for axes in (*grid[0], *grid[1::2].flat):
        axes.set_axis_off()
    for axes, case in zip(grid[0], cases, strict=False):
        _write(axes, case.title.split("\n"), _PANEL + _FREE / 2)
    for heading, above, row in zip(headings, grid[1::2, 0], grid[2::2], strict=True):
        _write(above, [heading], (_PANEL + _FREE / 2) * len(cases))
        _draw_row(figure, row, cases, heading)
    for first, last, case in zip(grid[2], grid[-1], cases, strict=False):
        first.annotate(
            "moment",
            (case.duration / 2, 1.0),
            xytext=(0.0, 3.0),
            xycoords=first.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            fontsize=SMALL_TEXT_SIZE,
            color=_BORDER,
        )
        last.set_xlabel("seconds from the moment's start", fontsize=SMALL_TEXT_SIZE)
    return figure


def _write(axes: Axes, lines: Sequence[str], width: float) -> None:
    """Lines of text from the left edge of an empty panel, cut at a width in inches; first bold."""
    for number, line in enumerate(lines):
        text = axes.text(
            0.0,
            1.0 - (number + 0.5) / len(lines),
            line,
            va="center",
            fontsize=SMALL_TEXT_SIZE if number else TEXT_SIZE,
            fontweight="normal" if number else "bold",
            parse_math=False,
            in_layout=False,  # a long line must not push the columns apart
        )
        while line and text.get_window_extent().width > width * DPI:
            line = line[:-1]
            text.set_text(f"{line}...")


def _draw_row(
    figure: Figure, row: npt.NDArray[Any], cases: Sequence[EdgeCase], heading: str
) -> None:
    """The heat maps of one heading, and in the last panel the colour bar that they share."""
    pictures = [to_array(case.pictures[heading], heading) for case in cases]
    largest = max(float(np.abs(picture).max()) for picture in pictures) or 1.0
    signed = any(bool((picture < 0.0).any()) for picture in pictures)
    for axes, case, picture in zip(row, cases, pictures, strict=False):
        clean_axes(axes)
        axes.spines[["top", "right"]].set_visible(True)
        axes.spines[:].set_color(FRAME_GREY)
        end = case.duration + case.surroundings
        image = axes.imshow(
            picture,
            cmap=_DIVERGING if signed else _SEQUENTIAL,
            vmin=-largest if signed else 0.0,
            vmax=largest,
            extent=(-case.surroundings, end, case.query_duration, 0.0),
            aspect="auto",
            interpolation="nearest",
        )
        for border in (0.0, case.duration):
            axes.axvline(border, color=_BORDER, linewidth=1.4)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    row[0].set_ylabel("seconds of the query", fontsize=SMALL_TEXT_SIZE)
    bar = figure.colorbar(image, cax=row[-1])
    bar.set_ticks([-largest, 0.0, largest] if signed else [0.0, largest / 2, largest])
    bar.ax.yaxis.set_major_formatter("{x:.2g}")
    bar.ax.tick_params(labelsize=SMALL_TEXT_SIZE, color=FRAME_GREY)
    bar.outline.set_edgecolor(FRAME_GREY)
