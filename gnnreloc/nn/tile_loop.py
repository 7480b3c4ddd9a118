"""The sums of :mod:`gnnreloc.nn.tile_sums` in plain PyTorch: a loop over tiles, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from gnnreloc.nn.edge_support import kept_pairs
from gnnreloc.nn.edge_weighting import HALF

#: Rows and columns of a tile, which stays in the cache of a CPU core.
TILE = (512, 1024)
#: Scores up to here go through the exponential as they are: neither sums nor their squares, in the
#: gradient of what is divided by them, leave the range of float32.
SMALL_SCORE = 15.0

Codes = tuple[Tensor | None, Tensor | None]


class TileRule(NamedTuple):
    """How scores become weights.

    Attributes:
        activation: ``"none"``, ``"relu"``, ``"shift"`` for (1 + s) / 2, or ``"exp"``.
        support: ``"all"``, ``"cross"`` (different codes) or ``"intra"`` (equal codes).
        threshold: Least weight to keep; with ``"exp"`` the least score.
        skip_diagonal: Leave out the entries of row i and column i.
        absolute: Take the absolute weights.
    """

    activation: str = "none"
    support: str = "all"
    threshold: float | None = None
    skip_diagonal: bool = False
    absolute: bool = False


def loop_forward(
    query: Tensor, key: Tensor, value: Tensor, codes: Codes, rule: TileRule
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums, row sums of absolute weights, and offsets; see :func:`~gnnreloc.nn.tile_sums`."""
    if query.dtype in HALF:  # float32 here, as row sums and offsets are
        sums, sizes, offset = loop_forward(query.float(), key.float(), value.float(), codes, rule)
        return sums.to(value.dtype), sizes, offset
    sums = value.new_zeros(*query.shape[:2], value.size(-1))
    sizes = query.new_zeros(query.shape[:2])
    offset = torch.zeros_like(sizes)
    online = rule.activation == "exp" and not _are_small(query, key)
    if online:
        offset.fill_(-torch.inf)
    loop = _TileLoop(query, key, codes, rule)
    for graphs, rows in loop.row_blocks():
        out, size, top = sums[graphs, rows], sizes[graphs, rows], offset[graphs, rows]
        for columns in loop.column_blocks():
            score, keep = loop.scores(graphs, rows, columns)
            if online:
                _raise_offset(score, keep, top, out, size)
            weight = _weigh_(score, keep, top if online else None, rule.activation)
            magnitude = weight if _is_positive(rule) else weight.abs()
            out.baddbmm_(magnitude if rule.absolute else weight, value[graphs, columns])
            size.add_(magnitude.sum(dim=-1))
    return sums, sizes, offset.masked_fill_(offset == -torch.inf, 0.0)


