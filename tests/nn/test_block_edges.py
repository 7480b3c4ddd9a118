"""Edges inside the graphs of a batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnnreloc.nn.block_edges import block_edges, graph_sizes

sizes = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=5)


@given(sizes)
def test_edges_are_the_entries_of_a_block_diagonal_matrix(pairs: list[tuple[int, int]]) -> None:
    source_sizes = [source for source, _ in pairs]
    target_sizes = [target for _, target in pairs]
    expected = []
    for graph, (sources, targets) in enumerate(pairs):
        for target in range(targets):
            for source in range(sources):
                expected.append(
                    (source + sum(source_sizes[:graph]), target + sum(target_sizes[:graph]))
                )
    edge_index = block_edges(source_sizes, target_sizes)
    assert edge_index.shape == (2, len(expected))
    assert edge_index.dtype == torch.long
    assert list(map(tuple, edge_index.t().tolist())) == expected


def test_sizes_must_match() -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        block_edges([1, 2], [3])


def test_graph_sizes() -> None:
    batch = torch.tensor([0, 0, 2])
    assert graph_sizes((6, 6), None, None) == ([6], [6])
    assert graph_sizes((6, 6), None, 3) == ([2, 2, 2], [2, 2, 2])
    assert graph_sizes((3, 3), batch, None) == ([2, 0, 1], [2, 0, 1])
    assert graph_sizes((3, 3), batch, 4) == ([2, 0, 1, 0], [2, 0, 1, 0])
    assert graph_sizes((3, 1), (batch, torch.tensor([1])), 3) == ([2, 0, 1], [0, 1, 0])
    for batch_size in (None, 3):
        with pytest.raises(ValueError, match="'batch' needs a whole number for each of 5 nodes"):
            graph_sizes((5, 5), batch, batch_size)
    with pytest.raises(ValueError, match="5 nodes are not 2 graphs"):
        graph_sizes((5, 5), None, 2)
