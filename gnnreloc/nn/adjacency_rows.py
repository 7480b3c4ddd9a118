"""The receiving rows of an adjacency matrix, as a dense matrix or as an edge list.

Both classes offer the same operations, so that a rule for edge weights is written once and
runs in either form. Row :math:`i` holds the weights of everything that node :math:`i` receives.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch_geometric.utils import scatter
from torch_geometric.utils import softmax as edge_softmax


class AdjacencyRows(Protocol):
    """What a rule for edge weights needs to know about the rows of an adjacency matrix."""

    def top_k(self, score: Tensor, k: int) -> Tensor:
        """Mark the `k` largest scores of each row; of equal scores the lowest column wins."""

    def softmax(self, score: Tensor) -> Tensor:
        """Softmax over the entries of each row."""

    def row_degree(self, size: Tensor) -> Tensor:
        """Sum of each entry's own row, broadcastable to the entries."""

    def column_degree(self, size: Tensor) -> Tensor:
        """Degree of the node that each entry's column stands for, broadcastable to the entries."""


class DenseRows:
    r"""Rows of dense matrices :math:`(\ldots, N_{dst}, N_{src})`.

    Args:
        bipartite: Rows and columns are different nodes: the degree of a column is then the sum
            of that column. Otherwise it is the sum of the row of the same node.
    """

    def __init__(self, bipartite: bool) -> None:
        self.bipartite = bipartite

    def top_k(self, score: Tensor, k: int) -> Tensor:
        """Mark the `k` largest scores of each row; of equal scores the lowest column wins."""
        if k >= score.size(-1):
            return torch.ones_like(score, dtype=torch.bool)
        least = score.topk(k, dim=-1).values[..., -1:]
        above, tied = score > least, score == least
        room = k - above.sum(dim=-1, keepdim=True)
        return above | (tied & (tied.cumsum(dim=-1) <= room))

    def softmax(self, score: Tensor) -> Tensor:
        """Softmax over the entries of each row."""
        return score.softmax(dim=-1)

    def row_degree(self, size: Tensor) -> Tensor:
        r"""Sum of each row, shape :math:`(\ldots, N_{dst}, 1)`."""
        return size.sum(dim=-1, keepdim=True)

    def column_degree(self, size: Tensor) -> Tensor:
        r"""Degree of each column's node, shape :math:`(\ldots, 1, N_{src})`."""
        if self.bipartite:
            return size.sum(dim=-2, keepdim=True)
        return self.row_degree(size).transpose(-1, -2)


class EdgeRows:
    r"""Rows of an edge list, one entry per edge, scores :math:`(E, H)`.

    Args:
        source: Sending node (column) of each edge, shape :math:`(E)`.
        target: Receiving node (row) of each edge, shape :math:`(E)`.
        num_sources: Number of sending nodes.
        num_targets: Number of receiving nodes.
        bipartite: As in :class:`DenseRows`.
    """

    def __init__(
        self, source: Tensor, target: Tensor, num_sources: int, num_targets: int, bipartite: bool
    ) -> None:
        self.source = source
        self.target = target
        self.num_sources = num_sources
        self.num_targets = num_targets
        self.bipartite = bipartite

    def top_k(self, score: Tensor, k: int) -> Tensor:
        """Mark the `k` largest scores of each row; of equal scores the lowest column wins."""
        # Three stable sorts, least important key first: column, score (largest first), row.
        by_column = self.source.argsort(stable=True)
        by_score = score[by_column].argsort(dim=0, descending=True, stable=True)
        row = self.target[by_column][by_score]
        by_row = row.argsort(dim=0, stable=True)
        edge = by_column[by_score.gather(0, by_row)]
        row = row.gather(0, by_row)

        length = torch.zeros(self.num_targets, dtype=torch.long, device=score.device)
        length = length.scatter_add(0, self.target, torch.ones_like(self.target))
        start = length.cumsum(0) - length
        rank = torch.arange(score.size(0), device=score.device).unsqueeze(-1) - start[row]
        return torch.zeros_like(score, dtype=torch.bool).scatter(0, edge, rank < k)

    def softmax(self, score: Tensor) -> Tensor:
        """Softmax over the entries of each row."""
        weight: Tensor = edge_softmax(score, self.target, num_nodes=self.num_targets, dim=0)
        return weight

    def row_degree(self, size: Tensor) -> Tensor:
        """Sum of each edge's own row, shape :math:`(E, H)`."""
        return self._sum_per(self.target, self.num_targets, size)[self.target]

    def column_degree(self, size: Tensor) -> Tensor:
        """Degree of each edge's sending node, shape :math:`(E, H)`."""
        if self.bipartite:
            return self._sum_per(self.source, self.num_sources, size)[self.source]
        return self._sum_per(self.target, self.num_targets, size)[self.source]

    @staticmethod
    def _sum_per(node: Tensor, num_nodes: int, size: Tensor) -> Tensor:
        total: Tensor = scatter(size, node, dim=0, dim_size=num_nodes, reduce="sum")
        return total
