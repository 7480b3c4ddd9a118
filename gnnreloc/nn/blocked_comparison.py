r"""Two-layer perceptron over compared vectors, block by block."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gnnreloc.nn.rectified_dropout import draw_kept, kept_scale

#: Numbers in a block of compared vectors, so many that they stay in the cache of a core.
BLOCK = 400_000


class Perceptron(NamedTuple):
    """Weights and biases of the two layers, as :class:`torch.nn.Linear` has them."""

    hidden_weight: Tensor
    hidden_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor


def compare(x: Tensor, other: Tensor, perceptron: Perceptron, dropout: float = 0.0) -> Tensor:
    r"""Compare vectors with their counterparts on the CPU.

    .. math::
        \sigma \left( \mathbf{W}_2 \, \sigma \left( \mathbf{W}_1
        [\mathbf{x}, \mathbf{m}, | \mathbf{x} - \mathbf{m} |, \mathbf{x} \odot \mathbf{m}]
        + \mathbf{b}_1 \right) + \mathbf{b}_2 \right)

    What lies between the matrix products is done in blocks of rows that stay in the cache, and
    made again for the gradient: the concatenation, four times as wide as a vector, never exists.
    Gradients of gradients are not available.

    Args:
        x: Vectors :math:`(n, C)`.
        other: Counterpart of each vector :math:`(n, C)`.
        perceptron: The two layers, of :math:`4 C` inputs.
        dropout: Probability to drop a hidden value.

    Returns:
        The outputs, one row for each vector.
    """
    # PyTorch does not annotate `apply`.
    out: Tensor = _Compare.apply(x, other, *perceptron, dropout)  # type: ignore[no-untyped-call]
    return out


class _Compare(torch.autograd.Function):
    """Blocks of rows, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, other: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, p: float
    ) -> Tensor:
        rows, height = x.size(0), _height(x)
        hidden, out = x.new_empty(rows, w1.size(0)), x.new_empty(rows, w2.size(0))
        joined = x.new_empty(height, w1.size(1))
        # What is dropped is made up for in the weight, which is small, and not in the values.
        ctx.scale = kept_scale(p)
        scaled = w2 * ctx.scale if p else w2
        for start in range(0, rows, height):
            own, sent, h, y = (t[start : start + height] for t in (x, other, hidden, out))
            part = _join(own, sent, joined)
            torch.addmm(b1, part, w1.t(), out=h).relu_()
            if p:
                h.mul_(draw_kept(h, p))
            torch.addmm(b2, h, scaled.t(), out=y).relu_()
        ctx.save_for_backward(x, other, w1, scaled, hidden, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, other, w1, scaled, hidden, out = ctx.saved_tensors
        rows, height, width = x.size(0), _height(x), x.size(1)
        grad_x, grad_other = torch.empty_like(x), torch.empty_like(other)
        grad_w1, grad_w2 = torch.zeros_like(w1), torch.zeros_like(scaled)
        grad_b1, grad_b2 = w1.new_zeros(w1.size(0)), w1.new_zeros(scaled.size(0))
        joined, grad_joined = x.new_empty(2, height, w1.size(1)).unbind()
        through = torch.ops.aten.threshold_backward
        for start in range(0, rows, height):
            own, sent, h, y, g, g_own, g_sent = (
                t[start : start + height]
                for t in (x, other, hidden, out, gradient, grad_x, grad_other)
            )
            g = through(g, y, 0.0)
            grad_w2.addmm_(g.t(), h)
            grad_b2 += g.sum(dim=0)
            g = through(torch.mm(g, scaled), h, 0.0)
            part = _join(own, sent, joined)
            grad_w1.addmm_(g.t(), part)
            grad_b1 += g.sum(dim=0)
            torch.mm(g, w1, out=grad_joined[: len(g)])
            to_own, to_sent, to_distance, to_product = grad_joined[: len(g)].split(width, dim=1)
            distance = part[:, 2 * width : 3 * width]
            torch.sub(own, sent, out=distance).sign_().mul_(to_distance)
            torch.addcmul(to_own, to_product, sent, out=g_own).add_(distance)
            torch.addcmul(to_sent, to_product, own, out=g_sent).sub_(distance)
        grad_w2 *= ctx.scale
        return grad_x, grad_other, grad_w1, grad_b1, grad_w2, grad_b2, None


def _height(x: Tensor) -> int:
    return max(1, BLOCK // max(1, 4 * x.size(1)))


def _join(x: Tensor, other: Tensor, joined: Tensor) -> Tensor:
    """Vectors, counterparts, distances and products side by side, in memory that is given."""
    part = joined[: len(x)]
    own, sent, distance, product = part.split(x.size(1), dim=1)
    own.copy_(x)
    sent.copy_(other)
    torch.sub(x, other, out=distance).abs_()
    torch.mul(x, other, out=product)
    return part
