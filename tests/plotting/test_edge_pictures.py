"""Tests of the pictures of the edges between query and proposal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gnnreloc.plotting import EdgeCase, plot_edges

STEP = np.zeros((4, 6))
STEP[0, 5] = 0.5  # the first query step receives from the last step after the moment


def case(title: str = "same speed", **fields: Any) -> EdgeCase:
    options: dict[str, Any] = {"query_duration": 2.0, "duration": 4.0, "surroundings": 1.0}
    return EdgeCase(title, **options | {"pictures": {"learned": STEP}} | fields)


def panels(figure: Figure) -> list[Axes]:
    """The panels with a picture, row by row."""
    return [axes for axes in figure.axes if axes.images]


def written(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_time_runs_in_seconds_from_the_start_of_the_moment() -> None:
    (axes,) = panels(plot_edges([case()]))
    assert axes.images[0].get_extent() == [-1.0, 5.0, 2.0, 0.0]
    assert (axes.get_xlim(), axes.get_ylim()) == ((-1.0, 5.0), (2.0, 0.0))
    borders = [list(line.get_xdata()) for line in axes.lines]
    assert borders == [[0.0, 0.0], [4.0, 4.0]]
    np.testing.assert_array_equal(axes.images[0].get_array(), STEP)
    assert axes.images[0].origin == "upper"


def test_a_column_for_each_pair_and_a_row_for_each_picture() -> None:
    cases = [
        case(name, pictures={kind: torch.full((3, 3), number) for kind in ("one", "two")})
        for name, number in (("left\nbelow", 0.25), ("right", 1.0))
    ]
    figure = plot_edges(cases, title="what is seen")
    assert figure.get_suptitle() == "what is seen"
    values = [float(axes.images[0].get_array()[0, 0]) for axes in panels(figure)]
    assert values == [0.25, 1.0, 0.25, 1.0]
    texts = written(figure)
    assert texts == ["left", "below", "right", "one", "moment", "moment", "two"]


@pytest.mark.parametrize(
    ("pictures", "limits", "colours"),
    [
        ([STEP, 2.0 * STEP], (0.0, 1.0), "Blues"),
        ([STEP, -2.0 * STEP], (-1.0, 1.0), "RdBu"),
        ([0.0 * STEP, 0.0 * STEP], (0.0, 1.0), "Blues"),
    ],
)
def test_a_row_has_one_scale(
    pictures: list[Any], limits: tuple[float, float], colours: str
) -> None:
    figure = plot_edges([case(pictures={"learned": picture}) for picture in pictures])
    for axes in panels(figure):
        assert axes.images[0].get_clim() == limits
        assert axes.images[0].get_cmap().name == colours


@pytest.mark.parametrize("number", [1, 3])
def test_nothing_leaves_the_figure_and_titles_do_not_meet(number: int) -> None:
    name = "very-long-name-of-a-class/" * 4
    pictures = {kind: STEP for kind in ("learned", "encoded", f"raw {name * 3}")}
    figure = plot_edges([case(f"{name}\n{name}", pictures=pictures)] * number, title="title")
    figure.draw_without_rendering()
    widths = [axes.get_position().width for axes in panels(figure)]
    assert max(widths) == pytest.approx(min(widths), rel=1e-3)
    page = figure.bbox
    boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts]
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 for box in boxes)
    assert all(page.y0 <= box.y0 and box.y1 <= page.y1 for box in boxes)
    first = [axes.texts[0].get_window_extent() for axes in figure.axes[:number]]
    assert all(left.x1 <= right.x0 for left, right in zip(first, first[1:], strict=False))
    assert {text[:20] for text in written(figure) if text.endswith("...")} == {
        name[:20],
        f"raw {name}"[:20],
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"query_duration": 0.0}, "'same speed': query_duration is 0.0"),
        ({"duration": float("nan")}, "duration is nan, wanted seconds > 0"),
        ({"surroundings": -1.0}, "surroundings is -1.0"),
        ({"pictures": {}}, "has no picture"),
        ({"pictures": {"learned": np.zeros(3)}}, r"'learned' has shape \(3,\)"),
        ({"pictures": {"learned": np.zeros((0, 3))}}, r"'learned' has shape \(0, 3\)"),
        ({"pictures": {"learned": np.full((2, 2), np.nan)}}, r"'learned': entry \(0, 0\) is nan"),
    ],
)
def test_a_bad_case_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        case(**fields)


def test_cases_must_be_there_and_alike() -> None:
    with pytest.raises(ValueError, match="cases: there are none"):
        plot_edges([])
    other = case("other", pictures={"raw": STEP})
    with pytest.raises(ValueError, match=r"'other': wanted the pictures \['learned'\].*\['raw'\]"):
        plot_edges([case(), other])
