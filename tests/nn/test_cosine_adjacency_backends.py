"""The learned adjacency: an independent loop, dense and edge-wise form agree everywhere."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnreloc.nn import CosineAdjacency

options = st.fixed_dictionaries(
    {
        "weighting": st.sampled_from(
            [("softmax", "none"), *product(("none", "relu", "shift"), ("none", "row", "sym"))]
        ),
        "top_k": st.sampled_from([None, 1, 2, 20]),
        "threshold": st.sampled_from([None, -0.3, 0.2]),
        "add_self_loops": st.booleans(),
        "support": st.sampled_from(["all", "cross", "intra"]),
        "heads": st.sampled_from([1, 2]),
        "out_channels": st.sampled_from([None, 3]),
        "temperature": st.sampled_from([0.4, 1.0]),
    }
)


def build(choice: dict[str, Any], seed: int) -> CosineAdjacency:
    torch.manual_seed(seed)
    activation, normalization = choice["weighting"]
    rest = {name: value for name, value in choice.items() if name != "weighting"}
    layer = CosineAdjacency(4, activation=activation, normalization=normalization, **rest)
    return layer.double()


def to_dense(edge_index: Tensor, weight: Tensor, rows: int, columns: int) -> Tensor:
    """Adjacency of every head, [heads, rows, columns]."""
    weight = weight.view(edge_index.size(1), -1)
    adjacency = weight.new_zeros(rows, columns, weight.size(1))
    return adjacency.index_put((edge_index[1], edge_index[0]), weight).permute(2, 0, 1)


def adjacency_by_loop(layer: CosineAdjacency, x: Tensor, group: Tensor) -> Tensor:
    """The contract of the layer in plain Python, [heads, nodes, nodes]."""
    h = (x if layer.phi is None else x @ layer.phi.weight.T + layer.phi.bias).detach()
    n, width = len(x), h.size(1) // layer.heads
    out = torch.zeros(layer.heads, n, n, dtype=x.dtype)
    for head in range(layer.heads):
        nodes = [[float(v) for v in row[head * width : (head + 1) * width]] for row in h]
        score = [[0.0] * n for _ in range(n)]
        chosen: list[list[int]] = []
        for i in range(n):
            for j in range(n):
                dot = sum(a * b for a, b in zip(nodes[i], nodes[j], strict=True))
                s = dot / (math.hypot(*nodes[i]) * math.hypot(*nodes[j])) / layer.temperature
                if layer.activation == "relu":
                    s = max(s, 0.0)
                if layer.activation == "shift":
                    s = (1 + s) / 2
                score[i][j] = s
            same = [bool(group[i] == group[j]) for j in range(n)]
            inside = {"all": [True] * n, "intra": same, "cross": [not s for s in same]}
            columns = [j for j in range(n) if inside[layer.support][j]]
            columns.sort(key=lambda j, i=i: (-score[i][j], j))
            columns = columns[: layer.top_k]
            if layer.threshold is not None:
                columns = [j for j in columns if score[i][j] >= layer.threshold]
            chosen.append(columns)

        if layer.activation == "softmax":
            for i in range(n):
                columns = sorted({*chosen[i], *([i] if layer.add_self_loops else [])})
                total = sum(math.exp(score[i][j]) for j in columns)
                for j in columns:
                    out[head, i, j] = math.exp(score[i][j]) / total
            continue

        weight = [[score[i][j] if j in chosen[i] else 0.0 for j in range(n)] for i in range(n)]
        for i in range(n if layer.add_self_loops else 0):
            weight[i][i] = 1.0
        degree = [sum(abs(w) for w in row) for row in weight]
        for i in range(n):
            for j in range(n):
                scale = {
                    "none": 1.0,
                    "row": degree[i],
                    "sym": math.sqrt(degree[i] * degree[j]),
                }[layer.normalization]
                out[head, i, j] = weight[i][j] / scale if scale > 0 else 0.0
    return out


@settings(deadline=None, max_examples=80)
@given(options, st.integers(0, 10_000))
def test_dense_edges_and_loop_agree(choice: dict[str, Any], seed: int) -> None:
    layer = build(choice, seed)
    x = torch.randn(5, 4, dtype=torch.float64)
    group = torch.tensor([True, True, False, False, False])
    expected = adjacency_by_loop(layer, x, group)
    dense = layer.dense(x.unsqueeze(0), group=group).view(-1, 5, 5)
    edges = to_dense(*layer(x, group=group), 5, 5)
    assert torch.allclose(dense, expected)
    assert torch.allclose(edges, expected)


@settings(deadline=None, max_examples=60)
@given(options, st.integers(0, 10_000))
def test_gradients_of_dense_and_edges_agree(choice: dict[str, Any], seed: int) -> None:
    layer = build(choice, seed).float()
    x = torch.randn(6, 4, requires_grad=True)
    group = torch.arange(6) < 3
    dense = layer.dense(x.unsqueeze(0), group=group).view(-1, 6, 6)
    edges = to_dense(*layer(x, group=group), 6, 6)
    assert torch.allclose(dense, edges, atol=1e-5)

    inputs = [x, *layer.parameters()]
    factor = torch.randn_like(dense)
    if dense.requires_grad:
        expected = torch.autograd.grad((dense * factor).sum(), inputs, allow_unused=True)
        actual = torch.autograd.grad((edges * factor).sum(), inputs, allow_unused=True)
        for one, other in zip(expected, actual, strict=True):
            one = torch.zeros(()) if one is None else one
            other = torch.zeros(()) if other is None else other
            assert torch.allclose(one, other, atol=1e-4, rtol=1e-4)


@settings(deadline=None, max_examples=40)
@given(options, st.integers(0, 10_000))
def test_bipartite_dense_and_edges_agree(choice: dict[str, Any], seed: int) -> None:
    layer = build({**choice, "add_self_loops": False}, seed)
    x = (torch.randn(6, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64))
    group = (torch.arange(6) % 2, torch.tensor([0, 1, 0]))
    dense = layer.dense((x[0].unsqueeze(0), x[1].unsqueeze(0)), group=group).view(-1, 3, 6)
    assert torch.allclose(dense, to_dense(*layer(x, group=group), 3, 6))


@settings(deadline=None, max_examples=40)
@given(options, st.integers(0, 10_000))
def test_batch_is_loop(choice: dict[str, Any], seed: int) -> None:
    layer = build(choice, seed)
    sizes = [3, 1, 4]
    graphs = [torch.randn(size, 4, dtype=torch.float64) for size in sizes]
    groups = [torch.arange(size) < 2 for size in sizes]
    batch = torch.repeat_interleave(torch.tensor(sizes))
    kwargs = {"group": torch.cat(groups)}
    together = to_dense(*layer(torch.cat(graphs), batch=batch, **kwargs), 8, 8)
    known = to_dense(*layer(torch.cat(graphs), batch=batch, batch_size=3, **kwargs), 8, 8)

    padded = torch.zeros(3, 4, 4, dtype=torch.float64)
    mask = torch.zeros(3, 4, dtype=torch.bool)
    padded_groups = torch.zeros(3, 4, dtype=torch.bool)
    expected = torch.zeros_like(together)
    for number, (x, group) in enumerate(zip(graphs, groups, strict=True)):
        start, end = sum(sizes[:number]), sum(sizes[: number + 1])
        expected[:, start:end, start:end] = layer.dense(x.unsqueeze(0), group=group)[0]
        padded[number, : len(x)] = x
        mask[number, : len(x)] = True
        padded_groups[number, : len(x)] = group
    assert torch.allclose(together, expected)
    assert torch.equal(known, together)

    dense = layer.dense(padded, mask, padded_groups).view(3, -1, 4, 4)
    for number, size in enumerate(sizes):
        start, end = sum(sizes[:number]), sum(sizes[: number + 1])
        assert torch.allclose(dense[number, :, :size, :size], expected[:, start:end, start:end])


def test_graphs_of_one_size_need_no_batch_vector() -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, 3, activation="softmax")
    x = torch.randn(3, 5, 4)
    edge_index, weight = layer(x.flatten(0, 1), batch_size=3)
    batch = torch.arange(3).repeat_interleave(5)
    expected_index, expected = layer(x.flatten(0, 1), batch=batch)
    assert torch.equal(edge_index, expected_index)
    assert torch.equal(weight, expected)
    assert torch.allclose(weight.view(3, 5, 5), layer.dense(x), atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(options, st.permutations(range(6)), st.integers(0, 10_000))
def test_permuted_nodes_permute_the_matrix(
    choice: dict[str, Any], order: list[int], seed: int
) -> None:
    layer = build(choice, seed)
    x = torch.randn(1, 6, 4, dtype=torch.float64)
    group = torch.arange(6) < 2
    expected = layer.dense(x, group=group)[..., order, :][..., order]
    assert torch.allclose(layer.dense(x[:, order], group=group[order]), expected)


def test_order_of_given_edges_does_not_matter() -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, 3, normalization="sym", top_k=2)
    x = torch.randn(6, 4)
    edge_index = torch.randperm(36)[:20]
    edge_index = torch.stack([edge_index % 6, edge_index // 6])
    order = torch.randperm(20)
    weight = layer(x, edge_index)[1]
    assert torch.allclose(layer(x, edge_index[:, order])[1], weight[order])


@pytest.mark.parametrize(
    ("activation", "normalization", "top_k"),
    [("none", "none", None), ("none", "sym", 3), ("shift", "row", None), ("softmax", "none", 3)],
)
def test_gradcheck(activation: str, normalization: str, top_k: int | None) -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(
        3,
        2,
        heads=2,
        activation=activation,
        normalization=normalization,
        top_k=top_k,
        learn_temperature=True,
        temperature=0.7,
    ).double()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    h = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]
    parameters = [p.detach().clone().requires_grad_() for p in layer.parameters()]

    def product_with(x: Tensor, h: Tensor, *parameters: Tensor) -> Any:
        values = {f"layer.{name}": p for name, p in zip(names, parameters, strict=True)}
        return torch.func.functional_call(Product(layer), values, (x, h))

    def weights(x: Tensor, *parameters: Tensor) -> Any:
        values = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(layer, values, (x,))[1]

    assert torch.autograd.gradcheck(product_with, (x, h, *parameters))
    assert torch.autograd.gradcheck(weights, (x, *parameters))


class Product(torch.nn.Module):
    """A module whose call is `matmul`, for one graph."""

    def __init__(self, layer: CosineAdjacency) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return self.layer.matmul(x.unsqueeze(0), h.unsqueeze(0))
