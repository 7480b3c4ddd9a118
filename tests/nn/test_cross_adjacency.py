"""The two blocks against the whole matrix."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gnnreloc.nn import ComparisonConvolution, CrossAdjacency, GraphConvolution


def draw(graphs: int, first: int, second: int, seed: int) -> tuple[CrossAdjacency, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    blocks = [
        torch.randn(graphs, *shape, generator=generator, dtype=torch.float64)
        for shape in ((first, second), (second, first), (first + second, 3))
    ]
    return CrossAdjacency(*blocks[:2]), blocks[2]


@given(
    graphs=st.integers(0, 3), first=st.integers(1, 4), second=st.integers(1, 4), seed=st.integers(0)
)
def test_it_is_its_matrix(graphs: int, first: int, second: int, seed: int) -> None:
    adjacency, x = draw(graphs, first, second, seed % 2**32)
    matrix = adjacency.matrix()
    assert matrix.shape == adjacency.shape == (graphs, first + second, first + second)
    assert torch.allclose(adjacency @ x, matrix @ x)
    inside = torch.zeros(first + second, dtype=torch.long)
    inside[first:] = 1
    assert bool((matrix[:, inside[:, None] == inside] == 0).all())
    assert torch.equal(matrix[:, :first, first:], adjacency.first)
    assert torch.equal(matrix[:, first:, :first], adjacency.second)
    if graphs:
        assert adjacency.mean_size().item() == pytest.approx(matrix.abs().mean().item())


@pytest.mark.parametrize("convolution", [GraphConvolution, ComparisonConvolution])
@pytest.mark.parametrize("out_channels", [2, 5])
def test_convolutions_take_it(convolution: type, out_channels: int) -> None:
    layer = convolution(3, out_channels)
    adjacency, x = draw(2, 4, 3, 0)
    x = x.float().requires_grad_()
    found, wanted = layer.dense(x, adjacency), layer.dense(x, adjacency.matrix())
    assert torch.allclose(found, wanted, atol=1e-6)
    gradients = [torch.autograd.grad(out.square().sum(), x)[0] for out in (found, wanted)]
    assert torch.allclose(*gradients, atol=1e-5)
