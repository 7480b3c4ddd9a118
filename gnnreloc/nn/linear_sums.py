r"""Sums by weights that are linear in the cosines, in time linear in the nodes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gnnreloc.nn.edge_weighting import full_precision
from gnnreloc.nn.projected_cosine import inverse_length


class LinearRule(NamedTuple):
    r"""How cosines become weights, and what is done to the sums.

    Attributes:
        shift: Take :math:`(1 + s) / 2` of a score :math:`s`, else the score itself.
        self_loops: Put 1 in the place of the weights of row i and column i.
        row_sums: Whether the sums of the rows are needed.
        divide: Divide by these.
        eps: Sum up to which a row counts as 0 where it is divided by.
        shortest: Length up to which a node has no direction.
    """

    shift: bool
    self_loops: bool
    row_sums: bool
    divide: bool
    eps: float
    shortest: float


class LinearOperands(NamedTuple):
    r"""What is summed: B graphs, H heads.

    Attributes:
        source: Projected nodes that send :math:`(B, H, m, d)`.
        target: Those that receive :math:`(B, H, n, d)`, or None where they are the same.
        value: What is sent :math:`(B, 1, m, f)` or :math:`(B, H, m, f)`.
        steepness: :math:`1 / \tau`, a number or a tensor of no dimension.
        source_mask: False for padding :math:`(B, 1, m, 1)`, or None.
        target_mask: The same of the nodes that receive :math:`(B, 1, n, 1)`; None with the other.
    """

    source: Tensor
    target: Tensor | None
    value: Tensor
    steepness: Tensor | float
    source_mask: Tensor | None
    target_mask: Tensor | None


class Total(NamedTuple):
    r"""Sums over nodes that send.

    Attributes:
        outer: :math:`\sum_j \mathbf{p}_j \mathbf{v}_j^{\top}`, :math:`(B, H, d, f)`.
        direction: :math:`\sum_j \mathbf{p}_j`, :math:`(B, H, d, 1)`, where row sums are needed.
        value: :math:`\sum_j \mathbf{v}_j`, :math:`(B, H, 1, f)` or :math:`(B, 1, 1, f)`, where
            cosines are shifted.
        nodes: Number of these nodes :math:`(B, 1, 1, 1)`, where both are so.
    """

    outer: Tensor
    direction: Tensor | None
    value: Tensor | None
    nodes: Tensor | None


def linear_sums(operands: LinearOperands, rule: LinearRule) -> tuple[Tensor, Tensor]:
    r"""Sum values by weights :math:`\mathbf{w}_i = \alpha \mathbf{P} \mathbf{p}_i + \beta`.

    .. math::
        \mathbf{o}_i = \alpha \mathbf{p}_i^{\top} \sum_j \mathbf{p}_j \mathbf{v}_j^{\top}
            + \beta \sum_j \mathbf{v}_j, \qquad
        r_i = \alpha \mathbf{p}_i^{\top} \sum_j \mathbf{p}_j + \beta m

    with unit vectors :math:`\mathbf{p}`, and :math:`(\alpha, \beta)` equal to
    :math:`(1 / \tau, 0)`, or half of :math:`(1 / \tau, 1)` where cosines are shifted.

    Args:
        operands: Nodes and values. Values of padding must be 0.
        rule: How cosines become weights.

    Returns:
        The sums :math:`(B, H, n, f)`, divided by the row sums where the rule says so, and the row
        sums :math:`(B, H, n, 1)`, or an empty tensor where they are not needed. These are sums of
        weights and not of absolute weights.

    Examples:
        >>> nodes = torch.tensor([[[[2.0, 0.0], [0.0, 0.5]]]])
        >>> values = torch.tensor([[[[1.0], [3.0]]]])
        >>> operands = LinearOperands(nodes, None, values, 1.0, None, None)
        >>> linear_sums(operands, LinearRule(True, False, True, True, 1e-8, 1e-8))[0].flatten()
        tensor([1.6667, 2.3333])
    """
    source, target, value = operands.source, operands.target, operands.value
    with full_precision(source.device):
        key = directions(source, rule.shortest, operands.source_mask)
        query = key
        if target is not None:
            query = directions(target, rule.shortest, operands.target_mask)
        value = value.to(key.dtype)
        total = collect(key, value, operands.source_mask, rule)
        out, size = spread(query, value, total, operands.steepness, operands.target_mask, rule)
        return out.to(operands.value.dtype), size


def directions(nodes: Tensor, shortest: float, mask: Tensor | None) -> Tensor:
    """Unit vectors, 0 for padding and for a node that is too short to have a direction.

    Args:
        nodes: Projected nodes :math:`(..., d)`.
        shortest: Length up to which a node has no direction.
        mask: False for padding :math:`(..., 1)`, or None.
    """
    return nodes * inverse_length(nodes, shortest, mask)


def collect(key: Tensor, value: Tensor, mask: Tensor | None, rule: LinearRule) -> Total:
    """Sums over nodes that send.

    Args:
        key: Their directions :math:`(B, H, m, d)`.
        value: Their values :math:`(B, 1, m, f)` or :math:`(B, H, m, f)`.
        mask: False for padding :math:`(B, 1, m, 1)`, or None.
        rule: How cosines become weights.
    """
    turned = key.transpose(-1, -2)
    nodes = None
    if rule.shift and rule.row_sums:
        nodes = key.new_full((key.size(0), 1, 1, 1), key.size(-2))
        nodes = nodes if mask is None else mask.sum(dim=-2, keepdim=True).to(key.dtype)
    return Total(
        turned @ value,
        turned.sum(dim=-1, keepdim=True) if rule.row_sums else None,
        value.sum(dim=-2, keepdim=True) if rule.shift else None,
        nodes,
    )


def spread(
    query: Tensor,
    value: Tensor,
    total: Total,
    steepness: Tensor | float,
    mask: Tensor | None,
    rule: LinearRule,
) -> tuple[Tensor, Tensor]:
    """Results of nodes that receive, as of :func:`linear_sums`.

    Args:
        query: Directions of these nodes :math:`(B, H, n, d)`.
        value: What they send, for the self-loops.
        total: Sums over the nodes that send.
        steepness: As of :class:`LinearOperands`.
        mask: False for padding :math:`(B, 1, n, 1)`, or None.
        rule: How cosines become weights.
    """
    slope = steepness / 2 if rule.shift else steepness
    out = query @ (total.outer * slope)
    size = query.new_zeros(*query.shape[:-1], 0)
    if total.value is not None:
        out = out + total.value / 2
    if total.direction is not None:
        size = query @ (total.direction * slope)
        size = size if total.nodes is None else size + total.nodes / 2
    if rule.self_loops:
        loop = 1 - own_weight(query, slope, rule)
        out = out + loop * value
        size = size + loop if rule.row_sums else size
    if mask is not None:
        out = out.masked_fill(~mask, 0.0)
        size = size.masked_fill(~mask, 0.0) if rule.row_sums else size
    if rule.divide:
        out = out / divisor(size, rule.eps)
    return out, size


def own_weight(query: Tensor, slope: Tensor | float, rule: LinearRule) -> Tensor:
    """Weight of nodes for themselves, before there is a self-loop; it has no gradient in them."""
    own = query.detach().square().sum(dim=-1, keepdim=True) * slope
    return own + 0.5 if rule.shift else own


def divisor(size: Tensor, eps: float) -> Tensor:
    """Row sums, or infinity where a row counts as 0."""
    return torch.where(size > eps, size, torch.inf)
