r"""Products :math:`\mathbf{A} \mathbf{H}` from sums over the rows of a matrix that is not built."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gnnreloc.nn.edge_weighting import Weighting, inverse_root
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


def row_product(
    operands: Operands, weighting: Weighting, *, sparsity: bool
) -> tuple[Tensor, Tensor]:
    r"""Products from sums over rows alone; the matrix is not built.

    Args:
        operands: Directions, values and groups.
        weighting: How cosines become weights, without top-k.
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
        out, size, offset = tile_sums(*operands[:5], rule)
        if weighting.add_self_loops:
            out, size = _add_own_score(operands, out, size, offset)
        return _divide(out, size, 0.0)
    if weighting.normalization == "sym":
        return _symmetric_product(operands, weighting, rule, sparsity)
    out, size, _ = _sums_with_loops(operands, rule)
    if weighting.normalization == "none":
        return out, size.sum(dim=-1)
    return _divide(out, size, weighting.eps)


def _divide(sums: Tensor, size: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Divide by row sums; rows whose sum is not above a least are 0. Counts the others."""
    usable = size > least
    out = sums / torch.where(usable, size, torch.inf).unsqueeze(-1)
    # Absolute weights of a usable row sum to 1, whatever they are: a gradient, and it is 0.
    return out, usable.sum(dim=-1) + 0.0 * size.sum(dim=-1)


def _sums_with_loops(operands: Operands, rule: TileRule) -> tuple[Tensor, Tensor, Tensor]:
    out, size, offset = tile_sums(*operands[:5], rule)
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
    operands: Operands, weighting: Weighting, rule: TileRule, sparsity: bool
) -> tuple[Tensor, Tensor]:
    """Row and column sums first, then the product of the scaled values."""
    ones = torch.ones_like(operands.value[..., :1])
    degree = _sums_with_loops(operands._replace(value=ones), rule)[1]
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
        column_degree = tile_sums(*turned[:5], rule)[1]
    left = inverse_root(degree, weighting.eps).unsqueeze(-1)
    right = inverse_root(column_degree, weighting.eps).unsqueeze(-1)
    scaled = operands._replace(value=(operands.value * right).to(operands.value.dtype))
    out = _sums_with_loops(scaled, rule)[0] * left
    if not sparsity:
        return out, degree.new_zeros(degree.size(0))
    absolute = rule._replace(absolute=True)
    size = _sums_with_loops(operands._replace(value=right), absolute)[0] * left
    return out, size.sum(dim=(1, 2))
