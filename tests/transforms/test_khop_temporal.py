"""Fixed temporal graphs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from gnnreloc.transforms import (
    KHopTemporal,
    complete_adjacency,
    khop_adjacency,
    khop_edges,
)

options = st.fixed_dictionaries(
    {
        "offsets": st.sampled_from(["upto", "exact", "upto_inclusive", "exact_inclusive"]),
        "cross": st.booleans(),
        "intra": st.sampled_from(["none", "chain", "full"]),
        "self_loops": st.booleans(),
        "normalization": st.sampled_from(["none", "row", "sym"]),
    }
)
Options = dict[str, str | bool]


def pair_graph(timesteps: int) -> Data:
    return Data(x=torch.randn(2 * timesteps, 3), is_query=torch.arange(2 * timesteps) < timesteps)


def test_repr() -> None:
    assert str(KHopTemporal(2)) == "KHopTemporal(k=2, offsets=upto, intra=none)"


def test_by_hand() -> None:
    expected = torch.tensor(
        [
            [1, 0, 0, 1, 1, 0],
            [0, 1, 0, 1, 1, 1],
            [0, 0, 1, 0, 1, 1],
            [1, 1, 0, 1, 0, 0],
            [1, 1, 1, 0, 1, 0],
            [0, 1, 1, 0, 0, 1],
        ]
    ).float()
    assert torch.equal(khop_adjacency(3, 2, normalization="none"), expected)
    assert torch.equal(khop_adjacency(3, 2), expected / expected.sum(dim=1, keepdim=True))
    degree = expected.sum(dim=1).diag().rsqrt().nan_to_num(posinf=0.0)
    assert torch.allclose(khop_adjacency(3, 2, normalization="sym"), degree @ expected @ degree)


@given(st.integers(1, 6), st.integers(1, 8), options)
def test_entries_follow_the_definition(timesteps: int, k: int, choice: Options) -> None:
    choice = {**choice, "normalization": "none"}
    adjacency = khop_adjacency(timesteps, k, **choice)
    for i in range(2 * timesteps):
        for j in range(2 * timesteps):
            distance = abs(i % timesteps - j % timesteps)
            if i // timesteps != j // timesteps:
                joined = {
                    "upto": distance <= k - 1,
                    "exact": distance == k - 1,
                    "upto_inclusive": distance <= k,
                    "exact_inclusive": distance == k,
                }[str(choice["offsets"])]
                joined = joined and bool(choice["cross"])
            else:
                joined = {"none": False, "chain": distance == 1, "full": True}[str(choice["intra"])]
                joined = joined or (bool(choice["self_loops"]) and distance == 0)
            assert adjacency[i, j] == float(joined)


@given(st.integers(1, 6), st.integers(1, 8), options)
def test_edges_are_the_entries_in_row_major_order(timesteps: int, k: int, choice: Options) -> None:
    adjacency = khop_adjacency(timesteps, k, **choice)
    edge_index, edge_weight = khop_edges(timesteps, k, **choice)
    source, target = edge_index
    rebuilt = torch.zeros_like(adjacency).index_put((target, source), edge_weight)
    assert torch.equal(rebuilt, adjacency)
    assert (edge_weight > 0).all()
    assert torch.equal(target * 2 * timesteps + source, adjacency.flatten().nonzero().flatten())


@given(st.integers(1, 6), st.integers(1, 8), options)
def test_rows_sum_to_one_or_are_empty(timesteps: int, k: int, choice: Options) -> None:
    choice = {**choice, "normalization": "row"}
    sums = khop_adjacency(timesteps, k, **choice).sum(dim=1)
    assert torch.allclose(sums, (sums > 0).float())


@given(st.integers(1, 6), st.integers(0, 2))
def test_large_k_is_the_complete_graph(timesteps: int, more: int) -> None:
    adjacency = khop_adjacency(timesteps, timesteps + more, intra="full", self_loops=False)
    assert torch.equal(adjacency, complete_adjacency(timesteps))
    assert torch.equal(adjacency, torch.full_like(adjacency, 1 / (2 * timesteps)))


def test_transform_sets_the_edges_and_nothing_else() -> None:
    data = pair_graph(4)
    data.edge_index = torch.zeros(2, 1, dtype=torch.long)
    out = KHopTemporal(2, offsets="exact_inclusive", intra="chain", normalization="sym")(data)
    edge_index, edge_weight = khop_edges(
        4, 2, offsets="exact_inclusive", intra="chain", normalization="sym"
    )
    assert torch.equal(out.edge_index, edge_index)
    assert torch.equal(out.edge_weight, edge_weight)
    assert out.x is data.x
    assert set(out.keys()) == {"x", "is_query", "edge_index", "edge_weight"}
    assert data.edge_index.shape == (2, 1)


def test_edges_are_shared_and_batches_shift_them() -> None:
    transform = KHopTemporal(1)
    graphs = [transform(pair_graph(3)) for _ in range(2)]
    assert graphs[0].edge_index is graphs[1].edge_index
    before = graphs[0].edge_index.clone()
    batch = Batch.from_data_list(graphs)
    assert torch.equal(batch.edge_index, torch.cat([before, before + 6], dim=1))
    assert torch.equal(graphs[0].edge_index, before)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"'k' must be at least 1 \(got 0\)"):
        KHopTemporal(0)
    with pytest.raises(ValueError, match="'offsets' must be one of upto, exact"):
        KHopTemporal(1, offsets="below")
    with pytest.raises(ValueError, match="'intra' must be one of none, chain, full"):
        KHopTemporal(1, intra="ring")
    with pytest.raises(ValueError, match="'normalization' must be one of none, row, sym"):
        khop_adjacency(3, 1, normalization="column")
    with pytest.raises(ValueError, match=r"at least 1 timestep \(got 0\)"):
        khop_edges(0, 1)
    for nodes in (5, 0):
        with pytest.raises(ValueError, match=rf"\(got {nodes} nodes\)"):
            KHopTemporal(1)(Data(x=torch.randn(nodes, 3)))
