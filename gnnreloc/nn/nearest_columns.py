"""Products over the k largest weights of each row, which are searched block by block."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gnnreloc.nn.adjacency_rows import DenseRows
from gnnreloc.nn.edge_support import kept_pairs
from gnnreloc.nn.edge_weighting import Weighting, full_precision, weigh

#: Numbers that are held at once in a block of scores, or of gathered vectors.
BLOCK = 1 << 22


def nearest_product(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_code: Tensor | None,
    key_code: Tensor | None,
    bipartite: bool,
    weighting: Weighting,
) -> tuple[Tensor, Tensor]:
    r"""Multiply the values by the k largest weights of each row.

    Memory grows with :math:`n (k + d + f)`; time with :math:`n m d` for the search, which needs no
    gradient, and with :math:`n k (d + f)` for the rest.

    Args:
        query: Directions of the receiving nodes by the temperature :math:`(G, n, d)`.
        key: Directions of the sending nodes :math:`(G, m, d)`.
        value: Their values :math:`(G, m, f)`.
        query_code: Group of each receiving node :math:`(G, n)`, negative for padding, or None.
        key_code: The same of each sending node :math:`(G, m)`.
        bipartite: Whether receiving and sending nodes are different ones.
        weighting: How cosines become weights, with a `top_k`.

    Returns:
        The products :math:`(G, n, f)`, and the sum of absolute weights of each matrix.
    """
    k = min(weighting.top_k or key.size(1), key.size(1))
    columns, usable = nearest_columns(query, key, k, query_code, key_code, weighting.support)
    loops = None
    if weighting.add_self_loops:
        columns, usable, loops = _with_diagonal(columns, usable, query_code)
    score = _scores(query, key, columns)
    rows = _ChosenRows(bipartite, columns, key.size(1))
    weight = weigh(score, rows, weighting._replace(top_k=None), usable, loops)

    first = torch.arange(key.size(0), device=key.device).view(-1, 1, 1) * key.size(1)
    out: Tensor = torch.nn.functional.embedding_bag(
        (columns + first).flatten(0, 1),
        value.flatten(0, 1),
        mode="sum",
        per_sample_weights=weight.flatten(0, 1),
    )
    return out.view(*query.shape[:2], -1), weight.abs().sum(dim=(1, 2))


def nearest_columns(
    query: Tensor,
    key: Tensor,
    k: int,
    query_code: Tensor | None,
    key_code: Tensor | None,
    support: str,
) -> tuple[Tensor, Tensor]:
    r"""The k columns with the largest scores in each row; of equal scores the lowest column wins.

    Args:
        query: Row vectors :math:`(G, n, d)`.
        key: Column vectors :math:`(G, m, d)`.
        k: Number of columns, at most m.
        query_code: As for :func:`nearest_product`.
        key_code: As for :func:`nearest_product`.
        support: ``"all"``, ``"cross"`` or ``"intra"``.

    Returns:
        Columns :math:`(G, n, k)`, and False where the row has no more entries that it may have.
    """
    with full_precision(query.device):
        columns, usable = _search(query.detach(), key.detach(), k, query_code, key_code, support)
    return columns, usable


# A custom operator, because the loop is then one node for torch.compile.
@torch.library.custom_op(
    "gnnreloc::nearest_columns",
    mutates_args=(),
    schema="(Tensor query, Tensor key, int k, Tensor? query_code, Tensor? key_code, str support) "
    "-> (Tensor, Tensor)",
)
def _search(
    query: Tensor,
    key: Tensor,
    k: int,
    query_code: Tensor | None,
    key_code: Tensor | None,
    support: str,
) -> tuple[Tensor, Tensor]:
    graphs, rows = query.shape[:2]
    columns = torch.empty(graphs, rows, k, dtype=torch.long, device=query.device)
    usable = torch.empty(graphs, rows, k, dtype=torch.bool, device=query.device)
    height = max(1, BLOCK // max(1, key.size(1)))
    for graph in range(graphs):
        for row in range(0, rows, height):
            part = slice(row, row + height)
            score = query[graph, part] @ key[graph].t()
            if query_code is not None and key_code is not None:
                keep = kept_pairs(support, query_code[graph, part], key_code[graph])
                score.masked_fill_(~keep, -torch.inf)
            best, columns[graph, part] = _first_largest(score, k)
            usable[graph, part] = best > -torch.inf
    return columns, usable


@_search.register_fake
def _(query: Tensor, key: Tensor, k: int, *_: Any) -> tuple[Tensor, Tensor]:
    columns = query.new_empty(*query.shape[:2], k, dtype=torch.long)
    return columns, torch.empty_like(columns, dtype=torch.bool)


def _first_largest(score: Tensor, k: int) -> tuple[Tensor, Tensor]:
    best, column = score.topk(k, dim=-1)
    least = best[:, -1:]
    # Where more entries reach the k-th score than there are places, topk takes any of them.
    tied = ((score >= least).sum(dim=-1) > k).nonzero().squeeze(-1)
    if tied.numel() > 0:
        order = score[tied].argsort(dim=-1, descending=True, stable=True)[:, :k]
        column[tied] = order
        best[tied] = score[tied].gather(-1, order)
    return best, column


def _with_diagonal(
    columns: Tensor, usable: Tensor, query_code: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Add each row's own column as its last entry, in the place of an earlier one."""
    own = torch.arange(columns.size(1), device=columns.device).view(1, -1, 1)
    own = own.expand(columns.size(0), -1, 1)
    real = torch.ones_like(own, dtype=torch.bool)
    real = real if query_code is None else real & (query_code >= 0).unsqueeze(-1)
    loops = torch.cat([torch.zeros_like(usable), real], dim=-1)
    usable = torch.cat([usable & (columns != own), torch.zeros_like(real)], dim=-1)
    return torch.cat([columns, own], dim=-1), usable, loops


def _scores(query: Tensor, key: Tensor, columns: Tensor) -> Tensor:
    """Scores of the chosen entries; the gathered vectors are gathered again for the gradient."""
    graph = torch.arange(key.size(0), device=key.device).view(-1, 1, 1)
    per_row = max(1, key.size(0) * columns.size(-1) * key.size(-1))
    height = max(1, BLOCK // per_row)
    parts = [
        checkpoint(partial(_gathered, key, graph), own, column, use_reentrant=False)
        for own, column in zip(
            query.split(height, dim=1), columns.split(height, dim=1), strict=True
        )
    ]
    return torch.cat(parts, dim=1)


def _gathered(key: Tensor, graph: Tensor, own: Tensor, column: Tensor) -> Tensor:
    with full_precision(key.device):
        return (key[graph, column] @ own.unsqueeze(-1)).squeeze(-1)


class _ChosenRows(DenseRows):
    """Rows of which only some entries are there, in known columns."""

    def __init__(self, bipartite: bool, columns: Tensor, num_columns: int) -> None:
        super().__init__(bipartite)
        self.columns = columns
        self.num_columns = num_columns

    def column_degree(self, size: Tensor) -> Tensor:
        """Degree of each entry's sending node."""
        index = self.columns.flatten(1)
        if self.bipartite:
            total = size.new_zeros(size.size(0), self.num_columns)
            total = total.scatter_add(1, index, size.flatten(1))
        else:
            total = self.row_degree(size).squeeze(-1)
        return total.gather(1, index).view(size.shape)
