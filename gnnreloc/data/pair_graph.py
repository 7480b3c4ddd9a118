"""The pair graph: a query clip and a proposal as one PyG graph with 2T nodes."""

from __future__ import annotations

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

    Returns:
        :class:`~torch_geometric.data.Data` with ``x [2T, C]``, ``time [2T]`` (position in the clip,
        0 to 1), ``is_query [2T]``, ``segment [1, 2]``, ``target [1, 2]``, ``overlap [1]``,
        ``pair [1]``.

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
    timesteps = query.size(0)
    position = (torch.arange(timesteps) + 0.5) / timesteps
    if target is None:
        target = torch.full((2,), float("nan"), dtype=torch.float64)
    return Data(
        x=torch.cat([query, proposal]),
        time=position.repeat(2),
        is_query=torch.arange(2 * timesteps) < timesteps,
        segment=segment.reshape(1, 2),
        target=target.reshape(1, 2),
        overlap=torch.tensor([overlap], dtype=torch.float32),
        pair=torch.tensor([pair]),
        num_nodes=2 * timesteps,
    )
