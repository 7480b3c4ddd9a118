"""Edges between every pair of nodes inside each graph of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def block_edges(
    source_sizes: Sequence[int],
    target_sizes: Sequence[int] | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Edges from every source to every target inside each graph, self-loops included.

    The edges stand in the row-major order of the block-diagonal adjacency matrix: sorted by
    target, then by source. Sizes are Python numbers, so graphs of one common size are built
    without waiting for the device.

    Args:
        source_sizes: Number of sending nodes of each graph.
        target_sizes: Number of receiving nodes of each graph, `source_sizes` by default.
        device: Where the edges live.

    Returns:
        Edge index :math:`(2, E)`: row 0 holds sources, row 1 targets.

    Raises:
        ValueError: If the two lists differ in length.

    Examples:
        >>> block_edges([2, 1])
        tensor([[0, 1, 0, 1, 2],
                [0, 0, 1, 1, 2]])
        >>> block_edges([2], [1])
        tensor([[0, 1],
                [0, 0]])
    """
    target_sizes = source_sizes if target_sizes is None else target_sizes
    if len(source_sizes) != len(target_sizes):
        raise ValueError(
            f"Every graph needs a source and a target size (got {len(source_sizes)} and "
            f"{len(target_sizes)}): give 'batch_size' where the last graphs may be empty"
        )
    if len(set(source_sizes)) <= 1 and len(set(target_sizes)) <= 1:
        return _equal_blocks(len(source_sizes), source_sizes, target_sizes, device)

    sources = torch.tensor(source_sizes, device=device)
    targets = torch.tensor(target_sizes, device=device)
    graph = torch.repeat_interleave(targets, output_size=sum(target_sizes))
    degree = sources[graph]
    num_edges = sum(s * t for s, t in zip(source_sizes, target_sizes, strict=True))
    target = torch.repeat_interleave(degree, output_size=num_edges)
    first_source = (sources.cumsum(0) - sources)[graph]
    first_edge = degree.cumsum(0) - degree
    source = torch.arange(num_edges, device=device) + (first_source - first_edge)[target]
    return torch.stack([source, target])


def graph_sizes(
    num_nodes: tuple[int, int],
    batch: Tensor | tuple[Tensor, Tensor] | None,
    batch_size: int | None,
) -> tuple[list[int], list[int]]:
    """Count the sending and the receiving nodes of each graph in a batch.

    Args:
        num_nodes: Number of sending and of receiving nodes of all graphs together.
        batch: Sorted graph number of each node, shape (N), or of each sending and each receiving
            node. Reading it waits for the device. None stands for graphs of one size.
        batch_size: Number of graphs. By default 1 without `batch`, and else read from it.

    Returns:
        Number of sending and of receiving nodes of each graph.

    Raises:
        ValueError: If `batch` does not number every node, or is None and the nodes cannot be split
            evenly.

    Examples:
        >>> graph_sizes((4, 4), torch.tensor([0, 0, 0, 2]), None)
        ([3, 0, 1], [3, 0, 1])
        >>> graph_sizes((4, 2), None, 2)
        ([2, 2], [1, 1])
    """
    if batch is None:
        return _split_evenly(num_nodes[0], batch_size), _split_evenly(num_nodes[1], batch_size)
    both = (batch, batch) if isinstance(batch, Tensor) else batch
    for nodes, numbers in zip(num_nodes, both, strict=True):
        if numbers.shape != (nodes,) or numbers.dtype not in (torch.int32, torch.int64):
            raise ValueError(
                f"'batch' needs a whole number for each of {nodes} nodes (got {numbers.dtype}, "
                f"{list(numbers.shape)})"
            )
        if bool((numbers[1:] < numbers[:-1]).any()):
            raise ValueError("'batch' must be sorted: the nodes of a graph stand together")
        if nodes > 0 and not (0 <= int(numbers[0]) and int(numbers[-1]) < (batch_size or 2**62)):
            found = f"{int(numbers[0])} to {int(numbers[-1])}"
            raise ValueError(f"'batch' must number graphs from 0 below 'batch_size' (got {found})")
    if isinstance(batch, Tensor):
        sizes = _count(batch, batch_size)
        return sizes, sizes
    sizes, others = _count(batch[0], batch_size), _count(batch[1], batch_size)
    if len(sizes) != len(others):
        raise ValueError(
            f"{len(sizes)} graphs of sending and {len(others)} of receiving nodes: give "
            "'batch_size' where the last graphs may be empty on one side"
        )
    return sizes, others


def _split_evenly(num_nodes: int, batch_size: int | None) -> list[int]:
    batch_size = 1 if batch_size is None else batch_size
    if batch_size < 1 or num_nodes % batch_size != 0:
        raise ValueError(
            f"{num_nodes} nodes are not {batch_size} graphs of one size: 'batch' is needed"
        )
    return [num_nodes // batch_size] * batch_size


def _count(batch: Tensor, batch_size: int | None) -> list[int]:
    sizes: list[int] = batch.bincount(minlength=batch_size or 0).tolist()
    return sizes


def _equal_blocks(
    num_graphs: int,
    source_sizes: Sequence[int],
    target_sizes: Sequence[int],
    device: torch.device | str | None,
) -> Tensor:
    """Edges of graphs that all have one size, from two ranges."""
    if num_graphs == 0:
        return torch.empty(2, 0, dtype=torch.long, device=device)
    sources, targets = source_sizes[0], target_sizes[0]
    shape = (num_graphs, targets, sources)
    source = torch.arange(num_graphs * sources, device=device).view(num_graphs, 1, sources)
    target = torch.arange(num_graphs * targets, device=device).view(num_graphs, targets, 1)
    return torch.stack([source.expand(shape).reshape(-1), target.expand(shape).reshape(-1)])
