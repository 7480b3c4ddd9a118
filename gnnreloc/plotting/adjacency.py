"""Heat maps of adjacency matrices with their query and proposal blocks (the paper's figure 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gnnreloc.plotting.style import (
    FRAME_GREY,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    clean_axes,
    new_figure,
    to_array,
)

_MOST_COLUMNS = 4
# In both scales white is an absent edge and blue a positive one; red is negative.
_SEQUENTIAL = "Blues"
_DIVERGING = "RdBu"


def plot_adjacency(
    matrices: Mapping[str, torch.Tensor | npt.NDArray[Any]],
    *,
    timesteps: int,
    title: str | None = None,
) -> Figure:
    """Adjacency matrices of one pair graph side by side, up to four in a row.

    Row i holds the weights with which node i receives from the nodes of the columns. Nodes 0..T-1
    are the timesteps of the query and T..2T-1 those of the proposal; lines part the four blocks.
    Every panel has a colour scale of its own, as weights of different graphs differ in size: from 0
    up, or symmetric about 0 where there are negative weights.

    Args:
        matrices: panel title -> weights `[2T, 2T]`.
        timesteps: T, the number of timesteps of each clip.
        title: written above all panels.

    Raises:
        ValueError: no matrix, T < 1, a matrix that is not `[2T, 2T]`, a NaN or an infinity.

    Example:
        >>> figure = plot_adjacency({"learned": np.eye(6), "k=1": np.ones((6, 6))}, timesteps=3)
        >>> [axes.get_title() for axes in figure.axes[:2]]
        ['learned', 'k=1']
    """
    if timesteps < 1:
        raise ValueError(f"timesteps: wanted at least 1, found {timesteps}")
    if not matrices:
        raise ValueError("matrices: there are none, wanted at least one")
    arrays = {name: _checked(name, matrix, timesteps) for name, matrix in matrices.items()}

    columns = min(len(arrays), _MOST_COLUMNS)
    lines = -(-len(arrays) // columns)
    figure = new_figure(max(4.5, 0.6 + 2.45 * columns), 0.1 + 3.3 * lines, title)
    panels = figure.subplots(lines, columns, squeeze=False)
    for position, (name, array) in enumerate(arrays.items()):
        axes = panels.flat[position]
        axes.set_title(name, fontsize=TEXT_SIZE, fontweight="bold")
        _draw_matrix(figure, axes, array)
        _mark_blocks(axes, timesteps)
        axes.set_xlabel("from node", fontsize=SMALL_TEXT_SIZE, labelpad=24)
        if position % columns == 0:
            axes.set_ylabel("to node", fontsize=SMALL_TEXT_SIZE, labelpad=24)
    for axes in panels.flat[len(arrays) :]:
        axes.set_axis_off()
    return figure


def _checked(
    name: str, matrix: torch.Tensor | npt.NDArray[Any], timesteps: int
) -> npt.NDArray[np.float64]:
    """The matrix as an array of finite numbers `[2T, 2T]`."""
    shape, wanted = tuple(matrix.shape), (2 * timesteps, 2 * timesteps)
    if shape != wanted:
        raise ValueError(
            f"matrix {name!r}: wanted shape {wanted} for {timesteps} timesteps, found {shape}"
        )
    return to_array(matrix, f"matrix {name!r}")


def _draw_matrix(figure: Figure, axes: Axes, array: npt.NDArray[np.float64]) -> None:
    """The heat map, node i between i and i + 1 on both axes, and its colour bar below."""
    largest = float(np.abs(array).max()) or 1.0
    signed = bool((array < 0.0).any())
    nodes = len(array)
    image = axes.imshow(
        array,
        cmap=_DIVERGING if signed else _SEQUENTIAL,
        vmin=-largest if signed else 0.0,
        vmax=largest,
        extent=(0.0, nodes, nodes, 0.0),
        interpolation="nearest",
    )
    bar = figure.colorbar(image, ax=axes, location="bottom", fraction=0.05, pad=0.03, aspect=22)
    bar.set_ticks([-largest, 0.0, largest] if signed else [0.0, largest / 2, largest])
    bar.ax.xaxis.set_major_formatter("{x:.3g}")
    bar.ax.tick_params(labelsize=SMALL_TEXT_SIZE, color=FRAME_GREY)
    bar.outline.set_edgecolor(FRAME_GREY)


def _mark_blocks(axes: Axes, timesteps: int) -> None:
    """Lines between the blocks, and brackets with the clips' names outside both axes."""
    clean_axes(axes)
    axes.spines[["top", "right"]].set_visible(True)
    axes.spines[:].set_color(FRAME_GREY)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.axvline(timesteps, color="black", linewidth=1.0)
    axes.axhline(timesteps, color="black", linewidth=1.0)
    below, beside = axes.get_xaxis_transform(), axes.get_yaxis_transform()
    for clip, first in (("query", 0), ("proposal", timesteps)):
        gap = 0.06 * timesteps
        ends = [first + gap, first + gap, first + timesteps - gap, first + timesteps - gap]
        depth = [-0.02, -0.05, -0.05, -0.02]
        middle = first + timesteps / 2
        style: dict[str, Any] = {"color": "black", "linewidth": 1.0, "clip_on": False}
        axes.add_line(Line2D(ends, depth, transform=below, **style))
        axes.add_line(Line2D(depth, ends, transform=beside, **style))
        text: dict[str, Any] = {"s": clip, "fontsize": SMALL_TEXT_SIZE}
        axes.text(middle, -0.07, transform=below, ha="center", va="top", **text)
        axes.text(-0.07, middle, transform=beside, ha="right", va="center", rotation=90, **text)
