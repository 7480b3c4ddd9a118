"""Products along edges against a loop over the edges."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from gnnreloc.nn import CosineAdjacency
from gnnreloc.nn.edge_product import WeightedSum, edge_product, edge_product_of_batch


def by_loop(edge_index: Tensor, weight: Tensor, h: Tensor, num_targets: int) -> Tensor:
    """What the nodes receive, one edge at a time: weights (E, H) to (N_dst, H, F)."""
    out = h.new_zeros(num_targets, weight.size(1), h.size(1))
    for (source, target), heads in zip(edge_index.t().tolist(), weight, strict=True):
        for head, w in enumerate(heads):
            out[target, head] += w * h[source]
    return out


def test_weighted_sum_by_hand() -> None:
    h = torch.tensor([[1.0, 10.0], [2.0, 20.0]])
    edge_index = torch.tensor([[0, 1, 1, 0], [2, 2, 0, 2]])
    weight = torch.tensor([[1.0, 0.0], [3.0, -1.0], [0.5, 0.0], [1.0, 1.0]])
    out = WeightedSum()(h, edge_index, weight, num_targets=3)
    assert out.tolist() == [
        [[1.0, 10.0], [0.0, 0.0]],
        [[0.0, 0.0], [0.0, 0.0]],
        [[8.0, 80.0], [-1.0, -10.0]],
    ]


@pytest.mark.parametrize("heads", [1, 2])
def test_one_graph(heads: int) -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, 3, heads=heads, normalization="row", top_k=2).double()
    x, h = torch.randn(6, 4).double(), torch.randn(6, 5).double()
    edge_index, weight = layer(x)
    weight = weight.view(-1, heads)
    out, total = edge_product(layer, x, h)
    assert torch.allclose(out, by_loop(edge_index, weight, h, 6))
    assert total.item() == pytest.approx(6 * heads)  # rows of absolute sum 1


def test_all_edges_inside_each_graph() -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, 3, activation="softmax").double()
    x, h = torch.randn(7, 4).double(), torch.randn(7, 2).double()
    batch = torch.tensor([0, 0, 0, 2, 2, 2, 2])
    out, total = edge_product(layer, x, h, batch=batch, batch_size=4)
    matrices = [layer.dense(part.unsqueeze(0))[0] for part in x.split([3, 4])]
    expected = torch.block_diag(*matrices) @ h
    assert torch.allclose(out.squeeze(1), expected)
    assert total.item() == pytest.approx(7.0)


@pytest.mark.parametrize("bipartite", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("support", ["all", "cross"])
def test_padded_graphs(bipartite: bool, padded: bool, support: str) -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, 3, heads=2, activation="relu", support=support).double()
    nodes = (torch.randn(2, 5, 4).double(), torch.randn(2, 3, 4).double())
    masks = (
        torch.tensor([[True, False, True, True, True], [True, True, False, False, False]]),
        torch.tensor([[True, True, False], [False, True, True]]),
    )
    groups = (torch.tensor([[0, 1, 0, 1, 0], [1, 1, 0, 0, 0]]), torch.tensor([0, 1, 1]))
    h = torch.randn(2, 5, 2).double()
    x: Any = nodes if bipartite else nodes[0]
    mask: Any = (masks if bipartite else masks[0]) if padded else None
    group: Any = groups if bipartite else groups[0]
    out, total = edge_product_of_batch(layer, x, h, mask, group if support == "cross" else None)

    receivers = nodes[1] if bipartite else nodes[0]
    assert out.shape == (2, 2, receivers.size(1), 2)
    assert layer.phi is not None
    keep = masks if bipartite else (masks[0], masks[0])
    code = [g.expand(2, -1) for g in (groups if bipartite else (groups[0], groups[0]))]
    expected, size = torch.zeros_like(out), 0.0
    for graph in range(2):
        sending = layer.phi(nodes[0][graph]).view(-1, 2, 3)
        receiving = layer.phi(receivers[graph]).view(-1, 2, 3)
        for i in range(receiving.size(0)):
            for j in range(sending.size(0)):
                if padded and not (keep[0][graph, j] and keep[1][graph, i]):
                    continue
                if support == "cross" and code[0][graph, j] == code[1][graph, i]:
                    continue
                cosine = torch.cosine_similarity(sending[j], receiving[i], dim=-1).relu()
                expected[graph, :, i] += cosine.unsqueeze(-1) * h[graph, j]
                size += float(cosine.detach().sum())
    assert torch.allclose(out, expected)
    assert total.item() == pytest.approx(size)


def test_gradients_reach_nodes_values_and_projection() -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, 3, normalization="sym").double()
    x = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    h = torch.randn(2, 5, 2, dtype=torch.float64, requires_grad=True)
    inputs = [x, h, *layer.parameters()]
    out, total = edge_product_of_batch(layer, x, h)
    found = torch.autograd.grad(out.square().sum() + total, inputs)
    matrix = layer.dense(x)
    wanted = torch.autograd.grad((matrix @ h).square().sum() + matrix.abs().sum(), inputs)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other)
