"""Tests of the adjacency heat maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from gnnreloc.plotting import plot_adjacency

T = 3
ARROW = np.zeros((2 * T, 2 * T))
ARROW[0, 5] = 0.5  # the first query step receives from the last proposal step


def block_borders(axes: Axes) -> tuple[list[float], list[float]]:
    """Places of the lines that cross the whole panel: vertical ones, horizontal ones."""
    ends = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]
    vertical = [x[0] for x, y in ends if len(x) == 2 and x[0] == x[1] and y == [0, 1]]
    horizontal = [y[0] for x, y in ends if len(y) == 2 and y[0] == y[1] and x == [0, 1]]
    return vertical, horizontal


def test_heat_maps_hold_the_matrices_with_the_first_node_top_left() -> None:
    learned = torch.linspace(-0.2, 1.0, 36, requires_grad=True).reshape(6, 6)
    figure = plot_adjacency({"learned": learned, "arrow": ARROW}, timesteps=T, title="figure 6")
    first, second = figure.axes[:2]
    assert (first.get_title(), second.get_title()) == ("learned", "arrow")
    assert figure.get_suptitle() == "figure 6"
    np.testing.assert_allclose(first.images[0].get_array(), learned.detach().numpy())
    np.testing.assert_array_equal(second.images[0].get_array(), ARROW)
    assert second.images[0].get_extent() == [0, 6, 6, 0]
    assert second.images[0].origin == "upper"
    assert second.get_ylim() == (6, 0)


def test_blocks_part_at_t_and_are_named_on_both_axes() -> None:
    axes = plot_adjacency({"arrow": ARROW}, timesteps=T).axes[0]
    assert block_borders(axes) == ([T], [T])
    places = {(text.get_text(), text.get_position()) for text in axes.texts}
    assert places == {
        ("query", (1.5, -0.07)),
        ("proposal", (4.5, -0.07)),
        ("query", (-0.07, 1.5)),
        ("proposal", (-0.07, 4.5)),
    }


def test_brackets_stay_within_their_blocks() -> None:
    axes = plot_adjacency({"arrow": ARROW}, timesteps=T).axes[0]
    spans = sorted(
        (min(line.get_xdata()), max(line.get_xdata()))
        for line in axes.lines
        if len(line.get_xdata()) == 4
    )
    nodes = [span for span in spans if span[0] >= 0]
    assert len(spans) == 4
    assert [(round(start), round(end)) for start, end in nodes] == [(0, 3), (3, 6)]


@pytest.mark.parametrize(
    ("matrix", "limits", "colours"),
    [
        (ARROW, (0.0, 0.5), "Blues"),
        (ARROW - 2.0 * np.eye(6), (-2.0, 2.0), "RdBu"),
        (np.zeros((6, 6)), (0.0, 1.0), "Blues"),
    ],
)
def test_scale_starts_at_zero_or_is_centred_there(
    matrix: np.ndarray[Any, Any], limits: tuple[float, float], colours: str
) -> None:
    image = plot_adjacency({"one": matrix}, timesteps=T).axes[0].images[0]
    assert image.get_clim() == limits
    assert image.get_cmap().name == colours


def test_zero_is_nearly_white_in_both_scales() -> None:
    for matrix in (ARROW, -ARROW):
        image = plot_adjacency({"one": matrix}, timesteps=T).axes[0].images[0]
        assert min(image.to_rgba(np.zeros(1))[0][:3]) > 0.95


@pytest.mark.parametrize("number", [1, 4, 6])
def test_every_panel_has_a_colour_bar_and_nothing_leaves_the_figure(number: int) -> None:
    figure = plot_adjacency({f"k={k}": ARROW for k in range(number)}, timesteps=T, title="title")
    figure.draw_without_rendering()
    shown = [axes for axes in figure.axes if axes.axison]
    assert len([axes for axes in shown if axes.images]) == number
    assert len(shown) == 2 * number
    box, page = figure.get_tightbbox(), figure.bbox_inches
    assert page.x0 <= box.x0 <= box.x1 <= page.x1
    assert page.y0 <= box.y0 <= box.y1 <= page.y1


@pytest.mark.parametrize(
    ("matrices", "timesteps", "message"),
    [
        ({}, T, "matrices: there are none"),
        ({"learned": np.zeros((6, 5))}, T, r"'learned'.*\(6, 6\).*found \(6, 5\)"),
        ({"learned": np.zeros((5, 5))}, T, r"'learned'.*\(6, 6\).*found \(5, 5\)"),
        ({"learned": torch.zeros(1, 6, 6)}, T, r"'learned'.*found \(1, 6, 6\)"),
        ({"learned": np.full((6, 6), np.nan)}, T, r"'learned'.*\(0, 0\) is nan"),
        ({"learned": np.zeros((0, 0))}, 0, "timesteps.*found 0"),
    ],
)
def test_bad_matrices_are_named(matrices: dict[str, Any], timesteps: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_adjacency(matrices, timesteps=timesteps)
