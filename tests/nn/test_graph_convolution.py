"""Aggregation over weighted edges."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch_geometric.nn import GCNConv

from gnnreloc.nn import GraphConvolution, block_edges

ADJACENCY = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, -1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
EDGE_INDEX = torch.tensor([[1, 0, 2], [0, 1, 1]])
EDGE_WEIGHT = torch.tensor([2.0, 1.0, -1.0], dtype=torch.float64)


def test_repr() -> None:
    assert str(GraphConvolution(3, 4)) == "GraphConvolution(3, 4, activation=relu)"


def test_by_hand() -> None:
    layer = GraphConvolution(2, 1, bias=True).double()
    assert layer.bias is not None
    with torch.no_grad():
        layer.lin.weight.copy_(torch.tensor([[1.0, -1.0]]))
        layer.bias.fill_(0.5)
    x = torch.tensor([[1.0, 2.0], [3.0, 1.0], [0.0, 4.0]], dtype=torch.float64)
    # x W is (-1, 2, -4); A x W is (4, 3, 0).
    expected = torch.tensor([[4.5], [3.5], [0.5]], dtype=torch.float64)
    assert torch.allclose(layer(x, EDGE_INDEX, EDGE_WEIGHT), expected)
    assert torch.allclose(layer.dense(x.unsqueeze(0), ADJACENCY)[0], expected)
    # Without weights row 1 is (-1) + (-4) + 0.5, which the activation cuts off.
    unweighted = torch.tensor([[2.5], [0.0], [0.5]], dtype=torch.float64)
    assert torch.allclose(layer(x, EDGE_INDEX), unweighted)


@pytest.mark.parametrize("channels", [(5, 2), (2, 5)])
@pytest.mark.parametrize("nodes", [3, 40])
def test_dense_and_edges_agree(channels: tuple[int, int], nodes: int) -> None:
    torch.manual_seed(0)
    layer = GraphConvolution(*channels, activation="tanh", bias=True)
    x = torch.randn(2, nodes, channels[0], requires_grad=True)
    adjacency = torch.rand(2, nodes, nodes, requires_grad=True)
    dense = layer.dense(x, adjacency)
    edges = layer(x.flatten(0, 1), block_edges([nodes] * 2), adjacency.flatten())
    edges = edges.view_as(dense)
    assert torch.allclose(dense, edges, atol=1e-5)

    inputs = [x, adjacency, *layer.parameters()]
    factor = torch.randn_like(dense)
    for one, other in zip(
        torch.autograd.grad((dense * factor).sum(), inputs),
        torch.autograd.grad((edges * factor).sum(), inputs),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-5, rtol=1e-4)


def test_bipartite() -> None:
    torch.manual_seed(0)
    layer = GraphConvolution(3, 4)
    x = torch.randn(5, 3)
    adjacency = torch.rand(2, 5)
    out = layer((x, torch.empty(2, 0)), block_edges([5], [2]), adjacency.flatten())
    assert torch.allclose(out, layer.dense(x.unsqueeze(0), adjacency)[0], atol=1e-6)
    assert torch.allclose(out, torch.relu(adjacency @ x @ layer.lin.weight.T), atol=1e-6)


def test_agrees_with_pyg_without_normalization() -> None:
    torch.manual_seed(0)
    layer = GraphConvolution(2, 6, activation="none").double()
    conv = GCNConv(2, 6, normalize=False, bias=False).double()
    conv.lin.load_state_dict(layer.lin.state_dict())
    x = torch.randn(3, 2, dtype=torch.float64)
    expected = conv(x, EDGE_INDEX, EDGE_WEIGHT)
    assert torch.allclose(layer(x, EDGE_INDEX, EDGE_WEIGHT), expected)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("none", [-2.0, 2.0]),
        ("relu", [0.0, 2.0]),
        ("tanh", [-0.9640276, 0.9640276]),
        ("leaky_relu", [-0.02, 2.0]),
        ("sigmoid", [0.1192029, 0.8807971]),
    ],
)
def test_activations(activation: str, expected: list[float]) -> None:
    layer = GraphConvolution(1, 1, activation=activation)
    torch.nn.init.ones_(layer.lin.weight)
    x = torch.tensor([[[-2.0], [2.0]]])
    assert layer.dense(x, torch.eye(2)).flatten().tolist() == pytest.approx(expected)


def test_permuted_nodes_permute_the_output() -> None:
    torch.manual_seed(0)
    layer = GraphConvolution(3, 4)
    x, adjacency, order = torch.randn(1, 6, 3), torch.randn(1, 6, 6), torch.randperm(6)
    permuted = layer.dense(x[:, order], adjacency[:, order][:, :, order])
    assert torch.allclose(permuted, layer.dense(x, adjacency)[:, order], atol=1e-6)


def test_gradcheck() -> None:
    torch.manual_seed(0)
    layer = GraphConvolution(2, 3, activation="tanh").double()
    x = torch.randn(1, 3, 2, dtype=torch.float64, requires_grad=True)
    adjacency = ADJACENCY.clone().requires_grad_()
    weight = EDGE_WEIGHT.clone().requires_grad_()
    assert torch.autograd.gradcheck(layer.dense, (x, adjacency))
    assert torch.autograd.gradcheck(lambda x, w: layer(x, EDGE_INDEX, w), (x[0], weight))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_takes_single_precision_weights(dtype: torch.dtype) -> None:
    layer = GraphConvolution(2, 3).to(dtype)
    x = torch.randn(3, 2, dtype=dtype)
    out = layer(x, EDGE_INDEX, EDGE_WEIGHT.float())
    dense = layer.dense(x.unsqueeze(0), ADJACENCY.float())
    assert out.dtype == dense.dtype == dtype
    assert out.isfinite().all() and dense.isfinite().all()


def test_compiles_without_graph_break() -> None:
    torch.compiler.reset()
    layer = GraphConvolution(2, 3).double()
    x = torch.randn(3, 2, dtype=torch.float64)
    forward = torch.compile(layer, fullgraph=True, backend="eager")
    dense = torch.compile(layer.dense, fullgraph=True, backend="eager")
    expected = layer(x, EDGE_INDEX, EDGE_WEIGHT)
    assert torch.allclose(forward(x, EDGE_INDEX, EDGE_WEIGHT), expected)
    assert torch.allclose(dense(x.unsqueeze(0), ADJACENCY)[0], expected)


def test_copies_keep_the_weights() -> None:
    layer = GraphConvolution(2, 3, bias=True).double()
    x = torch.randn(3, 2, dtype=torch.float64)
    fresh = GraphConvolution(2, 3, bias=True).double()
    fresh.load_state_dict(layer.state_dict())
    for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), fresh):
        assert torch.equal(other(x, EDGE_INDEX), layer(x, EDGE_INDEX))
    layer.reset_parameters()
    assert not torch.equal(layer.lin.weight, fresh.lin.weight)


def test_bad_activation() -> None:
    with pytest.raises(ValueError, match="'activation' must be one of none, relu"):
        GraphConvolution(2, 3, activation="elu")