def loop_backward(
    grad_sums: Tensor,
    grad_sizes: Tensor | None,
    offset: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    codes: Codes,
    rule: TileRule,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value."""
    if query.dtype in HALF:
        q, k, v = query.float(), key.float(), value.float()
        grads = loop_backward(grad_sums.float(), grad_sizes, offset, q, k, v, codes, rule)
        return grads[0].to(query.dtype), grads[1].to(key.dtype), grads[2].to(value.dtype)
    grad_query, grad_key, grad_value = (x.new_zeros(x.shape) for x in (query, key, value))
    online = rule.activation == "exp" and not _are_small(query, key)
    scale = 0.5 if rule.activation == "shift" else 1.0
    loop = _TileLoop(query, key, codes, rule)
    for graphs, rows in loop.row_blocks():
        grad_out, top = grad_sums[graphs, rows], offset[graphs, rows] if online else None
        for columns in loop.column_blocks():
            score, keep = loop.scores(graphs, rows, columns)
            weight = _weigh_(score, keep, top, rule.activation)
            used = weight.abs() if rule.absolute else weight
            grad_value[graphs, columns].baddbmm_(used.transpose(1, 2), grad_out)
            slope = loop.product(1, grad_out, value[graphs, columns])
            if rule.absolute:
                slope.mul_(weight.sign())
            if grad_sizes is not None:
                grad_size = grad_sizes[graphs, rows].unsqueeze(-1)
                slope.add_(grad_size if _is_positive(rule) else grad_size * weight.sign())
            if rule.activation == "exp":
                slope.mul_(weight)
            elif rule.activation == "relu":
                torch.ops.aten.threshold_backward.grad_input(slope, weight, 0, grad_input=slope)
            elif keep is not None:
                slope.masked_fill_(~keep, 0.0)
            grad_query[graphs, rows].baddbmm_(slope, key[graphs, columns], alpha=scale)
            grad_key[graphs, columns].baddbmm_(
                slope.transpose(1, 2), query[graphs, rows], alpha=scale
            )
    return grad_query, grad_key, grad_value


class _TileLoop:
    """The way over the tiles, and the memory in which they lie one after the other."""

    def __init__(self, query: Tensor, key: Tensor, codes: Codes, rule: TileRule) -> None:
        self.query, self.key = query, key
        self.query_code, self.key_code = codes
        self.rule = rule
        self.height = max(1, min(TILE[0], query.size(1)))
        self.width = max(1, min(TILE[1], key.size(1)))
        #: Small graphs are taken several at a time.
        together = TILE[0] * TILE[1] // (self.height * self.width)
        self.together = max(1, min(together, query.size(0)))
        self.memory = query.new_empty(2, self.together * self.height * self.width)

    def row_blocks(self) -> Iterator[tuple[slice, slice]]:
        """Some graphs and some of their rows."""
        for graph in range(0, self.query.size(0), self.together):
            for row in range(0, self.query.size(1), self.height):
                yield slice(graph, graph + self.together), slice(row, row + self.height)

    def column_blocks(self) -> Iterator[slice]:
        """Some columns."""
        for column in range(0, self.key.size(1), self.width):
            yield slice(column, column + self.width)

    def product(self, place: int, left: Tensor, right: Tensor) -> Tensor:
        """Left times transposed right, in one of two places."""
        shape = (left.size(0), left.size(1), right.size(1))
        out = self.memory[place, : shape[0] * shape[1] * shape[2]].view(shape)
        return torch.bmm(left, right.transpose(1, 2), out=out)

    def scores(self, graphs: slice, rows: slice, columns: slice) -> tuple[Tensor, Tensor | None]:
        """The scores of a tile, and which of them have a weight; None stands for all."""
        rule = self.rule
        score = self.product(0, self.query[graphs, rows], self.key[graphs, columns])
        keep: Tensor | None = None
        if self.query_code is not None and self.key_code is not None:
            codes = self.query_code[graphs, rows], self.key_code[graphs, columns]
            keep = kept_pairs(rule.support, *codes)
        if rule.threshold is not None:
            activated = score.relu() if rule.activation == "relu" else score
            activated = (1 + score) / 2 if rule.activation == "shift" else activated
            above = activated >= rule.threshold
            keep = above if keep is None else keep.logical_and_(above)
        if rule.skip_diagonal and rows.start < columns.stop and columns.start < rows.stop:
            row = torch.arange(rows.start, rows.start + score.size(1), device=score.device)
            column = torch.arange(columns.start, columns.start + score.size(2), device=score.device)
            off = row.unsqueeze(-1) != column
            keep = off.expand(score.shape) if keep is None else keep & off
        return score, keep


def _are_small(query: Tensor, key: Tensor) -> bool:
    """Whether no score can be so large that its exponential needs an offset."""
    if query.numel() == 0 or key.numel() == 0:
        return True
    return bool(query.norm(dim=-1).max() * key.norm(dim=-1).max() <= SMALL_SCORE)


def _is_positive(rule: TileRule) -> bool:
    return rule.activation in ("relu", "exp")


def _weigh_(score: Tensor, keep: Tensor | None, offset: Tensor | None, activation: str) -> Tensor:
    """Turn the scores of a tile into weights, in place."""
    if activation == "relu":
        score.relu_()
    elif activation == "shift":
        score.add_(1.0).div_(2.0)
    elif activation == "exp":
        if offset is not None:
            score.sub_(offset.unsqueeze(-1))
        score.exp_()
    if keep is not None:
        score.masked_fill_(~keep, 0.0)
    return score


def _raise_offset(
    score: Tensor, keep: Tensor | None, offset: Tensor, sums: Tensor, sizes: Tensor
) -> None:
    """Raise the offset of each row to the largest score of this tile, and rescale its sums."""
    if keep is not None:
        score.masked_fill_(~keep, -torch.inf)
    raised = torch.maximum(offset, score.amax(dim=-1))
    factor = (offset - raised).exp().masked_fill_(offset == -torch.inf, 0.0)
    sums.mul_(factor.unsqueeze(-1))
    sizes.mul_(factor)
    offset.copy_(raised)
