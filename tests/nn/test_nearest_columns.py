"""The k nearest columns against a sort of each row, exact ties included."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnreloc.nn import CosineAdjacency, nearest_columns
from gnnreloc.nn.nearest_columns import nearest_columns as search


def by_sort(
    query: Tensor, key: Tensor, k: int, codes: tuple[Tensor, Tensor] | None, support: str
) -> list[list[list[int]]]:
    """Columns of each row that it may have, largest score first, then lowest column."""
    found = []
    for graph in range(query.size(0)):
        rows = []
        for i in range(query.size(1)):
            entries = []
            for j in range(key.size(1)):
                if codes is not None:
                    own, other = int(codes[0][graph, i]), int(codes[1][graph, j])
                    fits = {"all": True, "cross": own != other, "intra": own == other}[support]
                    if own < 0 or other < 0 or not fits:
                        continue
                entries.append((-float(query[graph, i] @ key[graph, j]), j))
            rows.append([j for _, j in sorted(entries)[:k]])
        found.append(rows)
    return found


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    st.tuples(st.integers(1, 3), st.integers(0, 6), st.integers(1, 9)),
    st.integers(1, 9),
    st.sampled_from([None, "all", "cross", "intra"]),
    st.sampled_from([1, 20, 1 << 22]),
    st.integers(0, 1000),
)
def test_as_sorted(
    sizes: tuple[int, int, int], k: int, support: str | None, block: int, seed: int
) -> None:
    """Small whole numbers: scores are exact, and many are equal."""
    graphs, n, m = sizes
    random = torch.Generator().manual_seed(seed)
    query = torch.randint(-1, 2, (graphs, n, 2), generator=random).float()
    key = torch.randint(-1, 2, (graphs, m, 2), generator=random).float()
    codes = None
    if support is not None:
        code = [torch.randint(-1, 2, (graphs, c), generator=random).int() for c in (n, m)]
        codes = (code[0], code[1])
    k = min(k, m)
    with mock.patch.object(nearest_columns, "BLOCK", block):
        columns, usable = search(query, key, k, *(codes or (None, None)), support or "all")
    assert columns.shape == usable.shape == (graphs, n, k)
    wanted = by_sort(query, key, k, codes, support or "all")
    for graph in range(graphs):
        for row in range(n):
            found = columns[graph, row][usable[graph, row]].tolist()
            assert sorted(found) == sorted(wanted[graph][row])


def test_scores_without_ties_come_largest_first() -> None:
    query, key = torch.tensor([[[1.0], [-1.0]]]), torch.tensor([[[3.0], [-2.0], [5.0], [0.0]]])
    columns, usable = search(query, key, 3, None, None, "all")
    assert columns.tolist() == [[[2, 0, 3], [1, 3, 0]]]
    assert usable.all()


def test_all_scores_equal() -> None:
    nodes = torch.ones(1, 300, 4)
    columns, usable = search(nodes, nodes, 5, None, None, "all")
    assert (columns.sort(dim=-1)[0] == torch.arange(5)).all() and usable.all()


def test_nothing_is_recorded_for_the_gradient() -> None:
    nodes = torch.randn(1, 4, 2, requires_grad=True)
    columns, usable = search(nodes, nodes, 2, None, None, "all")
    assert not columns.requires_grad and not usable.requires_grad


@pytest.mark.parametrize("block", [1, 40, 1 << 22])
@pytest.mark.parametrize(
    "options",
    [
        {"activation": "softmax", "add_self_loops": True},
        {"activation": "relu", "normalization": "sym", "support": "cross"},
        {"activation": "shift", "normalization": "row", "heads": 2, "threshold": 0.4},
        {"normalization": "sym", "add_self_loops": True, "support": "intra"},
    ],
)
def test_products_of_blocks_are_those_of_the_matrix(block: int, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, 6, top_k=3, **options).double()
    x = torch.randn(2, 11, 4, dtype=torch.float64, requires_grad=True)
    h = torch.randn(2, 11, 5, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(11) < torch.tensor([[11], [8]])
    group = torch.arange(11) % 3
    inputs = [x, h, *layer.parameters()]
    with mock.patch.object(nearest_columns, "BLOCK", block):
        out, sparsity = layer.matmul(x, h, mask, group, backend="blocked", return_sparsity=True)
        found = torch.autograd.grad(out.sin().sum() + sparsity, inputs)
    matrix = layer.dense(x, mask, group).view(2, layer.heads, 11, 11)
    expected = (matrix @ h.unsqueeze(1)).view(out.shape)
    mean = matrix.abs().sum() / ((11**2 + 8**2) * layer.heads)
    wanted = torch.autograd.grad(expected.sin().sum() + mean, inputs)
    assert torch.allclose(out, expected) and torch.allclose(sparsity, mean)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other)


def test_more_places_than_columns() -> None:
    torch.manual_seed(0)
    x, h = torch.randn(1, 4, 3), torch.randn(1, 4, 2)
    found = CosineAdjacency(3, top_k=50).matmul(x, h, backend="blocked")
    assert torch.allclose(found, CosineAdjacency(3).dense(x) @ h, atol=1e-6)


def test_products_compile_without_graph_break() -> None:
    torch.manual_seed(0)
    torch.compiler.reset()
    layer = CosineAdjacency(4, 6, top_k=2, add_self_loops=True, normalization="sym")
    x = torch.randn(2, 6, 4, requires_grad=True)

    def product(x: Tensor) -> Tensor:
        out = layer.matmul(x, x, backend="blocked")
        assert isinstance(out, Tensor)
        return out

    found = torch.compile(product, fullgraph=True, backend="aot_eager")(x)
    assert torch.allclose(found, product(x), atol=1e-6)
    one = torch.autograd.grad(found.square().sum(), x)[0]
    other = torch.autograd.grad(product(x).square().sum(), x)[0]
    assert torch.allclose(one, other, atol=1e-5)
    torch.compiler.reset()
