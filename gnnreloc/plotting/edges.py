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
from matplotlib.image import AxesImage

from gnnreloc.plotting.style import (
    FRAME_GREY,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    clean_axes,
    new_figure,
    to_array,
)

# As in plot_adjacency: white is an absent edge, blue a positive one and red a negative one.
_SEQUENTIAL = "Blues"
_DIVERGING = "RdBu"
_PANEL = 2.75  # inches
_LINE = 0.2  # inches


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
        >>> [axes.get_title() for axes in plot_edges([case]).axes[1:2]]
        ['learned']
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
    height = 0.2 + lines * _LINE
    figure = new_figure(
        1.6 + _PANEL * len(cases), 0.9 + height + (_PANEL + 0.3) * len(headings), title
    )
    grid: Any = figure.subplots(
        len(headings) + 1,
        len(cases),
        squeeze=False,
        height_ratios=[height, *[_PANEL] * len(headings)],
    )
    for axes, case in zip(grid[0], cases, strict=True):
        _write_title(axes, case.title)
    for heading, row in zip(headings, grid[1:], strict=True):
        pictures = [to_array(case.pictures[heading], heading) for case in cases]
        largest = max(float(np.abs(picture).max()) for picture in pictures) or 1.0
        signed = any(bool((picture < 0.0).any()) for picture in pictures)
        for axes, case, picture in zip(row, cases, pictures, strict=True):
            image = _draw_picture(axes, case, picture, largest, signed)
        row[0].set_title(heading, loc="left", fontsize=TEXT_SIZE, parse_math=False)
        row[0].set_ylabel("query (s)", fontsize=SMALL_TEXT_SIZE)
        bar = figure.colorbar(image, ax=list(row), fraction=0.05, pad=0.02, aspect=22)
        bar.ax.tick_params(labelsize=SMALL_TEXT_SIZE, color=FRAME_GREY)
        bar.outline.set_edgecolor(FRAME_GREY)
    for axes in grid[-1]:
        axes.set_xlabel("video, from the start of the moment (s)", fontsize=SMALL_TEXT_SIZE)
    return figure


def _write_title(axes: Axes, title: str) -> None:
    axes.set_axis_off()
    first, _, rest = title.partition("\n")
    style: dict[str, Any] = {"transform": axes.transAxes, "parse_math": False, "va": "top"}
    axes.text(0.0, 1.0, first, fontsize=TEXT_SIZE, fontweight="bold", **style)
    if rest:
        axes.text(0.0, 0.72, rest, fontsize=SMALL_TEXT_SIZE, linespacing=1.3, **style)


def _draw_picture(
    axes: Axes, case: EdgeCase, picture: npt.NDArray[np.float64], largest: float, signed: bool
) -> AxesImage:
    """The heat map on axes in seconds, and the start and end of the proposal."""
    clean_axes(axes)
    axes.spines[["top", "right"]].set_visible(True)
    axes.spines[:].set_color(FRAME_GREY)
    image = axes.imshow(
        picture,
        cmap=_DIVERGING if signed else _SEQUENTIAL,
        vmin=-largest if signed else 0.0,
        vmax=largest,
        extent=(-case.surroundings, case.duration + case.surroundings, case.query_duration, 0.0),
        aspect="auto",
        interpolation="nearest",
    )
    axes.set_box_aspect(1.0)
    for border in (0.0, case.duration):
        axes.axvline(border, color="black", linewidth=1.0)
    return image
