"""The rule from scores to weights, worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from gnnreloc.nn.adjacency_rows import DenseRows
from gnnreloc.nn.edge_weighting import Weighting, check_weighting, inverse_root, weigh

SCORE = torch.tensor([[0.6, -0.2, 0.8], [-1.0, 0.0, 0.5], [0.0, 0.0, 0.0]], dtype=torch.float64)
ROWS = DenseRows(bipartite=False)
EYE = torch.eye(3, dtype=torch.bool)


def matrix(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_activations() -> None:
    assert torch.equal(weigh(SCORE, ROWS, Weighting()), SCORE)
    expected = matrix([0.6, 0.0, 0.8], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0])
    assert torch.equal(weigh(SCORE, ROWS, Weighting(activation="relu")), expected)
    expected = matrix([0.8, 0.4, 0.9], [0.0, 0.5, 0.75], [0.5, 0.5, 0.5])
    assert torch.allclose(weigh(SCORE, ROWS, Weighting(activation="shift")), expected)


def test_normalizations() -> None:
    expected = matrix([0.375, -0.125, 0.5], [-2 / 3, 0.0, 1 / 3], [0.0, 0.0, 0.0])
    assert torch.allclose(weigh(SCORE, ROWS, Weighting(normalization="row")), expected)
    # Degrees 1.6, 1.5 and 0: nothing reaches the last node and nothing leaves it.
    mixed = math.sqrt(1.6 * 1.5)
    expected = matrix([0.375, -0.2 / mixed, 0.0], [-1.0 / mixed, 0.0, 0.0], [0.0, 0.0, 0.0])
    assert torch.allclose(weigh(SCORE, ROWS, Weighting(normalization="sym")), expected)


def test_selection() -> None:
    expected = matrix([0.6, 0.0, 0.8], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0])
    assert torch.equal(weigh(SCORE, ROWS, Weighting(top_k=2)), expected)
    assert torch.equal(weigh(SCORE, ROWS, Weighting(threshold=0.1)), expected)
    expected = matrix([0.0, 0.0, 0.8], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0])
    assert torch.equal(weigh(SCORE, ROWS, Weighting(top_k=1, threshold=0.1)), expected)
    # The largest of the entries that are allowed, not the allowed ones of the largest.
    allowed = torch.tensor([[True, True, False]]).expand(3, 3)
    expected = matrix([0.6, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    assert torch.equal(weigh(SCORE, ROWS, Weighting(top_k=1), allowed), expected)


def test_self_loops_come_before_normalization() -> None:
    weight = weigh(SCORE, ROWS, Weighting(top_k=1, threshold=0.1, normalization="row"), loops=EYE)
    expected = matrix([1 / 1.8, 0.0, 0.8 / 1.8], [0.0, 1 / 1.5, 0.5 / 1.5], [0.0, 0.0, 1.0])
    assert torch.allclose(weight, expected)


def test_softmax_selects_before_it_normalizes() -> None:
    score = matrix([1.0, 2.0, 6.0], [1.0, 3.0, 3.0], [4.0, 1.0, 1.0]).log()
    weight = weigh(score, ROWS, Weighting(activation="softmax", top_k=1))
    expected = matrix([0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0])
    assert torch.allclose(weight, expected)

    weight = weigh(score, ROWS, Weighting(activation="softmax", threshold=math.log(1.5)))
    expected = matrix([0.0, 0.25, 0.75], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0])
    assert torch.allclose(weight, expected)

    # The diagonal joins the row with its own score, whatever the selection says.
    weight = weigh(score, ROWS, Weighting(activation="softmax", top_k=1), loops=EYE)
    expected = matrix([1 / 7, 0.0, 6 / 7], [0.0, 1.0, 0.0], [0.8, 0.0, 0.2])
    assert torch.allclose(weight, expected)


def test_softmax_row_without_entries_is_zero() -> None:
    score = SCORE.clone().requires_grad_()
    allowed = torch.tensor([[True], [False], [True]]).expand(3, 3)
    weight = weigh(score, ROWS, Weighting(activation="softmax"), allowed)
    assert torch.equal(weight[1], torch.zeros(3, dtype=torch.float64))
    assert torch.allclose(weight[::2].sum(dim=-1), torch.ones(2, dtype=torch.float64))
    weight.square().sum().backward()
    assert score.grad is not None and score.grad.isfinite().all()


@pytest.mark.parametrize("normalization", ["row", "sym"])
def test_zero_rows_have_finite_gradients(normalization: str) -> None:
    score = SCORE.clone().requires_grad_()
    weigh(score, ROWS, Weighting(normalization=normalization)).square().sum().backward()
    assert score.grad is not None and score.grad.isfinite().all()


def test_inverse_root_is_zero_up_to_the_least() -> None:
    value = torch.tensor([4.0, 1e-9, 0.0], requires_grad=True)
    root = inverse_root(value, 1e-8)
    assert root.tolist() == [0.5, 0.0, 0.0]
    root.sum().backward()
    assert value.grad is not None
    assert value.grad.tolist() == [-0.0625, 0.0, 0.0]


@pytest.mark.parametrize(
    ("activation", "normalization", "top_k", "message"),
    [
        ("elu", "none", None, "'activation' must be one of none, relu, shift, softmax"),
        ("none", "column", None, "'normalization' must be one of none, row, sym"),
        ("softmax", "row", None, "'normalization' must be 'none'"),
        ("none", "none", 0, "'top_k' must be at least 1"),
    ],
)
def test_bad_options(activation: str, normalization: str, top_k: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_weighting(Weighting(activation, top_k=top_k, normalization=normalization))
