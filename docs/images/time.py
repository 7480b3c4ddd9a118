"""Draws ``docs/images/time.png``: frames, sampled frames, feature rows and timesteps over seconds.

python docs/images/time.py [FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from gnnreloc.plotting.style import (
    BLUE,
    FRAME_GREY,
    GREEN,
    ORANGE,
    SKY_BLUE,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    VERMILLION,
    clean_axes,
    new_figure,
    save_figure,
)

# A video of 11 frames at a variable rate, 2.6 s long.
FRAMES = (0.0, 0.2, 0.45, 0.55, 0.8, 1.0, 1.35, 1.5, 1.9, 2.0, 2.25)
LENGTH = 2.6
# A backbone that looks at 4 frames a second, 4 of them in a row, a new row every 2.
RATE, CLIP_FRAMES, STRIDE = 4.0, 4, 2
STEP = STRIDE / RATE
# A moment of the video, described by 3 timesteps.
MOMENT, TIMESTEPS = (0.6, 2.1), 3

_VIDEO, _SAMPLED, _ROWS, _STEPS = 3.4, 2.3, 1.15, 0.0
_HEIGHT = 0.52


def main(path: str | Path) -> Path:
    """Draw and write the figure."""
    figure = new_figure(9.0, 4.6)
    axes = figure.subplots()
    clean_axes(axes)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(-0.02, LENGTH + 0.02)
    axes.set_ylim(-0.45, 4.25)
    axes.set_xlabel("seconds", fontsize=TEXT_SIZE)
    axes.set_yticks(
        [_VIDEO, _SAMPLED, _ROWS, _STEPS],
        ["frames of\nthe video", "sampled\nframes", "feature rows", "timesteps of\na moment"],
    )
    axes.tick_params(axis="y", length=0)
    _draw_video(axes)
    _draw_rows(axes)
    _draw_timesteps(axes)
    return save_figure(figure, path)


def _box(axes: Axes, level: float, start: float, end: float, colour: str, text: str) -> None:
    place = (start, level - _HEIGHT / 2)
    axes.add_patch(
        Rectangle(place, end - start, _HEIGHT, facecolor=colour, edgecolor="white", lw=2)
    )
    axes.text((start + end) / 2, level, text, ha="center", va="center", fontsize=SMALL_TEXT_SIZE)


def _draw_video(axes: Axes) -> None:
    """Frames as long as they are shown; sampled frames below, joined to the ones they show."""
    for number, (start, end) in enumerate(zip(FRAMES, (*FRAMES[1:], LENGTH), strict=True)):
        _box(axes, _VIDEO, start, end, "0.85", str(number))
    text = "frame k is shown from its time stamp to that of the next frame"
    axes.text(0, _VIDEO + 0.42, text, fontsize=SMALL_TEXT_SIZE, color="0.3")
    number = 0
    while (time := (number + 0.5) / RATE) < LENGTH:
        axes.plot([time, time], [_SAMPLED, _VIDEO - _HEIGHT / 2], color=FRAME_GREY, lw=1, zorder=0)
        axes.plot(time, _SAMPLED, "o", color=BLUE, ms=8)
        axes.text(
            time, _SAMPLED - 0.34, str(number), ha="center", fontsize=SMALL_TEXT_SIZE, color=BLUE
        )
        number += 1


def _draw_rows(axes: Axes) -> None:
    """Rows with their middles, and the run of frames that one of them is made of."""
    for row in range(round(LENGTH / STEP)):
        chosen = row == 2
        _box(axes, _ROWS, row * STEP, (row + 1) * STEP, ORANGE if chosen else SKY_BLUE, str(row))
        axes.plot((row + 0.5) * STEP, _ROWS - _HEIGHT / 2 + 0.06, "^", color="black", ms=5)
    first = 2 * STRIDE - (CLIP_FRAMES - STRIDE) // 2
    left, right = (first + 0.5) / RATE, (first + CLIP_FRAMES - 0.5) / RATE
    level = _SAMPLED - 0.56
    axes.plot(
        [left, left, right, right], [level + 0.1, level, level, level + 0.1], color=VERMILLION
    )
    axes.plot([(left + right) / 2] * 2, [level, _ROWS + _HEIGHT / 2], color=VERMILLION)
    axes.text(
        right + 0.03,
        level,
        f"row 2: {CLIP_FRAMES} sampled frames around its middle",
        va="center",
        fontsize=SMALL_TEXT_SIZE,
        color=VERMILLION,
    )


def _draw_timesteps(axes: Axes) -> None:
    """A moment in equal bins, with their middles."""
    start, end = MOMENT
    width = (end - start) / TIMESTEPS
    for step in range(TIMESTEPS):
        left = start + step * width
        _box(axes, _STEPS, left, left + width, GREEN, str(step))
        axes.plot(left + width / 2, _STEPS - _HEIGHT / 2 + 0.06, "^", color="black", ms=5)
    for time, side, name in ((start, "right", "start"), (end, "left", "end")):
        axes.plot([time, time], [_STEPS - 0.4, _ROWS - _HEIGHT / 2], color=FRAME_GREY, ls=":", lw=1)
        shift = -0.02 if side == "right" else 0.02
        text = f"{name} {time:g} s"
        axes.text(time + shift, _STEPS, text, ha=side, va="center", fontsize=SMALL_TEXT_SIZE)


if __name__ == "__main__":
    print(main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".png")))
