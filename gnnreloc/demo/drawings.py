"""What the page draws: moments on a line, edge maps as pictures, and the words beside them."""

from __future__ import annotations

import html

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from gnnreloc.demo.service import EdgeMap, Found

#: Pixels of the longer side of an edge map, about.
_MAP_PIXELS = 420

#: Looks of :func:`timeline`.
TIMELINE_CSS = """.timeline {
  position: relative; height: 34px; margin: 4px 0 22px; background: rgba(128, 128, 128, .25);
}
.timeline span {
  position: absolute; top: 0; bottom: 0; min-width: 3px; background: #0072b2; opacity: .55;
}
.timeline span.chosen { background: #d55e00; opacity: 1; z-index: 1; }
.timeline b { position: absolute; left: 3px; color: #fff; font-size: 12px; line-height: 34px; }
.timeline i {
  position: absolute; top: 36px; font-size: 12px; font-style: normal; white-space: nowrap;
}
"""


def told(found: Found, place: int) -> str:
    """A moment in words; the number in front of the point is its place."""
    moment = found.moments[place]
    name = "" if found.duration else f"{found.names[place]}, "
    return f"{place + 1}. {name}{moment.start:.1f} to {moment.end:.1f} s, score {moment.score:.3f}"


def place_of(name: str) -> int:
    """The place of a moment that :func:`told` put into words."""
    return int(name.split(".")[0]) - 1


def about(edges: EdgeMap) -> str:
    """What an edge map shows, in words."""
    kind = (
        "Learned edges: what each timestep of the query (row) takes from the moment and its "
        "surroundings (column)."
        if edges.learned
        else "Cosines of the feature rows of the query (rows) and of the moment (columns): no "
        "model was given, nothing is learned."
    )
    return (
        f"{kind} Rows: {edges.query[0]:.1f} to {edges.query[-1]:.1f} s; columns: "
        f"{edges.moment[0]:.1f} to {edges.moment[-1]:.1f} s. A match is a dark blue diagonal. "
        "Click a cell to see the two frames that it joins."
    )


def timeline(found: Found, place: int) -> str:
    """Bars of the moments over the seconds of the reference; empty where there are several."""
    if not found.duration:
        return ""
    bars = []
    for number, moment in enumerate(found.moments):
        left, width = (
            100 * value / found.duration for value in (moment.start, moment.end - moment.start)
        )
        look = ' class="chosen"' if number == place else ""
        text = html.escape(told(found, number), quote=True)
        bars.append(
            f'<span{look} style="left:{left:.2f}%;width:{width:.2f}%" title="{text}">'
            f"<b>{number + 1}</b></span>"
        )
    ticks = "".join(
        f'<i style="left:{share}%;transform:translateX(-{share}%)">'
        f"{share * found.duration / 100:.0f} s</i>"
        for share in (0, 25, 50, 75, 100)
    )
    return f'<div class="timeline">{"".join(bars)}{ticks}</div>'


def draw(edges: EdgeMap, row: int, column: int) -> NDArray[np.uint8]:
    """An edge map as a picture, each cell a square, the chosen one framed."""
    values = np.asarray(edges.values, dtype=float)
    largest = float(np.abs(values).max()) or 1.0
    if values.min() < 0:
        colours = mpl.colormaps["RdBu"]((values / largest + 1) / 2)
    else:
        colours = mpl.colormaps["Blues"](values / largest)
    side = _side(edges)
    picture = (colours[..., :3] * 255).astype(np.uint8).repeat(side, axis=0).repeat(side, axis=1)
    top, left = row * side, column * side
    frame = np.array([213, 94, 0], dtype=np.uint8)
    thick = max(1, side // 6)
    square = picture[top : top + side, left : left + side]
    square[:thick] = square[-thick:] = frame
    square[:, :thick] = square[:, -thick:] = frame
    return picture


def cell(edges: EdgeMap, x: float, y: float) -> tuple[int, int]:
    """Row and column of the cell at a pixel of :func:`draw`."""
    rows, columns = edges.values.shape
    side = _side(edges)
    row, column = int(y // side), int(x // side)
    return min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)


def _side(edges: EdgeMap) -> int:
    return max(3, _MAP_PIXELS // max(edges.values.shape))
