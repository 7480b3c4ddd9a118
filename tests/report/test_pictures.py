"""Matrices and timelines of a page: what they hand to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gnnreloc.plotting import TimelineCase
from gnnreloc.report import Matrices, Matrix, Timeline


def case(**changes) -> TimelineCase:
    scores = torch.linspace(1.0, 0.0, 50)
    starts = torch.arange(50.0)
    values = {
        **{"title": "a", "query_label": "jump", "query_duration": 5.0, "duration": 100.0},
        **{"truth": torch.tensor([[10.0, 20.0], [40.0, 45.0]]), "score": 0.5, "overlap": 0.25},
        **{"prediction": torch.tensor([12.0, 18.0]), "proposal_scores": scores},
        "proposals": torch.stack([starts, starts + 10.0], dim=1),
    }
    return TimelineCase(**(values | changes))


def test_matrices_hand_on_values_times_and_blocks():
    values = np.arange(25.0).reshape(5, 5) / 3
    part = Matrices("pair", [Matrix("learned", values)], [0.5, 1.5], [10.0, 11.0, 12.0])
    [data] = part.data
    assert data["title"] == "learned" and data["queries"] == 2
    assert data["times"] == [0.5, 1.5, 10.0, 11.0, 12.0]
    assert data["values"] == [[float(f"{v:.3g}") for v in row] for row in values]
    assert data["names"] == ["query", "proposal"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 5)), r"learned: wanted \(5, 5\), found \(4, 5\)"),
        (np.zeros(5), "learned: wanted a matrix"),
        (np.full((5, 5), np.nan), "learned: entry .* is nan"),
    ],
)
def test_bad_matrices_are_told(values, message):
    with pytest.raises(ValueError, match=message):
        Matrices("pair", [Matrix("learned", values)], [0.5, 1.5], [10.0, 11.0, 12.0])


def test_bars_are_shares_of_the_video():
    rows = Timeline(case()).rows
    assert [(bar.left, bar.width) for bar in rows["truth"]] == [(10.0, 10.0), (40.0, 5.0)]
    [prediction] = rows["prediction"]
    assert (prediction.left, prediction.width) == (12.0, 6.0)
    assert prediction.text == "prediction, tIoU 0.25, score 0.5: 12.00 to 18.00 s"
    assert [(bar.left, bar.width) for bar in rows["query"]] == [(0.0, 5.0)]


def test_the_best_candidates_come_first_and_strongest():
    bars = Timeline(case(proposal_scores=torch.linspace(0.0, 1.0, 50))).candidates
    assert len(bars) == 40
    assert [bar.left for bar in bars[:2]] == [49.0, 48.0]
    shades = [bar.shade for bar in bars]
    assert shades[0] == 1.0 and shades == sorted(shades, reverse=True)
    assert bars[0].text.startswith("candidate 1, score 1:")


def test_a_case_without_candidates_and_a_long_query():
    empty = {"proposals": torch.zeros(0, 2), "proposal_scores": torch.zeros(0)}
    line = Timeline(case(**empty, query_duration=200.0))
    assert line.candidates == []
    assert [(bar.left, bar.width) for bar in line.rows["truth"]][0] == (5.0, 5.0)


@pytest.mark.parametrize("duration", [0.004, 0.7, 1.0, 59.0, 7200.0, 1e7])
def test_ticks_are_few_and_inside(duration):
    moment = torch.tensor([0.0, duration])
    whole = {"truth": moment[None], "prediction": moment, "query_duration": duration}
    ticks = Timeline(case(duration=duration, **whole)).ticks
    assert 1 <= len(ticks) <= 7
    assert all(0.0 <= place <= 100.0 + 1e-9 for place, _ in ticks)
