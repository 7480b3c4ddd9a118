"""Frame-level cosine alignment."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gnnreloc.data import Features
from gnnreloc.errors import InputError
from gnnreloc.models import TrainingFree


def test_by_hand() -> None:
    query = Features(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), step=1.0)
    reference = Features(torch.tensor([[3.0, 0.0], [0.0, 2.0], [5.0, 5.0], [0.0, 0.0]]), step=1.0)
    proposals = torch.tensor([[1.0, 3.0], [0.0, 2.0], [2.0, 4.0]], dtype=torch.float64)
    moments = TrainingFree(timesteps=2).localize(query, reference, proposals)
    # [0, 2] is the query, rescaled; the steps of [1, 3] have the cosines 0 and 1/sqrt(2), those of
    # [2, 4] 1/sqrt(2) and, with a row of zeros, 0.
    assert moments.segments.tolist() == [[0.0, 2.0], [1.0, 3.0], [2.0, 4.0]]
    assert moments.scores.tolist() == pytest.approx([1.0, math.sqrt(0.125), math.sqrt(0.125)])


def test_clips_of_two_widths() -> None:
    query, reference = (Features(torch.ones(4, width), step=1.0) for width in (3, 5))
    proposals = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    with pytest.raises(InputError, match="query has 3 feature channels, the reference 5"):
        TrainingFree().localize(query, reference, proposals)


def test_against_numpy() -> None:
    rng = np.random.default_rng(0)
    query_values = rng.normal(size=(7, 5)).astype(np.float32)
    values = rng.normal(size=(30, 5)).astype(np.float32)
    proposals = np.sort(rng.uniform(0.0, 15.0, size=(6, 2)), axis=1)
    moments = TrainingFree(timesteps=4).localize(
        Features(torch.from_numpy(query_values), step=0.5),
        Features(torch.from_numpy(values), step=0.5),
        torch.from_numpy(proposals),
    )

    def clip(rows: np.ndarray, start: float, end: float) -> np.ndarray:
        at = start + (np.arange(4) + 0.5) * (end - start) / 4
        centres = (np.arange(len(rows)) + 0.5) * 0.5
        return np.stack([np.interp(at, centres, column) for column in rows.T], axis=1)

    asked = clip(query_values, 0.0, 3.5)
    scores = []
    for start, end in proposals:
        found = clip(values, start, end)
        lengths = np.linalg.norm(asked, axis=1) * np.linalg.norm(found, axis=1)
        scores.append(float(((asked * found).sum(axis=1) / lengths).mean()))
    order = np.argsort(scores)[::-1]
    assert moments.scores.numpy() == pytest.approx(np.array(scores)[order], abs=1e-5)
    assert np.array_equal(moments.segments.numpy(), proposals[order])


def test_gain_of_a_video_does_not_matter() -> None:
    torch.manual_seed(0)
    query, values = torch.randn(6, 3), torch.randn(20, 3)
    proposals = torch.tensor([[0.0, 5.0], [2.0, 9.0], [12.0, 20.0]], dtype=torch.float64)
    system = TrainingFree(timesteps=8)
    quiet = system.localize(Features(query, step=1.0), Features(values, step=1.0), proposals)
    loud = system.localize(Features(9 * query, step=1.0), Features(4 * values, step=1.0), proposals)
    assert torch.allclose(quiet.scores, loud.scores, atol=1e-6)


def test_order_in_time_matters() -> None:
    torch.manual_seed(0)
    action = torch.randn(8, 4)
    reference = Features(torch.cat([action.flip(0), action]), step=1.0)
    proposals = torch.tensor([[0.0, 8.0], [8.0, 16.0]], dtype=torch.float64)
    moments = TrainingFree(timesteps=8).localize(Features(action, step=1.0), reference, proposals)
    assert moments.segments[0].tolist() == [8.0, 16.0]
    assert moments.scores[0].item() == pytest.approx(1.0, abs=1e-6)
    assert moments.scores[1] < 0.9


def test_bad_input() -> None:
    clip = Features(torch.ones(4, 2), step=1.0)
    with pytest.raises(InputError, match="no proposals"):
        TrainingFree().localize(clip, clip)
    with pytest.raises(ValueError, match="timesteps: at least 1 is needed, got 0"):
        TrainingFree(timesteps=0)
