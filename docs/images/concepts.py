"""Draws the task and the pair graph: ``docs/images/task.png`` and ``docs/images/pair_graph.png``.

python docs/images/concepts.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gnnreloc.plotting.style import (
    BLUE,
    FRAME_GREY,
    GREEN,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    VERMILLION,
    clean_axes,
    new_figure,
    save_figure,
)
from gnnreloc.transforms import khop_adjacency

TIMESTEPS = 6
# Seconds: the query, and in the reference what is done when.
QUERY = 6.0
ACTIONS = ((2.0, 7.0, "walk"), (11.0, 16.5, "throw"), (21.0, 29.0, "jump"), (33.0, 38.0, "wave"))
FOUND = 2
LENGTH = 41.0
CANDIDATES = ((20.0, 29.0), (22.5, 30.5), (18.0, 27.0), (10.0, 16.0), (1.5, 9.0), (32.0, 39.5))
ANSWER = (20.6, 28.8)


def draw_task() -> Figure:
    """A query, a reference with its actions, candidates by score, and the answer."""
    figure = new_figure(9.0, 3.6)
    axes = figure.subplots()
    clean_axes(axes)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(0.0, LENGTH)
    axes.set_ylim(5.0, -0.6)
    axes.set_yticks([0.0, 1.1, 2.75, 4.4], ["query", "reference", "candidates", "answer"])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("seconds", fontsize=TEXT_SIZE)
    axes.barh(0.0, QUERY, height=0.6, color=BLUE)
    axes.text(QUERY / 2, 0.0, "jump", color="white", ha="center", va="center")
    axes.barh(1.1, LENGTH, height=0.6, color="0.9")
    for number, (start, end, name) in enumerate(ACTIONS):
        mine = number == FOUND
        colour = GREEN if mine else "0.65"
        axes.barh(1.1, end - start, left=start, height=0.6, color=colour)
        axes.text((start + end) / 2, 1.1, name, color="white", ha="center", va="center")
    for place, (start, end) in enumerate(CANDIDATES):
        grey = str(0.15 + 0.13 * place)
        axes.barh(1.95 + 0.32 * place, end - start, left=start, height=0.2, color=grey)
    axes.annotate(
        "darker: higher score",
        (CANDIDATES[0][1] + 0.3, 1.95),
        xytext=(32.0, 2.0),
        fontsize=SMALL_TEXT_SIZE,
        va="center",
    )
    start, end = ANSWER
    axes.barh(4.4, end - start, left=start, height=0.6, color=VERMILLION)
    truth = ACTIONS[FOUND]
    shared = min(end, truth[1]) - max(start, truth[0])
    overlap = shared / (max(end, truth[1]) - min(start, truth[0]))
    text = f"boundaries refined, tIoU {overlap:.2f}"
    axes.text(end + 0.4, 4.4, text, va="center", fontsize=SMALL_TEXT_SIZE)
    return figure


def draw_pair_graph() -> Figure:
    """Two clips of six timesteps: fixed edges and their matrix, learned edges and theirs."""
    figure = new_figure(9.0, 5.2)
    grid = figure.subplots(2, 2, width_ratios=(1.7, 1.0))
    size = 2 * TIMESTEPS
    fixed = np.asarray(khop_adjacency(TIMESTEPS, 2, self_loops=False))
    # What a match of twice the speed would look like: query step a is done at candidate step a / 2.
    steps = np.arange(TIMESTEPS)
    near = np.exp(-((steps[:, None] / 2 + 1.5 - steps[None, :]) ** 2) / 0.5)
    learned = np.zeros((size, size))
    learned[:TIMESTEPS, TIMESTEPS:] = near / near.sum(axis=1, keepdims=True)
    learned[TIMESTEPS:, :TIMESTEPS] = near.T / near.T.sum(axis=1, keepdims=True)
    for row, (title, matrix) in zip(
        grid, (("fixed, k=2", fixed), ("learned (a sketch)", learned)), strict=True
    ):
        _draw_edges(row[0], title, matrix)
        _draw_matrix(row[1], matrix)
    return figure


def _draw_edges(axes: Axes, title: str, matrix: np.ndarray) -> None:
    axes.set_axis_off()
    axes.set_title(title, loc="left", fontsize=TEXT_SIZE, fontweight="bold")
    largest = matrix.max()
    for query in range(TIMESTEPS):
        for step in range(TIMESTEPS):
            weight = matrix[query, TIMESTEPS + step] / largest
            if weight > 0.03:
                axes.plot([query, step], [1.0, 0.0], color=FRAME_GREY, lw=3 * weight, zorder=1)
    for height, name, colour in ((1.0, "query", BLUE), (0.0, "candidate", VERMILLION)):
        axes.scatter(range(TIMESTEPS), [height] * TIMESTEPS, s=330, color=colour, zorder=2)
        axes.text(-0.7, height, name, ha="right", va="center", fontsize=TEXT_SIZE)
        first = 0 if height else TIMESTEPS
        for step in range(TIMESTEPS):
            text = str(first + step)
            axes.text(step, height, text, color="white", ha="center", va="center", zorder=3)
    axes.set_xlim(-2.6, TIMESTEPS - 0.5)
    axes.set_ylim(-0.3, 1.3)


def _draw_matrix(axes: Axes, matrix: np.ndarray) -> None:
    clean_axes(axes)
    axes.imshow(matrix, cmap="Blues", vmin=0.0, interpolation="nearest")
    axes.axhline(TIMESTEPS - 0.5, color="black", lw=1)
    axes.axvline(TIMESTEPS - 0.5, color="black", lw=1)
    middles = [(TIMESTEPS - 1) / 2, TIMESTEPS + (TIMESTEPS - 1) / 2]
    axes.set_xticks(middles, ["query", "candidate"])
    axes.set_yticks(middles, ["query", "candidate"], rotation=90, va="center")
    axes.tick_params(length=0)
    axes.set_xlabel("from", fontsize=SMALL_TEXT_SIZE)
    axes.set_ylabel("to", fontsize=SMALL_TEXT_SIZE)


def main(folder: str | Path) -> None:
    """Draw and write both."""
    save_figure(draw_task(), Path(folder) / "task.png")
    save_figure(draw_pair_graph(), Path(folder) / "pair_graph.png")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
