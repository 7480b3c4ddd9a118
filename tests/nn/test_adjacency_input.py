"""What the learned adjacency is called with: what is refused, and padding that reaches nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gnnreloc.nn import CosineAdjacency

X, H = torch.randn(6, 4), torch.randn(6, 2)
BATCHED, VALUES = torch.randn(2, 3, 4), torch.randn(2, 3, 2)


@pytest.mark.parametrize("backend", ["edge", "dense", "blocked"])
@pytest.mark.parametrize("group", [torch.arange(6), torch.arange(4), torch.zeros(1, 3)])
def test_groups_have_the_shape_of_the_nodes(backend: str, group: Tensor) -> None:
    layer = CosineAdjacency(4, support="cross")
    with pytest.raises(ValueError, match="'group' needs a number for each node"):
        layer.matmul(BATCHED, VALUES, group=group, backend=backend)
    with pytest.raises(ValueError, match="'group' needs a number for each node"):
        layer.dense(BATCHED, group=group)
    with pytest.raises(ValueError, match="'group' needs a number for each node"):
        layer(X, group=torch.arange(9))


@pytest.mark.parametrize(
    ("x", "h", "message"),
    [
        (X, torch.eye(6).long(), "'h' must hold real numbers"),
        (X.long(), H, "Nodes must hold real numbers"),
        ((BATCHED, BATCHED[:1]), VALUES, "the same number of graphs"),
    ],
)
def test_values_that_would_be_cut(x: Any, h: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CosineAdjacency(4).matmul(x, h)


@pytest.mark.parametrize(
    ("batch", "batch_size", "message"),
    [
        ([0, 1, 0, 1, 0, 1], None, "'batch' must be sorted"),
        ([0, 0, 1, 1, 2, 2], 2, "from 0 below 'batch_size'"),
        ([-1, 0, 0, 1, 1, 1], None, "from 0 below 'batch_size'"),
        ([0.0, 0, 0, 0, 0, 0], None, "'batch' needs a whole number"),
        ([0, 0], None, "'batch' needs a whole number"),
    ],
)
def test_bad_batch(batch: list[float], batch_size: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CosineAdjacency(4).matmul(X, H, batch=torch.tensor(batch), batch_size=batch_size)
    with pytest.raises(ValueError, match=message):
        CosineAdjacency(4)(X, batch=torch.tensor(batch), batch_size=batch_size)


def test_bad_mask_of_matrices() -> None:
    with pytest.raises(ValueError, match="'mask' must be bool of shape"):
        CosineAdjacency(4).dense(BATCHED, torch.ones(3, dtype=torch.bool))


@pytest.mark.parametrize(
    "options", [{"threshold": math.nan}, {"eps": math.inf}, {"temperature": math.inf}]
)
def test_options_that_are_no_numbers(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        CosineAdjacency(4, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["edge", "dense", "blocked", "lowrank"])
def test_nothing_of_padding_is_seen(backend: str) -> None:
    mask = torch.tensor([[True, True, False], [True, False, False]])
    layer = CosineAdjacency(4)
    found = []
    for filling in (0.0, math.nan):
        x, h = (torch.where(mask[..., None], t, filling) for t in (BATCHED, VALUES))
        x.requires_grad_()
        out = layer.matmul(x, h, mask, backend=backend)
        gradient = torch.autograd.grad(out.square().sum(), x)[0]
        found.append((out.detach(), gradient[mask]))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("backend", ["edge", "dense", "blocked", "lowrank"])
def test_a_bad_node_stays_in_its_graph(backend: str) -> None:
    batch = torch.tensor([0] * 20 + [1] * 19 + [2] * 20)
    x, h = torch.randn(59, 4), torch.randn(59, 2)
    x[0] = h[0] = math.nan
    x.requires_grad_()
    out = CosineAdjacency(4).matmul(x, h, batch=batch, backend=backend)
    assert out[20:].isfinite().all() and not out[:20].isfinite().all()
    assert torch.autograd.grad(out[20:].sum(), x)[0][20:].isfinite().all()


def test_forward_mode_is_refused_where_it_would_be_zero() -> None:
    layer = CosineAdjacency(4, activation="softmax")

    def product(x: Tensor, backend: str) -> Any:
        return layer.matmul(x, x, backend=backend)

    tangent = torch.func.jvp(lambda x: product(x, "dense"), (X,), (X,))[1]
    assert tangent.norm() > 0
    with pytest.raises(RuntimeError, match="no forward-mode derivatives"):
        torch.func.jvp(lambda x: product(x, "blocked"), (X,), (X,))


@pytest.mark.parametrize("backend", ["edge", "dense", "blocked"])
def test_sparsity_alone_is_a_loss(backend: str) -> None:
    layer = CosineAdjacency(4, 4, activation="relu", normalization="row")
    out = layer.matmul(X, H, backend=backend, return_sparsity=True)
    torch.autograd.backward(out[1])
    assert all(p.grad is not None and p.grad.abs().max() < 1e-6 for p in layer.parameters())


def test_default_compiles_with_changing_sizes() -> None:
    torch.compiler.reset()
    layer = CosineAdjacency(4)
    product = torch.compile(lambda x, h: layer.matmul(x, h), fullgraph=True, backend="aot_eager")
    for nodes in (5, 7, 9):
        x, h = torch.randn(2, nodes, 4), torch.randn(2, nodes, 3)
        assert torch.allclose(product(x, h), layer.matmul(x, h), atol=1e-6)
    torch.compiler.reset()
