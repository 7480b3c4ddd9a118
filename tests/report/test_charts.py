"""Line charts: places of points, shades and ticks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnnreloc.report import LineChart, Series

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
POINTS = st.dictionaries(NUMBERS, NUMBERS, min_size=1, max_size=12)


@given(lines=st.lists(POINTS, min_size=1, max_size=4), from_zero=st.booleans())
def test_all_points_and_ticks_lie_in_the_frame(lines, from_zero):
    series = [Series(str(number), points) for number, points in enumerate(lines)]
    chart = LineChart(series, "x", "y", from_zero=from_zero)
    left, top, right, bottom = chart.frame
    places = [(mark.x, mark.y) for line in chart.lines for mark in line.marks]
    assert len(places) == sum(map(len, lines))
    assert all(left <= x <= right and top - 0.01 <= y <= bottom + 0.01 for x, y in places)
    assert all(left <= x <= right for x, _ in chart.x_ticks)
    assert all(top - 0.01 <= y <= bottom + 0.01 for y, _ in chart.y_ticks)
    assert len(chart.y_ticks) >= 2


def test_greater_values_lie_higher_and_later_ones_to_the_right():
    [line] = LineChart([Series("a", {0.7: 0.4, 0.5: 0.8})], "tIoU", "R@1").lines
    first, second = line.marks
    assert first.x < second.x and first.y < second.y
    assert line.path == f"{first.x:.1f},{first.y:.1f} {second.x:.1f},{second.y:.1f}"


def test_a_value_lies_between_the_ticks_around_it():
    chart = LineChart([Series("a", {1.0: 0.55})], "x", "y")
    places = {float(text): y for y, text in chart.y_ticks}
    at = chart.lines[0].marks[0].y
    below, above = max(v for v in places if v <= 0.55), min(v for v in places if v >= 0.55)
    share = (0.55 - below) / (above - below)
    assert at == pytest.approx(places[below] + share * (places[above] - places[below]))


def test_shade_runs_along_the_tops_and_back_along_the_bottoms():
    band = {0.0: (0.2, 0.6), 1.0: (0.3, 0.5), 2.0: (9.0, 9.0)}
    series = Series("a", {0.0: 0.4, 1.0: 0.4}, band)
    [line] = LineChart([series], "x", "y").lines
    corners = [tuple(map(float, corner.split(","))) for corner in line.shade.split()]
    (a, top), (b, lower_top), (c, bottom), (d, lower_bottom) = corners
    assert a == d < b == c
    assert top <= lower_top < line.marks[0].y < bottom < lower_bottom
    assert line.marks[0].text == "a, x 0: 0.4 [0.2, 0.6]"
    assert LineChart([Series("a", {0.0: 0.4})], "x", "y").lines[0].shade == ""


def test_lines_of_a_kind_differ_in_their_look():
    series = [Series(f"own {i}", {0.0: 1.0}) for i in range(20)]
    series += [Series(f"reference {i}", {0.0: 1.0}, reference=True) for i in range(6)]
    lines = LineChart(series, "x", "y").lines
    assert len({(line.look, line.marker) for line in lines}) == 26
    assert {line.look for line in lines[20:]} == {"reference"}
    assert [line.look.endswith("again") for line in lines[:20]] == [False] * 6 + [True] * 14


def test_a_line_keeps_its_look_in_another_chart():
    [a, b, c] = LineChart([Series(name, {0.0: 1.0}) for name in "abc"], "x", "y").lines
    [alone] = LineChart([Series("c", {0.0: 2.0}, place=2)], "x", "y").lines
    assert (alone.look, alone.marker) == (c.look, c.marker) != (a.look, a.marker)


def test_names_below():
    chart = LineChart([Series("a", {0.0: 1.0, 1.0: 2.0})], "slice", "y", {0.0: "few", 1.0: "many"})
    assert [text for _, text in chart.x_ticks] == ["few", "many"]
    assert chart.lines[0].marks[1].text == "a, slice many: 2"


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([], "there are no points"),
        ([Series("a", {})], "there are no points"),
        ([Series("a", {0.0: float("nan")})], "a value is not finite"),
    ],
)
def test_nothing_to_draw_is_told(series, message):
    with pytest.raises(ValueError, match=f"'losses': {message}"):
        LineChart(series, "x", "y", title="losses")
