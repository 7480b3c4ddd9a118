r"""Products :math:`\mathbf{A} \mathbf{H}` from sums over the rows of a matrix that is not built."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from gnnreloc.nn.edge_weighting import Weighting, full_precision, inverse_root
from gnnreloc.nn.tile_loop import TileRule
from gnnreloc.nn.tile_sums import tile_sums


class Operands(NamedTuple):
    r"""What a product is made of; G counts graphs and heads.

    Attributes:
        query: Directions of the receiving nodes, divided by the temperature, :math:`(G, n, d)`.
        key: Directions of the sending nodes :math:`(G, m, d)`.
        value: Their values :math:`(G, m, f)`.
        query_code: Group of each receiving node :math:`(G, n)`, negative for padding; None where
            neither matters.
        key_code: The same of each sending node :math:`(G, m)`.
        bipartite: Whether receiving and sending nodes are different ones.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    query_code: Tensor | None
    key_code: Tensor | None
    bipartite: bool


Sums = Callable[[Operands, TileRule], tuple[Tensor, Tensor, Tensor]]


def row_product(
    operands: Operands, weighting: Weighting, sums: Sums, *, sparsity: bool
) -> tuple[Tensor, Tensor]:
    r"""Products from sums over rows alone; the matrix is not built.

    Args:
        operands: Directions, values and groups.
        weighting: How cosines become weights, without top-k.
        sums: :func:`tiled_sums`, or :func:`linear_sums` where :func:`is_linear`.
        sparsity: Whether the second result is needed.

    Returns:
        The products :math:`(G, n, f)`, and the sum of :math:`|\mathbf{A}|` of each matrix.
    """
    softmax = weighting.activation == "softmax"
    rule = TileRule(
        "exp" if softmax else weighting.activation,
        weighting.support,
        weighting.threshold,
        skip_diagonal=weighting.add_self_loops,
    )
    if softmax:
        out, size, offset = sums(operands, rule)
        if weighting.add_self_loops:
            out, size = _add_own_score(operands, out, size, offset)
        return _divide(out, size, 0.0)
    if weighting.normalization == "sym":
        return _symmetric_product(operands, weighting, rule, sums, sparsity)
    out, size, _ = _sums_with_loops(operands, rule, sums)
    if weighting.normalization == "none":
        return out, size.sum(dim=-1)
    return _divide(out, size, weighting.eps)


def tiled_sums(operands: Operands, rule: TileRule) -> tuple[Tensor, Tensor, Tensor]:
    """Sums tile by tile, for every rule."""
    return tile_sums(*operands[:5], rule)


def linear_sums(operands: Operands, rule: TileRule) -> tuple[Tensor, Tensor, Tensor]:
    r"""Sums by :math:`\mathbf{Q} (\mathbf{K}^{\top} \mathbf{V})`, in time linear in the nodes.

    The row sums are those of the weights and not of their absolute values.
    """
    query, key, value = operands.query, operands.key, operands.value
    value = torch.cat([value, torch.ones_like(value[..., :1])], dim=-1)
    if operands.key_code is not None:
        value = value.masked_fill(operands.key_code.unsqueeze(-1) < 0, 0.0)
    with full_precision(query.device):
        out = query @ (key.transpose(-1, -2) @ value)
    own = (query * key).sum(dim=-1, keepdim=True) if rule.skip_diagonal else None
    if rule.activation == "shift":
        out = (out + value.sum(dim=-2, keepdim=True)) / 2
        own = None if own is None else (own + 1) / 2
    if own is not None:
        out = out - own * value
    if operands.query_code is not None:
        out = out.masked_fill(operands.query_code.unsqueeze(-1) < 0, 0.0)
    size = out[..., -1]
    return out[..., :-1], size, torch.zeros_like(size)


def is_linear(weighting: Weighting, steepness: float | None, *, sparsity: bool) -> bool:
    r"""Whether :func:`linear_sums` gives the product.

    Args:
        weighting: How cosines become weights.
        steepness: :math:`1 / \tau` where it is fixed: shifted cosines are then never negative
            up to 1, and their sums are those of their absolute values.
        sparsity: Whether the sum of :math:`|\mathbf{A}|` is needed as well.
    """
    if weighting.support != "all" or weighting.threshold is not None:
        return False
    if weighting.top_k is not None or weighting.activation not in ("none", "shift"):
        return False
    positive = weighting.activation == "shift" and steepness is not None and steepness <= 1
    return positive or (weighting.normalization == "none" and not sparsity)


def _divide(sums: Tensor, size: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Divide by row sums; rows whose sum is not above a least are 0. Counts the others."""
    usable = size > least
    out = sums / torch.where(usable, size, torch.inf).unsqueeze(-1)
    # Absolute weights of a usable row sum to 1, whatever they are: a gradient, and it is 0.
    return out, usable.sum(dim=-1) + 0.0 * size.sum(dim=-1)


def _sums_with_loops(
    operands: Operands, rule: TileRule, sums: Sums
) -> tuple[Tensor, Tensor, Tensor]:
    out, size, offset = sums(operands, rule)
    if rule.skip_diagonal:
        loop = torch.ones_like(size)
        if operands.query_code is not None:
            loop = loop.masked_fill(operands.query_code < 0, 0.0)
        out, size = out + loop.unsqueeze(-1) * operands.value, size + loop
    return out, size, offset


def _add_own_score(
    operands: Operands, out: Tensor, size: Tensor, offset: Tensor
) -> tuple[Tensor, Tensor]:
    """Let every node take part in the softmax of its own row."""
    own = (operands.query.to(size.dtype) * operands.key.to(size.dtype)).sum(dim=-1)
    empty = size == 0
    raised = torch.where(empty, own, torch.maximum(offset, own)).detach()
    before = (offset - raised).masked_fill(empty, -torch.inf).exp()
    weight = (own - raised).exp()
    if operands.query_code is not None:
        weight = weight.masked_fill(operands.query_code < 0, 0.0)
    out = out * before.unsqueeze(-1) + weight.unsqueeze(-1) * operands.value
    return out, size * before + weight


def _symmetric_product(
    operands: Operands, weighting: Weighting, rule: TileRule, sums: Sums, sparsity: bool
) -> tuple[Tensor, Tensor]:
    """Row and column sums first, then the product of the scaled values."""
    ones = torch.ones_like(operands.value[..., :1])
    degree = _sums_with_loops(operands._replace(value=ones), rule, sums)[1]
    column_degree = degree
    if operands.bipartite:
        turned = Operands(
            operands.key,
            operands.query,
            torch.ones_like(operands.query[..., :1]),
            operands.key_code,
            operands.query_code,
            bipartite=True,
        )
        column_degree = sums(turned, rule)[1]
    left = inverse_root(degree, weighting.eps).unsqueeze(-1)
    right = inverse_root(column_degree, weighting.eps).unsqueeze(-1)
    scaled = operands._replace(value=(operands.value * right).to(operands.value.dtype))
    out = _sums_with_loops(scaled, rule, sums)[0] * left
    if not sparsity:
        return out, degree.new_zeros(degree.size(0))
    absolute = rule._replace(absolute=True)
    size = _sums_with_loops(operands._replace(value=right), absolute, sums)[0] * left
    return out, size.sum(dim=(1, 2))
