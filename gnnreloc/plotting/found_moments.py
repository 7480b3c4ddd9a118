"""Ranked moments on the timeline of their video."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from gnnreloc.plotting.style import (
    BLUE,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    VERMILLION,
    clean_axes,
    new_figure,
)

_ROW = 0.34  # inches
_HEIGHT = 0.62


def plot_found_moments(
    moments: Sequence[tuple[float, float, float]],
    duration: float,
    *,
    start: float = 0.0,
    query: str = "query",
    query_duration: float | None = None,
    title: str | None = None,
) -> Figure:
    """Moments from best to worst, one row each, over the whole of the video.

    Args:
        moments: start (s), end (s) and score of each, best first.
        duration: length of the video in seconds.
        start: seconds at which the axis begins, for a part of a video.
        query: name of the query, written beside a bar of its length.
        query_duration: length of the query in seconds; no bar without it.
        title: written above.

    Raises:
        ValueError: if there are no moments, or the video has no length.

    Example:
        >>> figure = plot_found_moments([(12.0, 17.5, 0.8), (40.0, 44.0, 0.5)], 60.0)
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['12.0-17.5 s, score 0.8', '40.0-44.0 s, score 0.5']
    """
    if not moments or not duration > 0:
        raise ValueError(f"found {len(moments)} moments in {duration} s, wanted one in a video")
    rows = len(moments) + (query_duration is not None)
    figure = new_figure(9.0, 0.95 + _ROW * rows + (0.3 if title else 0.0))
    axes = figure.subplots()
    clean_axes(axes)
    axes.spines["left"].set_visible(False)
    if title:
        axes.set_title(title, loc="left", fontsize=TEXT_SIZE, fontweight="bold", parse_math=False)
    axes.set_xlim(start, start + duration)
    axes.set_ylim(rows - 0.4, -0.6)
    labels = [str(place + 1) for place in range(len(moments))]
    bars = [
        (begin, end, f"{begin:.1f}-{end:.1f} s, score {score:.3g}") for begin, end, score in moments
    ]
    colors = [VERMILLION, *["0.45"] * (len(moments) - 1)]
    if query_duration is not None:
        labels.insert(0, "query")
        bars.insert(0, (start, start + query_duration, f"{query}, {query_duration:.1f} s"))
        colors.insert(0, BLUE)
    for row, ((begin, end, text), color) in enumerate(zip(bars, colors, strict=True)):
        axes.axhspan(row - _HEIGHT / 2, row + _HEIGHT / 2, color="0.95", lw=0)
        axes.barh(row, end - begin, left=begin, height=_HEIGHT, color=color)
        right = begin - start <= 0.6 * duration
        axes.annotate(
            text,
            (min(end, start + duration) if right else begin, row),
            xytext=(5 if right else -5, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=SMALL_TEXT_SIZE,
            parse_math=False,
        )
    axes.set_yticks(range(rows), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("seconds", fontsize=TEXT_SIZE)
    return figure
