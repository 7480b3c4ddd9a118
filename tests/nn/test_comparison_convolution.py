"""Comparison of each node with what it receives."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from gnnreloc.nn import ComparisonConvolution, block_edges


def test_repr() -> None:
    assert str(ComparisonConvolution(3, 4)) == "ComparisonConvolution(3, 4)"


def test_by_hand() -> None:
    layer = ComparisonConvolution(1, 1, 4).double()
    with torch.no_grad():
        layer.hidden.weight.copy_(torch.eye(4))
        layer.hidden.bias.zero_()
        layer.out.weight.copy_(torch.tensor([[1.0, 10.0, 100.0, 1000.0]]))
        layer.out.bias.fill_(0.5)
    x = torch.tensor([[3.0], [1.0], [-2.0]], dtype=torch.float64)
    edge_index = torch.tensor([[1, 2, 0], [0, 0, 1]])
    weight = torch.tensor([0.5, -0.25, 1.0], dtype=torch.float64)
    # Node 0 receives 0.5 + 0.5 = 1, node 1 receives 3, node 2 nothing.
    expected = torch.tensor(
        [[3 + 10 * 1 + 100 * 2 + 1000 * 3 + 0.5], [1 + 30 + 200 + 3000 + 0.5], [100 * 2 + 0.5]],
        dtype=torch.float64,
    )
    assert torch.allclose(layer(x, edge_index, weight), expected)
    adjacency = torch.tensor([[0, 0.5, -0.25], [1, 0, 0], [0, 0, 0]], dtype=torch.float64)
    assert torch.allclose(layer.dense(x.unsqueeze(0), adjacency)[0], expected)


def test_dense_and_edges_agree() -> None:
    torch.manual_seed(0)
    layer = ComparisonConvolution(3, 5, 6)
    x = torch.randn(2, 4, 3, requires_grad=True)
    adjacency = torch.rand(2, 4, 4, requires_grad=True)
    dense = layer.dense(x, adjacency)
    edges = layer(x.flatten(0, 1), block_edges([4, 4]), adjacency.flatten()).view_as(dense)
    assert torch.allclose(dense, edges, atol=1e-5)

    inputs = [x, adjacency, *layer.parameters()]
    factor = torch.randn_like(dense)
    for one, other in zip(
        torch.autograd.grad((dense * factor).sum(), inputs),
        torch.autograd.grad((edges * factor).sum(), inputs),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-5)


def test_bipartite_and_unweighted() -> None:
    torch.manual_seed(0)
    layer = ComparisonConvolution(3, 5)
    x_src, x_dst = torch.randn(4, 3), torch.randn(2, 3)
    out = layer((x_src, x_dst), block_edges([4], [2]))
    dense = layer.dense((x_src.unsqueeze(0), x_dst.unsqueeze(0)), torch.ones(2, 4))
    assert out.shape == (2, 5)
    assert torch.allclose(out, dense[0], atol=1e-6)


def test_permuted_nodes_permute_the_output() -> None:
    torch.manual_seed(0)
    layer = ComparisonConvolution(3, 4)
    x, adjacency, order = torch.randn(1, 6, 3), torch.randn(1, 6, 6), torch.randperm(6)
    permuted = layer.dense(x[:, order], adjacency[:, order][:, :, order])
    assert torch.allclose(permuted, layer.dense(x, adjacency)[:, order], atol=1e-6)


def test_gradcheck() -> None:
    torch.manual_seed(0)
    layer = ComparisonConvolution(2, 3).double()
    x = torch.randn(1, 3, 2, dtype=torch.float64, requires_grad=True)
    adjacency = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer.dense, (x, adjacency))


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    layer = ComparisonConvolution(3, 16, dropout=0.5)
    x, adjacency = torch.randn(1, 6, 3), torch.rand(6, 6)
    assert not torch.equal(layer.dense(x, adjacency), layer.dense(x, adjacency))
    layer.eval()
    assert torch.equal(layer.dense(x, adjacency), layer.dense(x, adjacency))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    layer = ComparisonConvolution(3, 4).to(dtype)
    out = layer.dense(torch.randn(1, 5, 3, dtype=dtype), torch.rand(5, 5))
    assert out.dtype == dtype and out.isfinite().all()


def test_compiles_without_graph_break() -> None:
    torch.compiler.reset()
    layer = ComparisonConvolution(3, 4)
    x, adjacency, edge_index = torch.randn(5, 3), torch.rand(5, 5), block_edges([5])
    forward = torch.compile(layer, fullgraph=True, backend="eager")
    dense = torch.compile(layer.dense, fullgraph=True, backend="eager")
    expected = layer(x, edge_index, adjacency.flatten())
    assert torch.allclose(forward(x, edge_index, adjacency.flatten()), expected)
    assert torch.allclose(dense(x.unsqueeze(0), adjacency)[0], expected, atol=1e-6)


def test_copies_keep_the_weights() -> None:
    layer = ComparisonConvolution(3, 4)
    x, edge_index = torch.randn(5, 3), block_edges([5])
    fresh = ComparisonConvolution(3, 4)
    fresh.load_state_dict(layer.state_dict())
    for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), fresh):
        assert torch.equal(other(x, edge_index), layer(x, edge_index))
    layer.reset_parameters()
    assert not torch.equal(layer.hidden.weight, fresh.hidden.weight)
