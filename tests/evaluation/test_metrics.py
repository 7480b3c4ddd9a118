"""tIoU against exact fractions, recall and its summary against counting by hand."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnreloc.data.overlap import best_overlap
from gnnreloc.errors import InputError
from gnnreloc.evaluation.metrics import MEAN_THRESHOLDS, THRESHOLDS, recall_at_k, summarize


def test_recall_is_strict_and_looks_at_k_predictions() -> None:
    ranked = [torch.tensor([0.5, 0.75, 1.0]), torch.tensor([0.25]), torch.tensor([]), torch.ones(9)]
    assert recall_at_k(ranked, 1, 0.5) == 1 / 4
    assert recall_at_k(ranked, 1, 0.49) == 2 / 4
    assert recall_at_k(ranked, 2, 0.5) == 2 / 4
    assert recall_at_k(ranked, 2, 0.75) == 1 / 4
    assert recall_at_k(ranked, 3, 0.75) == 2 / 4
    assert recall_at_k(ranked, 100, 0.2) == 3 / 4
    assert recall_at_k(ranked, 100, 1.0) == 0.0


overlap_lists = st.lists(
    st.lists(st.one_of(st.floats(0.0, 1.0), st.sampled_from(THRESHOLDS)), max_size=8),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(overlap_lists)
def test_summary_agrees_with_counting(pairs: list[list[float]]) -> None:
    summary = summarize([torch.tensor(pair, dtype=torch.float64) for pair in pairs])
    for key, k in (("r1", 1), ("r5", 5)):
        hits = {
            level: sum(any(overlap > level for overlap in pair[:k]) for pair in pairs)
            for level in THRESHOLDS
        }
        assert summary[key] == {str(level): hits[level] / len(pairs) for level in THRESHOLDS}
        if k == 1:
            mean = sum(hits[level] for level in MEAN_THRESHOLDS) / len(pairs) / 5
            assert summary["r1_mean"] == pytest.approx(mean)
    assert summary["miou"] == pytest.approx(math.fsum((p or [0.0])[0] for p in pairs) / len(pairs))


def test_summary_survives_json() -> None:
    summary = summarize([torch.tensor([0.8]), torch.tensor([0.1, 0.96])])
    assert json.loads(json.dumps(summary)) == summary
    assert list(summary["r1"]) == ["0.5", "0.6", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95"]


def test_uniform_cut_points_hit_a_uniform_moment_as_often_as_geometry_says() -> None:
    # Prediction and whole video [0, 1]: tIoU is the length of the prediction, |u - v| of two
    # uniform cut points, and P(|u - v| > t) = (1 - t)^2.
    cuts = torch.rand(200_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    overlaps = best_overlap(cuts.sort(dim=1).values, torch.tensor([[0.0, 1.0]]))
    for level in (0.5, 0.7, 0.9):
        assert (overlaps > level).double().mean().item() == pytest.approx(
            (1.0 - level) ** 2, abs=0.004
        )


@pytest.mark.parametrize(
    ("ranked", "k", "culprit"),
    [
        ([], 1, "no pair"),
        ([torch.zeros(2)], 0, "k: 0"),
        ([torch.zeros(2), torch.zeros(1, 2)], 1, "pair 1"),
        ([torch.zeros(2), torch.tensor([float("nan")])], 1, "pair 1: tIoU nan"),
        ([torch.tensor([1.5])], 1, "pair 0: tIoU 1.5"),
    ],
)
def test_bad_overlaps_name_the_culprit(ranked: list[Tensor], k: int, culprit: str) -> None:
    with pytest.raises(InputError, match=culprit):
        recall_at_k(ranked, k, 0.5)
