"""Several graphs in one layer."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

from gnnreloc.nn import (
    ComparisonConvolution,
    GraphConvolution,
    MultiGraphConvolution,
    block_edges,
)

FUSIONS = ["mean", "sum", "concat", "max"]


def test_repr() -> None:
    assert str(MultiGraphConvolution(3, 4, 2)) == (
        "MultiGraphConvolution(3, 4, num_graphs=2, fusion=mean)"
    )


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [("mean", [1.0, 0.0]), ("sum", [2.0, 0.0]), ("max", [7.0, 2.0])],
)
def test_activation_follows_the_fusion(fusion: str, expected: list[float]) -> None:
    layer = MultiGraphConvolution(1, 1, 2, fusion=fusion).double()
    with torch.no_grad():
        layer.convolutions[0].lin.weight.fill_(1.0)
        layer.convolutions[1].lin.weight.fill_(-1.0)
    x = torch.tensor([[[2.0], [5.0]]], dtype=torch.float64)
    first = torch.tensor([[1.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    second = torch.tensor([[0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    # The graphs give (7, 2) and (-5, -7).
    assert layer.dense(x, [first, second]).flatten().tolist() == expected


def test_concat_leads_back_to_the_output_channels() -> None:
    torch.manual_seed(0)
    layer = MultiGraphConvolution(3, 4, 2, fusion="concat", activation="none")
    assert layer.lin is not None and layer.lin.weight.shape == (4, 8)
    x, adjacencies = torch.randn(1, 5, 3), [torch.rand(5, 5), torch.rand(5, 5)]
    parts = [
        adjacency @ x @ convolution.lin.weight.T
        for adjacency, convolution in zip(adjacencies, layer.convolutions, strict=True)
    ]
    expected = torch.cat(parts, dim=-1) @ layer.lin.weight.T + layer.lin.bias
    assert torch.allclose(layer.dense(x, adjacencies), expected, atol=1e-5)


def test_one_graph_is_its_convolution() -> None:
    torch.manual_seed(0)
    x, adjacency = torch.randn(1, 5, 3), torch.randn(5, 5)
    for fusion in ("mean", "sum", "max"):
        layer = MultiGraphConvolution(3, 4, 1, fusion=fusion, bias=True)
        single = GraphConvolution(3, 4, bias=True)
        single.load_state_dict(layer.convolutions[0].state_dict())
        assert torch.equal(layer.dense(x, [adjacency]), single.dense(x, adjacency))

        layer = MultiGraphConvolution(
            3, 4, 1, fusion=fusion, convolution="compare", hidden_channels=6
        )
        compare = ComparisonConvolution(3, 4, 6)
        compare.load_state_dict(layer.convolutions[0].state_dict())
        assert torch.equal(layer.dense(x, [adjacency]), compare.dense(x, adjacency))


@pytest.mark.parametrize("convolution", ["aggregate", "compare"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_dense_and_edges_agree(convolution: str, fusion: str) -> None:
    torch.manual_seed(0)
    layer = MultiGraphConvolution(3, 4, 2, fusion=fusion, convolution=convolution)
    x = torch.randn(2, 5, 3, requires_grad=True)
    weighted = torch.randn(2, 5, 5, requires_grad=True)
    dense = layer.dense(x, [weighted, torch.ones(5, 5)])
    edge_index = block_edges([5, 5])
    graphs: list[tuple[Tensor, Tensor | None]] = [
        (edge_index, weighted.flatten()),
        (edge_index, None),
    ]
    edges = layer(x.flatten(0, 1), graphs).view_as(dense)
    assert torch.allclose(dense, edges, atol=1e-5)

    inputs = [x, weighted, *layer.parameters()]
    factor = torch.randn_like(dense)
    for one, other in zip(
        torch.autograd.grad((dense * factor).sum(), inputs),
        torch.autograd.grad((edges * factor).sum(), inputs),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-4, rtol=1e-4)


def test_factory() -> None:
    def build(in_channels: int, out_channels: int, scale: float) -> GraphConvolution:
        layer = GraphConvolution(in_channels, out_channels, activation="none")
        torch.nn.init.constant_(layer.lin.weight, scale)
        return layer

    layer = MultiGraphConvolution(1, 1, 2, convolution=build, activation="tanh", scale=0.5)
    out = layer.dense(torch.ones(1, 2, 1), [torch.eye(2), 3 * torch.eye(2)])
    assert torch.allclose(out, torch.full((1, 2, 1), 1.0).tanh())


def test_permuted_nodes_permute_the_output() -> None:
    torch.manual_seed(0)
    layer = MultiGraphConvolution(3, 4, 2)
    x, order = torch.randn(1, 6, 3), torch.randperm(6)
    adjacencies = [torch.randn(6, 6), torch.randn(6, 6)]
    permuted = [adjacency[order][:, order] for adjacency in adjacencies]
    expected = layer.dense(x, adjacencies)[:, order]
    assert torch.allclose(layer.dense(x[:, order], permuted), expected, atol=1e-6)


def test_gradcheck() -> None:
    torch.manual_seed(0)
    layer = MultiGraphConvolution(2, 3, 2, activation="tanh").double()
    x = torch.randn(1, 3, 2, dtype=torch.float64, requires_grad=True)
    adjacencies = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, a: layer.dense(x, list(a)), (x, adjacencies))


def test_compiles_without_graph_break() -> None:
    torch.compiler.reset()
    layer = MultiGraphConvolution(3, 4, 2)
    x, adjacencies = torch.randn(1, 5, 3), [torch.rand(5, 5), torch.rand(5, 5)]
    dense = torch.compile(layer.dense, fullgraph=True, backend="eager")
    assert torch.allclose(dense(x, adjacencies), layer.dense(x, adjacencies))
    graphs = [(block_edges([5]), adjacency.flatten()) for adjacency in adjacencies]
    forward = torch.compile(layer, fullgraph=True, backend="eager")
    assert torch.allclose(forward(x[0], graphs), layer(x[0], graphs))


def test_copies_keep_the_weights() -> None:
    layer = MultiGraphConvolution(3, 4, 2, fusion="concat")
    x, adjacencies = torch.randn(1, 5, 3), [torch.rand(5, 5), torch.rand(5, 5)]
    fresh = MultiGraphConvolution(3, 4, 2, fusion="concat")
    fresh.load_state_dict(layer.state_dict())
    for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), fresh):
        assert torch.equal(other.dense(x, adjacencies), layer.dense(x, adjacencies))
    layer.reset_parameters()
    assert not torch.equal(layer.dense(x, adjacencies), fresh.dense(x, adjacencies))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="'fusion' must be one of mean, sum, concat, max"):
        MultiGraphConvolution(3, 4, 2, fusion="product")
    with pytest.raises(ValueError, match="'num_graphs' must be at least 1"):
        MultiGraphConvolution(3, 4, 0)
    with pytest.raises(ValueError, match="'convolution' must be aggregate, compare or a function"):
        MultiGraphConvolution(3, 4, 2, convolution="attend")
    with pytest.raises(ValueError, match="'activation' must be one of"):
        MultiGraphConvolution(3, 4, 2, activation="elu")
    layer = MultiGraphConvolution(3, 4, 2)
    with pytest.raises(ValueError, match=r"Expected 2 graphs \(got 1\)"):
        layer.dense(torch.randn(1, 5, 3), [torch.eye(5)])
    with pytest.raises(ValueError, match=r"Expected 2 graphs \(got 3\)"):
        layer(torch.randn(5, 3), [(block_edges([5]), None)] * 3)
