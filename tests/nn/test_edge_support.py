"""Supports and padding."""

from __future__ import annotations

import pytest
import torch

from gnnreloc.nn.block_edges import block_edges
from gnnreloc.nn.edge_support import dense_support, edge_support, valid_entries

GROUP = torch.tensor([True, False, True])
SAME = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1]]).bool()


@pytest.mark.parametrize("support", ["cross", "intra"])
def test_groups(support: str) -> None:
    expected = SAME if support == "intra" else ~SAME
    dense = dense_support(support, None, GROUP)
    edges = edge_support(support, block_edges([3]), GROUP)
    assert dense is not None and torch.equal(dense, expected.view(1, 1, 3, 3))
    assert edges is not None and torch.equal(edges, expected.flatten())


def test_groups_of_a_bipartite_graph() -> None:
    group = (GROUP.long(), torch.tensor([0, 1]))
    expected = torch.tensor([[True, False, True], [False, True, False]])
    dense = dense_support("cross", None, group)
    edges = edge_support("cross", block_edges([3], [2]), group)
    assert dense is not None and torch.equal(dense, expected.view(1, 1, 2, 3))
    assert edges is not None and torch.equal(edges, expected.flatten())


def test_padding_is_outside() -> None:
    mask = torch.tensor([[True, True, False]])
    outside = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 0]]).bool()
    assert torch.equal(valid_entries(mask), outside.view(1, 1, 3, 3))
    dense = dense_support("intra", mask, GROUP.unsqueeze(0))
    assert dense is not None and torch.equal(dense[0, 0], outside & SAME)


def test_all_needs_no_group() -> None:
    assert dense_support("all", None, None) is None
    assert edge_support("all", block_edges([3]), None) is None
    with pytest.raises(ValueError, match="'cross' needs the 'group'"):
        edge_support("cross", block_edges([3]), None)
    with pytest.raises(ValueError, match="'intra' needs the 'group'"):
        dense_support("intra", None, None)
