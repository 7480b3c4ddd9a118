"""The pair graph: a query clip and a proposal as one PyG graph with 2T nodes."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnreloc.errors import InputError


def pair_graph(
    query: Tensor,
    proposal: Tensor,
    segment: Tensor,
    *,
    target: Tensor | None = None,
    overlap: float = 0.0,
    pair: int = 0,
    query_duration: float = math.nan,
) -> Data:
    r"""Stack a query and a proposal, each resampled to T timesteps, into one graph without edges.

    Nodes :math:`0..T-1` are the query's timesteps, nodes :math:`T..2T-1` the proposal's (Section
    4.2 of the paper). Edges are put in by a transform or learned by a layer.

    Args:
        query: ``[T, C]``.
        proposal: ``[T, C]``.
        segment: ``[2]``, the proposal's start and end in seconds.
        target: ``[2]``, the annotated moment that the proposal overlaps most; NaN if unknown.
        overlap: tIoU of ``segment`` and ``target``.
        pair: number shared by the graphs of one query-reference pair in a batch.
        query_duration: of the query in seconds; NaN if unknown.

    Returns:
        :class:`~torch_geometric.data.Data` with ``x [2T, C]``, ``time [2T]`` (position in the clip,
        0 to 1), ``is_query [2T]``, ``segment [1, 2]``, ``target [1, 2]``, ``overlap [1]``,
        ``pair [1]``, ``query_duration [1]``.

    Raises:
        InputError: if the two clips do not have the same shape or no timestep, or ``segment`` or
            ``target`` does not hold two times.
    """
    if query.shape != proposal.shape or query.dim() != 2 or query.size(0) == 0:
        raise InputError(
            f"query and proposal must both be [T, C] with T >= 1, got {list(query.shape)} and "
            f"{list(proposal.shape)}"
        )
    for name, times in (("segment", segment), ("target", target)):
        if times is not None and times.numel() != 2:
            raise InputError(f"{name} must hold start and end, got shape {list(times.shape)}")
    [graph] = pair_graphs(
        query,
        proposal.unsqueeze(0),
        segment.reshape(1, 2),
        targets=None if target is None else target.reshape(1, 2),
        overlaps=torch.tensor([overlap]),
        pair=pair,
        query_duration=query_duration,
    )
    return graph


def pair_graphs(
    query: Tensor,
    proposals: Tensor,
    segments: Tensor,
    *,
    targets: Tensor | None = None,
    overlaps: Tensor | None = None,
    pair: int = 0,
    query_duration: float = math.nan,
) -> list[Data]:
    """The graphs of one query with several proposals, as :func:`pair_graph` builds each.

    They share memory: what is the same in all of them is there once. Change an attribute by giving
    the graph another tensor, not in place.

    Args:
        query: ``[T, C]``.
        proposals: ``[m, T, C]``.
        segments: ``[m, 2]``, start and end of each proposal in seconds.
        targets: ``[m, 2]``, the annotated moment that each proposal overlaps most; NaN if unknown.
        overlaps: tIoU of ``segments`` and ``targets``, ``[m]``; 0 if unknown.
        pair: number shared by the graphs.
        query_duration: of the query in seconds; NaN if unknown.

    Raises:
        InputError: if shapes do not fit each other, or a clip has no timestep.
    """
    number, timesteps = proposals.size(0), query.size(0)
    if targets is None:
        targets = torch.full((number, 2), float("nan"), dtype=torch.float64)
    if overlaps is None:
        overlaps = torch.zeros(number)
    wanted = {
        "proposals": (proposals, (number, *query.shape)),
        "segments": (segments, (number, 2)),
        "targets": (targets, (number, 2)),
        "overlaps": (overlaps, (number,)),
    }
    for name, (tensor, shape) in wanted.items():
        if tensor.shape != shape or query.dim() != 2 or timesteps == 0:
            raise InputError(
                f"query [T, C] with T >= 1 is {list(query.shape)}: {name} must be {list(shape)}, "
                f"got {list(tensor.shape)}"
            )
    position = (torch.arange(timesteps) + 0.5) / timesteps
    common = Data(
        time=position.repeat(2),
        is_query=torch.arange(2 * timesteps) < timesteps,
        pair=torch.tensor([pair]),
        query_duration=torch.tensor([query_duration], dtype=torch.float64),
        num_nodes=2 * timesteps,
    )
    own = {
        "x": torch.cat([query.expand_as(proposals), proposals], dim=1).unbind(),
        "segment": segments.split(1),
        "target": targets.split(1),
        "overlap": overlaps.float().split(1),
    }
    graphs = [copy.copy(common) for _ in range(number)]
    for name, values in own.items():
        for graph, value in zip(graphs, values, strict=True):
            graph[name] = value
    return graphs
