"""The pair graph by hand, and what PyG's batching does to it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from gnnreloc.data import pair_graph
from gnnreloc.data.pair_graph import pair_graphs
from gnnreloc.errors import InputError

ATTRIBUTES = {
    *("x", "time", "is_query", "segment", "target", "overlap", "pair", "num_nodes"),
    "query_duration",
}


def seconds(start: float, end: float) -> Tensor:
    return torch.tensor([start, end], dtype=torch.float64)


def example(pair: int = 0, timesteps: int = 2) -> Data:
    query = torch.arange(3.0 * timesteps).view(timesteps, 3)
    return pair_graph(
        query,
        -query,
        seconds(1.0, 3.0),
        target=seconds(2.0, 3.0),
        overlap=0.5,
        pair=pair,
        query_duration=2.5 + pair,
    )


def test_by_hand() -> None:
    graph = example(pair=7)
    assert set(graph.keys()) == ATTRIBUTES
    assert graph.x.tolist() == [[0, 1, 2], [3, 4, 5], [0, -1, -2], [-3, -4, -5]]
    assert graph.time.tolist() == [0.25, 0.75, 0.25, 0.75]
    assert graph.is_query.tolist() == [True, True, False, False]
    assert graph.segment.tolist() == [[1.0, 3.0]] and graph.target.tolist() == [[2.0, 3.0]]
    assert graph.overlap.tolist() == [0.5] and graph.pair.tolist() == [7]
    assert graph.query_duration.tolist() == [9.5]
    assert graph.num_nodes == 4 and graph.edge_index is None
    assert graph.validate()


def test_types() -> None:
    graph = example()
    assert graph.segment.dtype == graph.target.dtype == torch.float64
    assert graph.query_duration.dtype == torch.float64
    assert graph.x.dtype == graph.time.dtype == graph.overlap.dtype == torch.float32
    assert graph.is_query.dtype == torch.bool and graph.pair.dtype == torch.int64


def test_a_proposal_without_truth_has_a_nan_target() -> None:
    clip = torch.zeros(3, 1)
    graph = pair_graph(clip, clip, seconds(0.0, 1.0))
    assert all(math.isnan(value) for value in graph.target.flatten().tolist())
    assert graph.target.shape == (1, 2) and graph.target.dtype == torch.float64
    assert graph.overlap.tolist() == [0.0]
    assert math.isnan(graph.query_duration)


def test_batching_concatenates_and_rewrites_nothing() -> None:
    graphs = [example(pair, timesteps) for pair, timesteps in ((5, 2), (5, 3), (9, 1))]
    batch = Batch.from_data_list(graphs)
    assert set(batch.keys()) == ATTRIBUTES | {"batch", "ptr"}
    for name in ATTRIBUTES - {"num_nodes"}:
        assert torch.equal(batch[name], torch.cat([graph[name] for graph in graphs])), name
    assert batch.pair.tolist() == [5, 5, 9]
    assert batch.num_nodes == 12 and batch.ptr.tolist() == [0, 4, 10, 12]
    for graph, back in zip(graphs, batch.to_data_list(), strict=True):
        assert all(torch.equal(graph[name], back[name]) for name in ATTRIBUTES - {"num_nodes"})


@pytest.mark.parametrize(
    ("query", "proposal"),
    [((2, 3), (3, 3)), ((2, 3), (2, 4)), ((2,), (2,)), ((1, 2, 3), (1, 2, 3)), ((0, 3), (0, 3))],
)
def test_clips_of_unlike_shape(query: tuple[int, ...], proposal: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"both be \[T, C\] with T >= 1, got \["):
        pair_graph(torch.zeros(query), torch.zeros(proposal), seconds(0.0, 1.0))


def test_times_must_be_two() -> None:
    clip = torch.zeros(2, 1)
    with pytest.raises(InputError, match=r"segment must hold start and end, got shape \[3\]"):
        pair_graph(clip, clip, torch.zeros(3))
    with pytest.raises(InputError, match=r"target must hold start and end, got shape \[2, 2\]"):
        pair_graph(clip, clip, seconds(0.0, 1.0), target=torch.zeros(2, 2))


@pytest.mark.parametrize("known", [True, False])
def test_several_at_once_are_each_alone(known: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query, proposals = torch.rand(3, 2, generator=generator), torch.rand(4, 3, 2)
    segments, targets = torch.rand(2, 4, 2, generator=generator, dtype=torch.float64)
    overlaps = torch.rand(4, generator=generator, dtype=torch.float64)
    options = {"targets": targets, "overlaps": overlaps} if known else {}
    duration = {"query_duration": 1.5} if known else {}
    graphs = pair_graphs(query, proposals, segments, pair=5, **options, **duration)
    assert len(graphs) == 4
    for row, graph in enumerate(graphs):
        truth = {"target": targets[row], "overlap": float(overlaps[row])} if known else {}
        alone = pair_graph(query, proposals[row], segments[row], pair=5, **truth, **duration)
        assert list(graph.keys()) != [] and set(graph.keys()) == set(alone.keys())
        assert graph.num_nodes == 6
        for name in ATTRIBUTES - {"num_nodes"}:
            assert graph[name].dtype == alone[name].dtype
            assert torch.equal(graph[name].nan_to_num(), alone[name].nan_to_num()), name
    graphs[0].pair = torch.tensor([8])
    assert [graph.pair.item() for graph in graphs] == [8, 5, 5, 5]


@pytest.mark.parametrize(
    ("changed", "culprit"),
    [
        ({"proposals": torch.zeros(4, 2, 2)}, r"proposals must be \[4, 3, 2\], got \[4, 2, 2\]"),
        ({"segments": torch.zeros(3, 2)}, r"segments must be \[4, 2\], got \[3, 2\]"),
        ({"targets": torch.zeros(4, 3)}, r"targets must be \[4, 2\], got \[4, 3\]"),
        ({"overlaps": torch.zeros(4, 1)}, r"overlaps must be \[4\], got \[4, 1\]"),
    ],
)
def test_several_that_do_not_fit(changed: dict[str, Tensor], culprit: str) -> None:
    arguments = {
        "query": torch.zeros(3, 2),
        "proposals": torch.zeros(4, 3, 2),
        "segments": torch.zeros(4, 2),
    }
    with pytest.raises(InputError, match=culprit):
        pair_graphs(**(arguments | changed))
