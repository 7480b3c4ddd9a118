"""Line charts as vector graphics inside a page, in the colours of its theme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from matplotlib.ticker import MaxNLocator

_WIDTH, _HEIGHT = 480.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 10.0, 46.0
#: Colours of the theme, and shapes of markers. Lines that share a colour differ in their marker,
#: and the later ones are dashed.
_COLOURS, _MARKERS = 6, 6


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Args:
        name: in the legend.
        points: value by position; positions without a value are left out.
        band: ``(low, high)`` by position, shaded; may lack positions.
        reference: drawn in grey and dashed, as what the others are read with.
        place: of its look among those of its kind, so that charts beside each other agree; by
            default, its place in the chart. The look 0 is the one that stands out.
    """

    name: str
    points: Mapping[float, float]
    band: Mapping[float, tuple[float, float]] = field(default_factory=dict)
    reference: bool = False
    place: int | None = None


@dataclass(frozen=True)
class Mark:
    """A point of a line in the drawing: where it lies, and what it says when it is pointed at."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Line:
    """A line of the drawing: its look, its path, its shade (empty without) and its points."""

    name: str
    look: str
    marker: int
    path: str
    shade: str
    marks: list[Mark]


@dataclass(frozen=True)
class LineChart:
    """Lines over a number, or over names.

    Args:
        series: the lines; the first is drawn on top of all others.
        x_label: below the horizontal axis.
        y_label: name of the values.
        ticks: text by position; the positions of all points by default.
        title: above the chart.
        from_zero: whether the values' axis begins at 0.

    Raises:
        ValueError: if there is no point, or a value is not finite.

    Example:
        >>> chart = LineChart([Series("learned", {0.5: 0.8, 0.7: 0.6})], "tIoU", "R@1")
        >>> [mark.text for mark in chart.lines[0].marks]
        ['learned, tIoU 0.5: 0.8', 'learned, tIoU 0.7: 0.6']
    """

    series: Sequence[Series]
    x_label: str
    y_label: str
    ticks: Mapping[float, str] | None = None
    title: str = ""
    from_zero: bool = True
    kind: ClassVar[str] = "chart"
    width: ClassVar[float] = _WIDTH
    height: ClassVar[float] = _HEIGHT
    frame: ClassVar[tuple[float, ...]] = (_LEFT, _TOP, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM)

    def __post_init__(self) -> None:
        """Check that there is something to draw."""
        if not any(line.points for line in self.series):
            raise ValueError(f"chart {self.title or self.y_label!r}: there are no points")
        if not all(map(math.isfinite, self._values)):
            raise ValueError(f"chart {self.title or self.y_label!r}: a value is not finite")

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        """Place and text of the ticks below."""
        return [(self._x(at), text) for at, text in self._texts.items() if self._inside(at)]

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        """Place and text of the ticks beside."""
        low, high = self._range
        shown = (tick for tick in self._y_ticks() if low - 1e-12 <= tick <= high + 1e-12)
        return [(self._y(tick), f"{tick:.10g}") for tick in shown]

    @property
    def lines(self) -> list[Line]:
        """The lines as they are drawn, in the order of the legend."""
        lines, coloured, grey = [], 0, 0
        for series in self.series:
            number = grey if series.reference else coloured
            grey, coloured = grey + series.reference, coloured + (not series.reference)
            number = number if series.place is None else series.place
            look = "reference" if series.reference else f"colour{number % _COLOURS}"
            if number >= _COLOURS:
                look += " again"
            points = sorted(series.points.items())
            path = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in points)
            marks = [Mark(self._x(x), self._y(y), self._text(series, x, y)) for x, y in points]
            shade = self._shade(series)
            marker = (number + number // _COLOURS) % _MARKERS
            lines.append(Line(series.name, look, marker, path, shade, marks))
        return lines

    def _text(self, series: Series, x: float, y: float) -> str:
        band = series.band.get(x)
        interval = "" if band is None else f" [{band[0]:.3g}, {band[1]:.3g}]"
        return f"{series.name}, {self.x_label} {self._texts.get(x, f'{x:g}')}: {y:.3g}{interval}"

    def _shade(self, series: Series) -> str:
        ends = sorted((x, *series.band[x]) for x in series.points if x in series.band)
        above = [(x, top) for x, _, top in ends]
        below = [(x, bottom) for x, bottom, _ in reversed(ends)]
        return " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in above + below)

    @property
    def _positions(self) -> list[float]:
        return sorted({x for line in self.series for x in line.points})

    @property
    def _texts(self) -> Mapping[float, str]:
        if self.ticks is not None:
            return self.ticks
        positions = self._positions
        if len(positions) <= 10:
            return {x: f"{x:g}" for x in positions}
        chosen = MaxNLocator(8, integer=True).tick_values(positions[0], positions[-1])
        return {float(x): f"{x:g}" for x in chosen}

    @property
    def _range(self) -> tuple[float, float]:
        ticks = self._y_ticks()
        low = ticks[0] if min(self._values) < 0.0 or not self.from_zero else 0.0
        return low, ticks[-1]

    @property
    def _values(self) -> list[float]:
        """All values, with the ends of the bands."""
        lines = [value for line in self.series for value in line.points.values()]
        bands = [line.band[x] for line in self.series for x in line.points if x in line.band]
        return lines + [end for band in bands for end in band]

    def _y_ticks(self) -> list[float]:
        low, high = min(self._values), max(self._values)
        if self.from_zero:
            low, high = min(low, 0.0), max(high, 0.0)
        if low == high:
            high = low + 1.0
        locator = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
        return [float(tick) for tick in locator.tick_values(low, high)]

    def _inside(self, x: float) -> bool:
        return self._positions[0] <= x <= self._positions[-1]

    def _x(self, x: float) -> float:
        first, last = self._positions[0], self._positions[-1]
        left, _, right, _ = self.frame
        share = (x - first) / (last - first) if last > first else 0.5
        inset = 14.0 if self.ticks is None else 44.0  # room for names at both ends
        return left + inset + share * (right - left - 2 * inset)

    def _y(self, y: float) -> float:
        low, high = self._range
        _, top, _, bottom = self.frame
        return bottom - (y - low) / (high - low) * (bottom - top)
