"""Graphs of different sizes, put together so that little is padded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

#: Share of a bucket's matrix entries that may be padding.
PADDING = 1 / 8


class Bucket(NamedTuple):
    """Graphs of about one size.

    Attributes:
        targets: Number of each receiving node :math:`(B, n)`, 0 for padding.
        sources: Number of each sending node :math:`(B, m)`, 0 for padding.
        target_mask: False for padding, or None where nothing is padded.
        source_mask: The same for the sending nodes.
    """

    targets: Tensor
    sources: Tensor
    target_mask: Tensor | None
    source_mask: Tensor | None


def size_buckets(
    source_sizes: Sequence[int],
    target_sizes: Sequence[int],
    device: torch.device | str | None = None,
) -> list[Bucket]:
    """Sort graphs by size and pad those of about one size to the largest of them.

    At most an eighth of the adjacency matrices of a bucket is padding. Graphs without nodes on
    one of the sides are left out: their products are empty or 0.

    Args:
        source_sizes: Number of sending nodes of each graph.
        target_sizes: Number of receiving nodes of each graph.
        device: Where the node numbers live.

    Examples:
        >>> [bucket.targets.tolist() for bucket in size_buckets([2, 1, 2], [2, 1, 2])]
        [[[2]], [[0, 1], [3, 4]]]
    """
    sizes = list(zip(target_sizes, source_sizes, strict=True))
    groups: list[list[int]] = []
    filled = width = 0
    for graph in sorted(range(len(sizes)), key=lambda graph: sizes[graph]):
        targets, sources = sizes[graph]
        if targets * sources == 0:
            continue
        # Sorted by targets, so only the number of sources may shrink from one to the next.
        widest, sum_of_both = max(width, sources), filled + targets * sources
        members = len(groups[-1]) + 1 if groups else 1
        if not groups or sum_of_both < (1 - PADDING) * members * targets * widest:
            groups.append([])
            widest, sum_of_both = sources, targets * sources
        groups[-1].append(graph)
        filled, width = sum_of_both, widest

    buckets = []
    for group in groups:
        target, target_mask = _numbers(target_sizes, group, device)
        source, source_mask = _numbers(source_sizes, group, device)
        padded = len({sizes[graph] for graph in group}) > 1
        masks = (target_mask, source_mask) if padded else (None, None)
        buckets.append(Bucket(target, source, *masks))
    return buckets


def _numbers(
    sizes: Sequence[int], group: Sequence[int], device: torch.device | str | None
) -> tuple[Tensor, Tensor]:
    """Node numbers of some graphs, padded with 0, and False for padding."""
    starts = list(accumulate(sizes, initial=0))
    chosen = torch.tensor([[starts[g], sizes[g]] for g in group], device=device)
    place = torch.arange(max(sizes[g] for g in group), device=device)
    mask = place < chosen[:, 1:]
    return (chosen[:, :1] + place).masked_fill(~mask, 0), mask
