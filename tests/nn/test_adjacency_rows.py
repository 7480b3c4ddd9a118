"""Rows of an adjacency: both forms against a plain loop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gnnreloc.nn.adjacency_rows import DenseRows, EdgeRows
from gnnreloc.nn.block_edges import block_edges


def edge_rows(num_sources: int, num_targets: int, bipartite: bool) -> EdgeRows:
    source, target = block_edges([num_sources], [num_targets])
    return EdgeRows(source, target, num_sources, num_targets, bipartite)


def top_k_by_loop(score: Tensor, k: int) -> Tensor:
    keep = torch.zeros_like(score, dtype=torch.bool)
    for row, values in enumerate(score.tolist()):
        ranking = sorted(range(len(values)), key=lambda column: (-values[column], column))
        keep[row, ranking[:k]] = True
    return keep


@pytest.mark.parametrize("k", [1, 3, 9])
def test_top_k_prefers_the_lowest_of_tied_columns(k: int) -> None:
    torch.manual_seed(0)
    score = torch.randint(0, 3, (6, 7)).double()
    expected = top_k_by_loop(score, k)
    assert torch.equal(DenseRows(bipartite=True).top_k(score, k), expected)

    rows = edge_rows(7, 6, bipartite=True)
    entries = torch.stack([score.flatten(), -score.flatten()], dim=-1)
    keep = rows.top_k(entries, k)
    assert torch.equal(keep[:, 0].view(6, 7), expected)
    assert torch.equal(keep[:, 1].view(6, 7), top_k_by_loop(-score, k))


def test_top_k_does_not_depend_on_the_order_of_edges() -> None:
    torch.manual_seed(0)
    score = torch.randint(0, 3, (36, 1)).double()
    source, target = block_edges([6])
    order = torch.randperm(36)
    keep = EdgeRows(source, target, 6, 6, False).top_k(score, 2)
    shuffled = EdgeRows(source[order], target[order], 6, 6, False).top_k(score[order], 2)
    assert torch.equal(shuffled, keep[order])


@pytest.mark.parametrize("bipartite", [False, True])
def test_degrees(bipartite: bool) -> None:
    magnitude = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    row_sums = torch.tensor([[3.0, 3.0], [7.0, 7.0]])
    column_degree = torch.tensor([[4.0, 6.0]] * 2 if bipartite else [[3.0, 7.0]] * 2)

    dense = DenseRows(bipartite)
    assert torch.equal(dense.row_degree(magnitude).expand(2, 2), row_sums)
    assert torch.equal(dense.column_degree(magnitude).expand(2, 2), column_degree)

    rows = edge_rows(2, 2, bipartite)
    entries = magnitude.view(4, 1)
    assert torch.equal(rows.row_degree(entries).view(2, 2), row_sums)
    assert torch.equal(rows.column_degree(entries).view(2, 2), column_degree)


def test_softmax_by_hand() -> None:
    score = torch.tensor([[0.0, 3.0], [1.0, 1.0]]).log()
    expected = torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    assert torch.allclose(DenseRows(False).softmax(score), expected)

    score = torch.tensor([[1.0, 3.0], [2.0, 2.0]]).log()
    expected = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    assert torch.allclose(DenseRows(False).softmax(score), expected)
    assert torch.allclose(edge_rows(2, 2, False).softmax(score.view(4, 1)).view(2, 2), expected)
