"""Buckets of graphs: every node once, beside the nodes of its own graph, and little padding."""

from __future__ import annotations

from itertools import accumulate

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnreloc.nn.size_buckets import Bucket, size_buckets

SIZES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=25)


def owner(sizes: list[int]) -> list[int]:
    """Graph of each node."""
    return [graph for graph, size in enumerate(sizes) for _ in range(size)]


def real(bucket: Bucket, row: int) -> tuple[list[int], list[int]]:
    """Receiving and sending nodes of one graph of a bucket, without padding."""
    targets, sources = bucket.targets[row], bucket.sources[row]
    if bucket.target_mask is None or bucket.source_mask is None:
        return targets.tolist(), sources.tolist()
    return (
        targets[bucket.target_mask[row]].tolist(),
        sources[bucket.source_mask[row]].tolist(),
    )


def check(source_sizes: list[int], target_sizes: list[int]) -> list[Bucket]:
    buckets = size_buckets(source_sizes, target_sizes)
    source_owner, target_owner = owner(source_sizes), owner(target_sizes)
    seen = []
    for bucket in buckets:
        filled = 0
        for row in range(bucket.targets.size(0)):
            targets, sources = real(bucket, row)
            graph = target_owner[targets[0]]
            starts = [list(accumulate(s, initial=0))[graph] for s in (target_sizes, source_sizes)]
            assert targets == list(range(starts[0], starts[0] + target_sizes[graph]))
            assert sources == list(range(starts[1], starts[1] + source_sizes[graph]))
            assert {source_owner[node] for node in sources} == {graph}
            seen.append(graph)
            filled += len(targets) * len(sources)
        area = bucket.targets.numel() * bucket.sources.size(1)
        assert filled >= area * 7 / 8
        assert (bucket.target_mask is None) == (bucket.source_mask is None)
        assert (bucket.target_mask is None) == (filled == area)
        for nodes, mask in zip(bucket[:2], bucket[2:], strict=True):
            assert mask is None or (nodes[~mask] == 0).all()
    both = zip(source_sizes, target_sizes, strict=True)
    assert sorted(seen) == [graph for graph, (s, t) in enumerate(both) if s * t > 0]
    return buckets


@settings(deadline=None, max_examples=200, derandomize=True)
@given(SIZES)
def test_bipartite_graphs(sizes: list[tuple[int, int]]) -> None:
    check([s for s, _ in sizes], [t for _, t in sizes])


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.lists(st.integers(0, 200), max_size=40))
def test_graphs(sizes: list[int]) -> None:
    check(sizes, sizes)


def test_graphs_of_about_one_size_share_a_bucket() -> None:
    sizes = [95, 100, 97, 10, 99, 98]
    buckets = check(sizes, sizes)
    assert [bucket.targets.shape for bucket in buckets] == [(1, 10), (5, 100)]


def test_by_hand() -> None:
    (bucket,) = size_buckets([15, 16], [15, 16])
    assert bucket.targets.tolist() == [[*range(15), 0], [*range(15, 31)]]
    assert bucket.target_mask is not None
    assert bucket.target_mask.tolist() == [[True] * 15 + [False], [True] * 16]


def test_nothing_to_do() -> None:
    assert size_buckets([], []) == []
    assert size_buckets([0, 3], [2, 0]) == []


def test_numbers_live_where_they_are_wanted() -> None:
    (bucket,) = size_buckets([2], [3], device="meta")
    assert bucket.targets.device == bucket.sources.device == torch.device("meta")
