r"""The sums of :mod:`gnnreloc.nn.linear_sums` for many nodes: a loop over rows that stay cached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from gnnreloc.nn.edge_weighting import full_precision
from gnnreloc.nn.linear_sums import (
    LinearOperands,
    LinearRule,
    Total,
    collect,
    directions,
    divisor,
    linear_sums,
    own_weight,
    spread,
)
from gnnreloc.nn.projected_cosine import inverse_length

#: Numbers of a chunk of nodes or of their values: 1 MB, a few times over in the cache of a CPU.
CHUNK = 1 << 18

_Rows = tuple[slice, slice, slice]


def streamed_sums(operands: LinearOperands, rule: LinearRule) -> tuple[Tensor, Tensor]:
    """As :func:`~gnnreloc.nn.linear_sums.linear_sums`, with a chunk of nodes at a time.

    Only the results, and the gradients that are asked for, are as long as the nodes. Gradients
    that are to be differentiated again are those of ``linear_sums``.

    Args:
        operands: As for ``linear_sums``.
        rule: As for ``linear_sums``.
    """
    steepness = torch.as_tensor(operands.steepness, dtype=operands.source.dtype)
    inputs = operands._replace(steepness=steepness)
    # PyTorch does not annotate `apply`.
    out, size, *_ = _StreamedSums.apply(rule, *inputs)  # type: ignore[no-untyped-call]
    return out, size


def is_streamed(operands: LinearOperands) -> bool:
    """Whether to take a chunk at a time: on a CPU, if there are more than two.

    A compiler, and forward-mode derivatives, need the plain sums.

    Args:
        operands: As for :func:`streamed_sums`.
    """
    source, target, value = operands[:3]
    if torch.compiler.is_compiling() or source.device.type != "cpu":
        return False
    tensors = [tensor for tensor in operands if isinstance(tensor, Tensor)]
    if any(unpack_dual(tensor).tangent is not None for tensor in tensors):
        return False
    return max(t.numel() for t in (source, target, value) if t is not None) > 2 * CHUNK


class _StreamedSums(torch.autograd.Function):
    """Sums, row sums, and the totals that they are made from."""

    @staticmethod
    def forward(rule: LinearRule, *inputs: Any) -> tuple[Tensor | None, ...]:
        operands = LinearOperands(*inputs)
        source, target, value = operands[:3]
        shape = (source if target is None else target).shape[:-1]
        out = value.new_empty(*shape, value.size(-1))
        size = source.new_empty(*shape, 1 if rule.row_sums else 0)
        totals = []
        with full_precision(source.device):
            for graphs in _blocks(operands):
                block = LinearOperands(*(_cut(t, graphs) for t in operands))
                totals.append(_total(block, rule))
                _spread(block, totals[-1], rule, out[graphs], size[graphs])
        joined = (
            None if any(part is None for part in parts) else torch.cat(parts)
            for parts in zip(*totals, strict=True)
        )
        return out, size, *joined

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        ctx.rule = inputs[0]
        ctx.save_for_backward(*inputs[1:], *output)
        ctx.mark_non_differentiable(*(total for total in output[2:] if total is not None))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        operands, results = LinearOperands(*ctx.saved_tensors[:6]), ctx.saved_tensors[6:]
        wanted = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():  # it is to be differentiated again
            return None, *_plain_gradients(operands, ctx.rule, wanted, grads)
        found = [
            torch.empty_like(t) if isinstance(t, Tensor) and w else None
            for t, w in zip(operands, wanted, strict=True)
        ]
        steepness = operands.source.new_zeros(())
        with full_precision(grads[0].device):
            for graphs in _blocks(operands):
                derivative = _Derivative(
                    LinearOperands(*(_cut(t, graphs) for t in operands)),
                    Total(*(_cut(t, graphs) for t in results[2:])),
                    [t[graphs] for t in (*grads[:2], *results[:2])],
                    ctx.rule,
                )
                steepness += derivative.fill([_cut(t, graphs) for t in found[:3]])
        return None, *found[:3], steepness if wanted[3] else None, None, None


def _blocks(operands: LinearOperands) -> Iterator[slice]:
    """A few graphs at a time, as many as fit in a chunk."""
    length = _chunk_length(operands)
    step = max(1, length // max(1, *(t.size(2) for t in operands[:2] if t is not None)))
    return (slice(i, i + step) for i in range(0, operands.source.size(0), step))


def _chunk_length(operands: LinearOperands) -> int:
    """Number of nodes of a chunk."""
    heads, channels = operands.source.size(1), operands.source.size(3)
    return max(1, CHUNK // (heads * max(1, channels, operands.value.size(-1))))


def _chunks(operands: LinearOperands, nodes: Tensor) -> Iterator[_Rows]:
    """The nodes of a few graphs, as many as fit in a chunk."""
    length = max(1, _chunk_length(operands) // nodes.size(0))
    everything = slice(None)
    return ((everything, everything, slice(i, i + length)) for i in range(0, nodes.size(2), length))


def _cut(tensor: Any, part: slice | _Rows) -> Any:
    """Part of a tensor, where it is one of the graphs."""
    whole = not isinstance(tensor, Tensor) or tensor.dim() == 0
    return tensor if whole else tensor[part]


def _total(operands: LinearOperands, rule: LinearRule) -> Total:
    """Sums over all nodes that send."""
    source, _, value, _, mask, _ = operands
    parts = (
        collect(
            directions(source[rows], rule.shortest, _cut(mask, rows)),
            value[rows].to(source.dtype),
            _cut(mask, rows),
            rule,
        )
        for rows in _chunks(operands, source)
    )
    return reduce(_sum, parts)


def _sum(one: Total, other: Total) -> Total:
    rest = zip(one[1:], other[1:], strict=True)
    return Total(
        one.outer + other.outer, *(None if a is None or b is None else a + b for a, b in rest)
    )


def _spread(
    operands: LinearOperands, total: Total, rule: LinearRule, out: Tensor, size: Tensor
) -> None:
    """Fill in the results."""
    source, target, value, steepness, _, mask = operands
    nodes = source if target is None else target
    for rows in _chunks(operands, nodes):
        query = directions(nodes[rows], rule.shortest, _cut(mask, rows))
        own = value[rows].to(query.dtype) if rule.self_loops else value
        out[rows], size[rows] = spread(query, own, total, steepness, _cut(mask, rows), rule)


def _plain_gradients(
    operands: Sequence[Any], rule: LinearRule, wanted: Sequence[bool], grads: Sequence[Tensor]
) -> list[Tensor | None]:
    """Gradients that can be differentiated again."""
    # A view is a node of its own, so that nothing of how one input came from another gets in.
    inputs = [t.view_as(t) if w else t for t, w in zip(operands, wanted, strict=True)]
    results = [r for r in linear_sums(LinearOperands(*inputs), rule) if r.requires_grad]
    found = torch.autograd.grad(
        results,
        [t for t, w in zip(inputs, wanted, strict=True) if w],
        list(grads[: len(results)]),
        create_graph=True,
        allow_unused=True,
    )
    rest = iter(found)
    return [next(rest) if w else None for w in wanted]


class _Derivative:
    r"""Gradients of some graphs.

    With :math:`\mathbf{S} = \sum_j \mathbf{p}_j \mathbf{v}_j^{\top}`, and gradients
    :math:`\mathbf{g}_i` of :math:`\mathbf{o}_i = \alpha \mathbf{S}^{\top} \mathbf{p}_i`, those of
    the totals are sums over the nodes that receive,
    :math:`\mathbf{T} = \alpha \sum_i \mathbf{p}_i \mathbf{g}_i^{\top}`; after these it is
    :math:`\alpha \mathbf{S} \mathbf{g}_i` for a node that receives,
    :math:`\mathbf{T} \mathbf{v}_j` for one that sends, and
    :math:`\mathbf{T}^{\top} \mathbf{p}_j` for its values.

    Args:
        operands: What was summed.
        total: Sums over the nodes that send.
        given: Gradients of the sums and of the row sums, and these themselves.
        rule: How cosines became weights.
    """

    def __init__(
        self, operands: LinearOperands, total: Total, given: list[Tensor], rule: LinearRule
    ) -> None:
        self.operands = operands
        self.total = total
        self.grad_out, self.grad_size, self.out, self.size = given
        self.rule = rule
        self.share = 0.5 if rule.shift else 1.0
        self.slope = self.share * operands.steepness
        self.outer = (total.outer * self.slope).transpose(-1, -2)

    def fill(self, found: list[Tensor | None]) -> Tensor:
        """Write the gradients of senders, receivers and values; return that of the steepness."""
        source, target, _, _, source_mask, target_mask = self.operands
        back, steepness = self._total()
        if target is None:
            self._nodes(source, source_mask, True, back, found[0], found[2])
            return steepness
        if found[1] is not None:
            self._nodes(target, target_mask, True, None, found[1], None)
        if found[0] is not None or found[2] is not None:
            self._nodes(source, source_mask, False, back, found[0], found[2])
        return steepness

    def _total(self) -> tuple[Total, Tensor]:
        """Gradients of the totals, and of the steepness."""
        source, target, value, _, _, mask = self.operands
        nodes = source if target is None else target
        back: Total | None = None
        loops = source.new_zeros(())
        for rows in _chunks(self.operands, nodes):
            query = directions(nodes[rows], self.rule.shortest, _cut(mask, rows))
            grad, row = self._received(rows)
            turned = query.transpose(-1, -2)
            part = Total(
                turned @ grad,
                turned @ row if self.rule.row_sums else None,
                grad.sum(dim=-2, keepdim=True) / 2 if self.rule.shift else None,
                None,
            )
            back = part if back is None else _sum(back, part)
            if self.rule.self_loops:
                own = query.square().sum(dim=-1, keepdim=True)
                loops -= ((grad * value[rows]).sum(dim=-1, keepdim=True) * own).sum()
                loops -= (row * own).sum()
        assert back is not None  # no graph here is without nodes
        slope = (back.outer * self.total.outer).sum() + loops
        direction = None
        if back.direction is not None and self.total.direction is not None:
            slope = slope + (back.direction * self.total.direction).sum()
            direction = back.direction * self.slope
        back = back._replace(outer=back.outer * self.slope, direction=direction)
        return back, slope * self.share

    def _received(self, rows: _Rows) -> tuple[Tensor, Tensor]:
        """Gradients of sums and of row sums, before the former are divided by the latter."""
        row = self.grad_size[rows]
        grad = self.grad_out[rows].to(row.dtype)
        mask = self.operands.target_mask
        if mask is not None:
            grad, row = grad.masked_fill(~mask[rows], 0.0), row.masked_fill(~mask[rows], 0.0)
        if self.rule.divide:
            grad = grad / divisor(self.size[rows], self.rule.eps)
            row = row - (grad * self.out[rows]).sum(dim=-1, keepdim=True)
        return grad, row

    def _nodes(
        self,
        nodes: Tensor,
        mask: Tensor | None,
        receives: bool,
        back: Total | None,
        node_gradient: Tensor | None,
        value_gradient: Tensor | None,
    ) -> None:
        """Write gradients of nodes that receive, that send (with `back`), or that do both."""
        value = self.operands.value
        for rows in _chunks(self.operands, nodes):
            inverse = inverse_length(nodes[rows], self.rule.shortest, _cut(mask, rows))
            unit = nodes[rows] * inverse
            received = self._received(rows) if receives else None
            if node_gradient is not None:
                pull = self._pull(received, back, rows)
                along = (unit * pull).sum(dim=-1, keepdim=True)
                node_gradient[rows] = pull.addcmul_(unit, along, value=-1).mul_(inverse)
            if value_gradient is not None and back is not None:
                sent = unit @ back.outer
                if back.value is not None:
                    sent += back.value
                if self.rule.self_loops and received is not None:
                    sent += (1 - own_weight(unit, self.slope, self.rule)) * received[0]
                value_gradient[rows] = sent.sum_to_size(value[rows].shape)

    def _pull(
        self, received: tuple[Tensor, Tensor] | None, back: Total | None, rows: _Rows
    ) -> Tensor:
        """Gradients of directions."""
        parts = []
        if received is not None:
            grad, row = received
            parts.append(grad @ self.outer)
            if self.total.direction is not None:
                parts.append(row * (self.total.direction * self.slope).transpose(-1, -2))
        if back is not None:
            sent = self.operands.value[rows].to(back.outer.dtype)
            parts.append(sent @ back.outer.transpose(-1, -2))
            if back.direction is not None:
                parts.append(back.direction.transpose(-1, -2))
        return reduce(Tensor.add_, parts)
