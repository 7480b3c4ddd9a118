"""Complete graphs over query and proposal."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from gnnreloc.transforms import CompleteTemporal, complete_adjacency, complete_edges

ONES, ZEROS = torch.ones(3, 3), torch.zeros(3, 3)
BLOCKS = {
    "all": torch.ones(6, 6),
    "cross": torch.cat([torch.cat([ZEROS, ONES]), torch.cat([ONES, ZEROS])], dim=1),
    "intra": torch.cat([torch.cat([ONES, ZEROS]), torch.cat([ZEROS, ONES])], dim=1),
}


def test_repr() -> None:
    assert str(CompleteTemporal(support="cross")) == "CompleteTemporal(support=cross)"


@pytest.mark.parametrize("support", ["all", "cross", "intra"])
def test_blocks(support: str) -> None:
    expected = BLOCKS[support]
    assert torch.equal(complete_adjacency(3, support=support, normalization="none"), expected)
    normalized = expected / expected.sum(dim=1, keepdim=True)
    for normalization in ("row", "sym"):
        adjacency = complete_adjacency(3, support=support, normalization=normalization)
        assert torch.allclose(adjacency, normalized)


@pytest.mark.parametrize("support", ["all", "cross", "intra"])
def test_transform_sets_the_entries(support: str) -> None:
    data = Data(x=torch.randn(6, 2))
    out = CompleteTemporal(support=support, normalization="none")(data)
    target, source = BLOCKS[support].nonzero(as_tuple=True)
    assert torch.equal(out.edge_index, torch.stack([source, target]))
    assert torch.equal(out.edge_weight, torch.ones(len(source)))
    assert "edge_index" not in data
    again = CompleteTemporal(support=support, normalization="none")(Data(x=torch.randn(6, 2)))
    assert again.edge_index is out.edge_index


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="'support' must be one of all, cross, intra"):
        CompleteTemporal(support="both")
    with pytest.raises(ValueError, match="'normalization' must be one of none, row, sym"):
        CompleteTemporal(normalization="column")
    with pytest.raises(ValueError, match=r"at least 1 timestep \(got 0\)"):
        complete_edges(0)
    with pytest.raises(ValueError, match=r"\(got 5 nodes\)"):
        CompleteTemporal()(Data(x=torch.randn(5, 2)))
