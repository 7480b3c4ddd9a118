"""Tests of the timelines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from gnnreloc.plotting import TimelineCase, plot_timelines
from gnnreloc.plotting.style import BLUE, GREEN, VERMILLION

CASE = TimelineCase(
    title="good",
    query_label="jump",
    query_duration=5.0,
    duration=60.0,
    truth=torch.tensor([[10.0, 20.0], [40.0, 46.0]], dtype=torch.float64),
    prediction=torch.tensor([11.0, 21.0], dtype=torch.float64),
    score=0.75,
    overlap=9.0 / 11.0,
    proposals=torch.tensor([[0.0, 8.0], [12.0, 22.0], [30.0, 60.0]], dtype=torch.float64),
    proposal_scores=torch.tensor([0.1, 0.9, 0.5]),
)


def bars(axes: Axes, colour: str) -> list[tuple[float, float]]:
    """Start and end in seconds of the bars of a colour, candidates left out, in drawing order."""
    found = []
    for container in axes.containers[:-1]:
        for bar in container:
            assert isinstance(bar, Rectangle)
            if bar.get_facecolor() == Rectangle((0, 0), 1, 1, facecolor=colour).get_facecolor():
                found.append((bar.get_x(), bar.get_x() + bar.get_width()))
    return found


def candidates(axes: Axes) -> list[Rectangle]:
    """Bars of the container drawn last."""
    return list(axes.containers[-1])


def test_bars_lie_at_their_seconds() -> None:
    axes = plot_timelines([CASE]).axes[0]
    assert bars(axes, BLUE) == [(0.0, 5.0)]
    assert bars(axes, "0.88") == [(0.0, 60.0)]
    assert bars(axes, GREEN) == [(10.0, 20.0), (40.0, 46.0)]
    assert bars(axes, VERMILLION) == [(11.0, 21.0)]
    assert axes.get_xlim() == (0.0, 60.0)
    assert axes.get_xlabel() == "seconds"


def test_rows_run_from_query_to_candidates_without_overlap() -> None:
    axes = plot_timelines([CASE]).axes[0]
    labels = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert labels == ["query", "truth in reference", "prediction", "candidates"]
    assert axes.yaxis_inverted()
    query, reference, _, _, prediction, *_ = [bar for group in axes.containers for bar in group]
    rows = [query, reference, prediction, *candidates(axes)]
    for upper, lower in zip(rows, rows[1:], strict=False):
        assert upper.get_y() + upper.get_height() <= lower.get_y()


def test_tiou_is_written_at_the_prediction_and_the_length_at_the_query() -> None:
    axes = plot_timelines([CASE]).axes[0]
    query, prediction = axes.texts
    assert query.get_text() == "jump, 5.0 s"
    assert prediction.get_text() == "tIoU 0.82, score 0.750"
    assert 21.0 < prediction.get_position()[0] < 23.0


@pytest.mark.parametrize(
    ("prediction", "alignment"),
    [([1.0, 2.0], "left"), ([50.0, 60.0], "right"), ([2.0, 58.0], "center")],
)
def test_text_keeps_inside_the_panel(prediction: list[float], alignment: str) -> None:
    figure = plot_timelines([replace(CASE, prediction=np.array(prediction), query_label="x" * 99)])
    axes = figure.axes[0]
    figure.draw_without_rendering()
    assert axes.texts[1].get_ha() == alignment
    panel = axes.get_window_extent()
    for text in axes.texts:
        box = text.get_window_extent()
        assert panel.x0 <= box.x0 <= box.x1 <= panel.x1


def test_candidates_are_stacked_best_first_and_darker_for_a_higher_score() -> None:
    drawn = candidates(plot_timelines([CASE]).axes[0])
    assert [(bar.get_x(), bar.get_width()) for bar in drawn] == [(12, 10), (30, 30), (0, 8)]
    tones = [bar.get_facecolor()[0] for bar in drawn]
    assert tones[0] < tones[1] < tones[2]


def test_at_most_forty_candidates_are_drawn() -> None:
    generator = torch.Generator().manual_seed(0)
    starts = 50.0 * torch.rand(60, generator=generator, dtype=torch.float64)
    scores = torch.randn(60, generator=generator)
    case = replace(CASE, proposals=torch.stack([starts, starts + 4], 1), proposal_scores=scores)
    axes = plot_timelines([case]).axes[0]
    best = starts[scores.argsort(descending=True)][:40]
    assert [bar.get_x() for bar in candidates(axes)] == best.tolist()
    assert axes.get_yticklabels()[-1].get_text() == "best 40 of\n60 candidates"


def test_equal_scores_and_no_candidates_can_be_drawn() -> None:
    equal = replace(CASE, proposal_scores=torch.ones(3))
    none = replace(CASE, proposals=torch.zeros(0, 2), proposal_scores=torch.zeros(0))
    figure = plot_timelines([equal, none])
    figure.draw_without_rendering()
    assert len(figure.axes) == 3  # two cases and the one colour bar


def test_cases_are_drawn_in_order_within_the_figure() -> None:
    bad = replace(CASE, title="bad $x$", query_duration=90.0, overlap=0.0)
    figure = plot_timelines([CASE, bad], title="cases")
    figure.draw_without_rendering()
    panels = [axes for axes in figure.axes if axes.containers]
    assert [axes.get_title(loc="left") for axes in panels] == ["good", "bad $x$"]
    assert panels[0].get_position().y0 > panels[1].get_position().y1
    assert panels[1].get_xlim() == (0.0, 90.0)
    box, page = figure.get_tightbbox(), figure.bbox_inches
    assert page.x0 <= box.x0 <= box.x1 <= page.x1
    assert page.y0 <= box.y0 <= box.y1 <= page.y1


def test_no_cases_is_an_error() -> None:
    with pytest.raises(ValueError, match="cases: there are none"):
        plot_timelines([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duration": 0.0}, "duration is 0.0"),
        ({"query_duration": float("nan")}, "query_duration is nan"),
        ({"overlap": 1.2}, "overlap is 1.2"),
        ({"score": float("inf")}, "score is inf"),
        ({"truth": torch.zeros(2)}, r"truth has shape \(2,\)"),
        ({"truth": torch.tensor([[3.0, 1.0]])}, r"truth.*ends \(1 s\) before it starts \(3 s\)"),
        ({"prediction": torch.zeros(1, 2)}, r"prediction has shape \(1, 2\), wanted \[2\]"),
        ({"proposals": torch.zeros(3, 3)}, r"proposals has shape \(3, 3\)"),
        ({"proposals": torch.full((3, 2), float("nan"))}, r"proposals: entry \(0, 0\) is nan"),
        ({"proposal_scores": torch.zeros(2)}, r"proposal_scores has shape \(2,\), wanted \(3,\)"),
        ({"proposal_scores": torch.tensor([0.0, np.nan, 1.0])}, r"proposal_scores: entry \(1,\)"),
    ],
)
def test_bad_cases_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"case 'good': {message}"):
        replace(CASE, **change)
