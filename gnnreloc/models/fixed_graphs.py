"""The fixed graphs of a relocalizer, as edges and as matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnreloc.transforms import CompleteTemporal, KHopTemporal, complete_adjacency, khop_adjacency


def fixed_graphs(
    graph: str, timesteps: int, hops: Sequence[int], support: str, **options: Any
) -> tuple[Callable[[Data], Data] | None, list[Tensor]]:
    """The fixed graphs of a kind.

    Args:
        graph: ``khop`` or ``hybrid`` (one graph for each k), ``complete``, ``identity``, or
            another for none.
        timesteps: number of timesteps T of a clip.
        hops: the set of k.
        support: node pairs that the complete graph joins.
        **options: of :class:`~gnnreloc.transforms.KHopTemporal`.

    Returns:
        What sets the edges of all of them in a pair graph, None without any, and the matrix of
        each, ``[2T, 2T]``.
    """
    if graph in ("khop", "hybrid"):
        matrices = [khop_adjacency(timesteps, k, **options) for k in hops]
        return KHopTemporal(hops, **options), matrices
    if graph == "complete":
        return CompleteTemporal(support=support), [complete_adjacency(timesteps, support=support)]
    if graph == "identity":
        return KHopTemporal(1, cross=False), [torch.eye(2 * timesteps)]
    return None, []
