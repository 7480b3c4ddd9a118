"""The comparison in blocks against the same written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gnnreloc.nn import blocked_comparison
from gnnreloc.nn.blocked_comparison import Perceptron, compare
from gnnreloc.nn.rectified_dropout import kept_scale


def inputs(rows: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Vectors, counterparts, and the weights of a perceptron from 4 * 3 by 5 to 2 channels."""
    torch.manual_seed(0)
    shapes = [(rows, 3), (rows, 3), (5, 12), (5,), (2, 5), (2,)]
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def written_out(x: Tensor, other: Tensor, *layers: Tensor) -> Tensor:
    w1, b1, w2, b2 = layers
    joined = torch.cat([x, other, (x - other).abs(), x * other], dim=1)
    return ((joined @ w1.T + b1).relu() @ w2.T + b2).relu()


@pytest.fixture(params=[12, 36, 400_000], ids=["row", "three rows", "one block"])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one row, of three (the last one is shorter), and of all rows."""
    monkeypatch.setattr(blocked_comparison, "BLOCK", request.param)


@pytest.mark.usefixtures("block")
def test_values_and_gradients() -> None:
    tensors = inputs(10)
    x, other, *layers = tensors
    out, expected = compare(x, other, Perceptron(*layers)), written_out(*tensors)
    torch.testing.assert_close(out, expected)
    factor = torch.randn_like(out)
    for one, wanted in zip(
        torch.autograd.grad(out, tensors, factor),
        torch.autograd.grad(expected, tensors, factor),
        strict=True,
    ):
        torch.testing.assert_close(one, wanted)


@pytest.mark.usefixtures("block")
def test_gradcheck() -> None:
    x, other, *layers = inputs(4)
    assert torch.autograd.gradcheck(
        lambda *tensors: compare(*tensors[:2], Perceptron(*tensors[2:])), (x, other, *layers)
    )


@pytest.mark.usefixtures("block")
def test_dropout_is_a_mask_of_the_hidden_values() -> None:
    """Hidden values leave one by one through a second layer that is the identity."""
    x, other, w1, b1, *_ = inputs(200)
    tensors = [x, other, w1, b1, torch.eye(5, dtype=x.dtype).requires_grad_(), torch.zeros_like(b1)]
    out = compare(x, other, Perceptron(*tensors[2:]), 0.25)
    full = written_out(*tensors)
    kept = (out != 0).to(out.dtype)
    torch.testing.assert_close(out, full * kept * kept_scale(0.25))
    share = kept[full > 0].mean().item()
    assert 0.6 < share < 0.9

    factor = torch.randn_like(out)
    actual = torch.autograd.grad(out, tensors[:5], factor)
    masked = torch.cat([x, other, (x - other).abs(), x * other], dim=1) @ w1.T + b1
    masked = masked.relu() * kept * kept_scale(0.25)
    expected = torch.autograd.grad((masked @ tensors[4].T).relu(), tensors[:5], factor)
    for one, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, wanted)


def test_equal_vectors_have_no_gradient_of_their_distance() -> None:
    x = torch.tensor([[1.0, -2.0]], requires_grad=True)
    other = x.detach().clone().requires_grad_()
    w1 = torch.tensor([[0.0, 0, 0, 0, 1, 1, 0, 0]])
    layers = Perceptron(w1, torch.ones(1), torch.ones(1, 1), torch.zeros(1))
    out = compare(x, other, layers)
    assert out.item() == 1.0
    for gradient in torch.autograd.grad(out.sum(), [x, other]):
        assert gradient.tolist() == [[0.0, 0.0]]


def test_no_rows() -> None:
    tensors = inputs(0)
    out = compare(*tensors[:2], Perceptron(*tensors[2:]))
    assert out.shape == (0, 2)
    assert all(g.eq(0).all() for g in torch.autograd.grad(out.sum(), tensors))
