"""Losses against numbers worked by hand and against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data

from gnnreloc.models import PairScores
from gnnreloc.models.cross_gated_bilinear import StepLabels
from gnnreloc.training import compute_losses, ranking_loss, regression_loss, triplet_loss
from gnnreloc.training.losses import labels_loss

NAN = math.nan


def test_ranking_by_hand() -> None:
    overlap = torch.tensor([1.0, 0.0])
    pair = torch.tensor([4, 4])
    # With temperature 1 / log 3 the target is (3/4, 1/4); scores (log 4, 0) say (4/5, 1/5).
    loss = ranking_loss(torch.tensor([math.log(4.0), 0.0]), overlap, pair, 1.0 / math.log(3.0))
    assert loss.item() == pytest.approx(-0.75 * math.log(0.8) - 0.25 * math.log(0.2))


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    temperature=st.floats(0.05, 2.0),
    seed=st.integers(0, 1000),
)
def test_ranking_against_numpy(lengths: list[int], temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = [rng.normal(scale=3.0, size=n) for n in lengths]
    overlaps = [rng.uniform(size=n) for n in lengths]
    expected = 0.0
    for score, overlap in zip(scores, overlaps, strict=True):
        target = np.exp(overlap / temperature) / np.exp(overlap / temperature).sum()
        expected -= (target * np.log(np.exp(score) / np.exp(score).sum())).sum() / len(lengths)
    # Numbers of neighbouring lists differ, that is all.
    pair = torch.repeat_interleave(torch.arange(len(lengths)) % 2, torch.tensor(lengths))
    flat = (torch.from_numpy(np.concatenate(values)) for values in (scores, overlaps))
    loss = ranking_loss(*flat, pair, temperature)
    assert loss.item() == pytest.approx(expected, abs=1e-9)


def test_ranking_is_least_where_scores_are_the_target() -> None:
    overlap = torch.tensor([0.9, 0.1, 0.4, 0.6, 0.2])
    pair = torch.tensor([0, 0, 0, 1, 1])
    scores = (overlap / 0.2).requires_grad_()
    ranking_loss(scores, overlap, pair, 0.2).backward()
    assert scores.grad is not None
    assert torch.allclose(scores.grad, torch.zeros(5), atol=1e-6)


def test_ranking_still_pulls_where_the_model_is_sure_and_wrong() -> None:
    scores = torch.tensor([-200.0, 200.0], requires_grad=True)
    loss = ranking_loss(scores, torch.tensor([1.0, 0.0]), torch.tensor([0, 0]), 0.01)
    loss.backward()
    assert loss.item() == pytest.approx(400.0)
    assert scores.grad is not None and scores.grad.tolist() == pytest.approx([-1.0, 1.0])


def test_ranking_gradient() -> None:
    torch.manual_seed(0)
    scores = torch.randn(5, dtype=torch.float64, requires_grad=True)
    overlap, pair = torch.rand(5, dtype=torch.float64), torch.tensor([0, 0, 1, 1, 1])
    assert torch.autograd.gradcheck(lambda s: ranking_loss(s, overlap, pair, 0.3), (scores,))


def test_triplet_by_hand() -> None:
    scores = torch.tensor([0.9, 0.1, 0.2, 0.4, 0.3, 0.0])
    # 0.5 - 0.9 + 0.1 < 0; 0.5 - 0.2 + 0.4 = 0.7; 0.5 - 0.3 + 0 = 0.2: a sum, as in the paper.
    assert triplet_loss(scores).item() == pytest.approx(0.9)
    assert triplet_loss(scores, margin=1.0).item() == pytest.approx(0.2 + 1.2 + 0.7)


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=20))
def test_triplet_against_a_loop(pairs: list[tuple[float, float]]) -> None:
    expected = math.fsum(max(0.0, 0.5 - positive + negative) for positive, negative in pairs)
    scores = torch.tensor(pairs, dtype=torch.float64).flatten()
    assert triplet_loss(scores).item() == pytest.approx(expected, abs=1e-12)


SEGMENT = torch.tensor([[2.0, 6.0], [0.0, 8.0], [1.0, 3.0], [4.0, 5.0]], dtype=torch.float64)
TARGET = torch.tensor([[1.0, 5.0], [2.0, 6.0], [9.0, 12.0], [NAN, NAN]], dtype=torch.float64)
OVERLAP = torch.tensor([0.6, 0.5, 0.0, 0.0])


def regression(offsets: Tensor, *, positive_overlap: float = 0.5, beta: float = 0.0) -> Tensor:
    return regression_loss(
        offsets, SEGMENT, TARGET, OVERLAP, positive_overlap=positive_overlap, beta=beta
    )


def test_regression_by_hand() -> None:
    # True offsets: ((4 - 3) / 4, 0) and (0, log 2); the other two are no positives.
    offsets = torch.zeros(4, 2)
    assert regression(offsets).item() == pytest.approx((0.25 + math.log(2)) / 2)
    # The first is positive alone: smooth L1 is 0.25^2 / (2 * 0.5) below beta, d - beta / 2 above.
    assert regression(offsets, positive_overlap=0.6, beta=0.5).item() == pytest.approx(0.0625)
    assert regression(offsets, positive_overlap=0.6, beta=0.1).item() == pytest.approx(0.2)
    exact = torch.tensor([[0.25, 0.0], [0.0, math.log(2)], [7.0, 7.0], [7.0, 7.0]])
    assert regression(exact).item() == pytest.approx(0.0, abs=1e-6)


def test_regression_trains_positives_alone() -> None:
    offsets = torch.zeros(4, 2, requires_grad=True)
    regression(offsets).backward()
    # The slope of |T - T*| is the sign, shared out over two positives.
    assert offsets.grad is not None
    assert offsets.grad.tolist() == [[-0.5, 0.0], [0.0, -0.5], [0.0, 0.0], [0.0, 0.0]]


def test_regression_without_a_positive() -> None:
    offsets = torch.ones(4, 2, requires_grad=True)
    loss = regression(offsets, positive_overlap=0.7)
    loss.backward()
    assert loss.item() == 0.0
    assert offsets.grad is not None and not offsets.grad.any()


def test_an_unknown_target_never_counts() -> None:
    assert regression(torch.zeros(4, 2), positive_overlap=0.0).isfinite()


def test_compute_losses_hands_each_loss_its_part() -> None:
    torch.manual_seed(0)
    out = PairScores(torch.randn(4), torch.randn(4, 2), torch.tensor(0.3), None)
    pair = torch.tensor([0, 0, 1, 1])
    batch = Data(segment=SEGMENT, target=TARGET, overlap=OVERLAP, pair=pair)
    options = {"margin": 0.4, "target_temperature": 0.3, "positive_overlap": 0.55, "beta": 0.2}
    losses = compute_losses(["triplet", "sparsity", "regression", "ranking"], out, batch, **options)
    assert list(losses) == ["triplet", "sparsity", "regression", "ranking"]
    assert losses["sparsity"].item() == pytest.approx(0.3)
    assert torch.equal(losses["triplet"], triplet_loss(out.scores, 0.4))
    assert torch.equal(losses["ranking"], ranking_loss(out.scores, OVERLAP, pair, 0.3))
    expected = regression(out.offsets, positive_overlap=0.55, beta=0.2)
    assert torch.equal(losses["regression"], expected)
    assert list(compute_losses(["triplet"], out, batch)) == ["triplet"]


def test_labels_by_hand() -> None:
    probs = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.2, 0.5, 0.2, 0.1], [0.1, 0.1, 0.4, 0.4]])
    labels = torch.tensor([0, 1, 3])
    # Start and end weigh 10 each, outside 1.
    expected = -(10 * math.log(0.7) + 10 * math.log(0.5) + math.log(0.4)) / 21
    assert labels_loss(probs.log(), labels).item() == pytest.approx(expected)
    plain = -(math.log(0.7) + math.log(0.5) + math.log(0.4)) / 3
    assert labels_loss(probs.log(), labels, boundary_weight=1.0).item() == pytest.approx(plain)


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(1, 20), weight=st.floats(0.5, 20.0), seed=st.integers(0, 1000))
def test_labels_against_numpy(steps: int, weight: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(scale=3.0, size=(steps, 4)), rng.integers(4, size=steps)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    weights = np.where(labels < 2, weight, 1.0)
    expected = -(weights * log_probs[np.arange(steps), labels]).sum() / weights.sum()
    loss = labels_loss(torch.from_numpy(logits), torch.from_numpy(labels), weight)
    assert loss.item() == pytest.approx(expected)


def test_labels_of_a_sequence_labeller() -> None:
    logits, labels = torch.randn(5, 4), torch.tensor([3, 0, 2, 1, 3])
    out = StepLabels(logits, torch.tensor([5]))
    losses = compute_losses(["labels"], out, Data(labels=labels))
    assert list(losses) == ["labels"]
    assert torch.equal(losses["labels"], labels_loss(logits, labels))
