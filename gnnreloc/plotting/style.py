"""The look that all figures share, and how a figure is written to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from gnnreloc.atomic_write import atomic_write

# Of Okabe and Ito (2008): colours that stay apart under the common colour vision deficiencies.
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"

DPI = 150
TEXT_SIZE = 10.0
SMALL_TEXT_SIZE = 9.0
TITLE_SIZE = 12.0
FRAME_GREY = "0.55"
GRID_GREY = "0.9"
_PADDING = 0.08  # inches around every panel

# Formats, and their metadata without the date that would make two files of one figure differ.
_METADATA: dict[str, dict[str, Any]] = {
    ".png": {},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


def new_figure(width: float, height: float, title: str | None = None) -> Figure:
    """An empty figure with a canvas of its own, unknown to pyplot.

    Args:
        width: inches.
        height: inches.
        title: written above all panels.
    """
    layout = ConstrainedLayoutEngine(w_pad=_PADDING, h_pad=_PADDING)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=TITLE_SIZE, fontweight="bold")
    return figure


def clean_axes(axes: Axes) -> None:
    """Grey frame without its top and right side, readable tick labels, nothing else."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FRAME_GREY)
    axes.tick_params(which="both", labelsize=SMALL_TEXT_SIZE, color=FRAME_GREY)
    axes.set_axisbelow(True)


def to_array(values: torch.Tensor | npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    """A float64 array of finite numbers, from a tensor on any device or from anything array-like.

    Args:
        values: the numbers, of any shape.
        name: what the numbers are, for the error.

    Raises:
        ValueError: there is a NaN or an infinity among the values.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().to("cpu", torch.float64).numpy()
    array = np.asarray(values, dtype=np.float64)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        position = tuple(int(i) for i in bad[0])
        raise ValueError(f"{name}: entry {position} is {array[position]}, wanted finite numbers")
    return array


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure whole or not at all: a reader never sees half a file.

    The figure goes to a temporary file in the same folder, which then takes the place of `path`.
    The same figure gives the same bytes, because dates and random identifiers are left out.

    Args:
        figure: the figure.
        path: where to, ending in `.png`, `.svg` or `.pdf`; a missing folder is made.

    Returns:
        The path.

    Raises:
        ValueError: another ending.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _METADATA:
        raise ValueError(f"{path}: a figure ends in .png, .svg or .pdf, found {suffix!r}")
    with atomic_write(path) as file, mpl.rc_context({"svg.hashsalt": "gnnreloc"}):
        figure.savefig(file, format=suffix[1:], dpi=DPI, metadata=_METADATA[suffix])
    return path
