"""Ranked moments on a timeline: bars, labels, bounds."""

from __future__ import annotations

import pytest

from gnnreloc.plotting import plot_found_moments


def bars(figure):  # type: ignore[no-untyped-def]
    return [
        (bar.get_x(), bar.get_x() + bar.get_width(), bar.get_y() + bar.get_height() / 2)
        for bar in figure.axes[0].containers
        for bar in bar
    ]


def test_each_moment_has_a_row_below_the_query() -> None:
    figure = plot_found_moments(
        [(70.0, 80.0, 0.9), (100.0, 104.0, 0.25)],
        60.0,
        start=60.0,
        query="kick.mp4",
        query_duration=5.0,
        title="match $1$",
    )
    axes = figure.axes[0]
    assert bars(figure) == [(60, 65, 0), (70, 80, 1), (100, 104, 2)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["query", "1", "2"]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["kick.mp4, 5.0 s", "70.0-80.0 s, score 0.9", "100.0-104.0 s, score 0.25"]
    assert axes.get_xlim() == (60, 120)
    figure.canvas.draw()
    # Nothing is written beyond the frame, whichever end a moment is near to.
    frame = axes.get_window_extent()
    for text in axes.texts:
        place = text.get_window_extent()
        assert frame.x0 <= place.x0 and place.x1 <= frame.x1


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="found 0 moments"):
        plot_found_moments([], 60.0)
    with pytest.raises(ValueError, match="found 1 moments in 0"):
        plot_found_moments([(0.0, 1.0, 0.5)], 0.0)
