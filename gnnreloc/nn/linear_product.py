r"""Products :math:`\mathbf{A} \mathbf{H}` of weights that are linear in the cosines."""

from __future__ import annotations

from torch import Tensor

from gnnreloc.nn.edge_support import Pair, as_pair
from gnnreloc.nn.edge_weighting import Weighting, inverse_root
from gnnreloc.nn.linear_sums import LinearOperands, LinearRule, linear_sums
from gnnreloc.nn.projected_cosine import Cosine
from gnnreloc.nn.streamed_sums import is_streamed, streamed_sums


def is_linear(weighting: Weighting, cosine: Cosine, *, sparsity: bool) -> bool:
    r"""Whether :func:`linear_product` gives the product.

    Where absolute weights are summed, all weights must be positive: shifted cosines are, if
    :math:`1 / \tau` is fixed and at most 1.

    Args:
        weighting: How cosines become weights.
        cosine: Which cosines these are.
        sparsity: Whether the sum of :math:`|\mathbf{A}|` is needed as well.
    """
    if weighting.support != "all" or weighting.threshold is not None:
        return False
    if weighting.top_k is not None or weighting.activation not in ("none", "shift"):
        return False
    steepness = cosine.steepness
    small = not isinstance(steepness, Tensor) and steepness <= 1
    positive = weighting.activation == "shift" and small
    return positive or (weighting.normalization == "none" and not sparsity)


def linear_product(
    nodes: Pair,
    h: Tensor,
    weighting: Weighting,
    cosine: Cosine,
    mask: Tensor | Pair | None = None,
    *,
    bipartite: bool,
    sparsity: bool,
) -> tuple[Tensor, Tensor]:
    r"""Products by :math:`\mathbf{P} (\mathbf{P}^{\top} \mathbf{H})`; the matrix is not built.

    Args:
        nodes: Projected nodes that send :math:`(B, H, m, d)` and that receive
            :math:`(B, H, n, d)`.
        h: Values of those that send :math:`(B, m, F)`, 0 for padding.
        weighting: How cosines become weights, as :func:`is_linear` has it.
        cosine: Which cosines these are.
        mask: False for padding :math:`(B, n)`, or a pair.
        bipartite: Whether receiving and sending nodes are different ones.
        sparsity: Whether the second result is needed.

    Returns:
        The products :math:`(B, H, n, F)`, and the sum of :math:`|\mathbf{A}|`, 0 unless needed.
    """
    symmetric = weighting.normalization == "sym"
    divide = weighting.normalization == "row"
    rule = LinearRule(
        shift=weighting.activation == "shift",
        self_loops=weighting.add_self_loops,
        row_sums=divide or sparsity,
        divide=divide,
        eps=weighting.eps,
        shortest=cosine.eps,
    )
    masks = (None, None) if mask is None else tuple(m[:, None, :, None] for m in as_pair(mask))
    operands = LinearOperands(
        nodes[0], nodes[1] if bipartite else None, h.unsqueeze(1), cosine.steepness, *masks
    )
    if symmetric:
        return _symmetric_product(operands, rule, sparsity)
    out, size = _sums(operands, rule)
    if not sparsity:
        return out, size.new_zeros(())
    # Absolute weights of a divided row sum to 1, whatever they are: a gradient, and it is 0.
    total = (size > weighting.eps).sum() + 0.0 * size.sum() if divide else size.sum()
    return out, total


def _sums(operands: LinearOperands, rule: LinearRule) -> tuple[Tensor, Tensor]:
    return streamed_sums(operands, rule) if is_streamed(operands) else linear_sums(operands, rule)


def _symmetric_product(
    operands: LinearOperands, rule: LinearRule, sparsity: bool
) -> tuple[Tensor, Tensor]:
    """Row and column sums first, then the product of the scaled values."""
    nothing = operands.value[..., :0]
    sizes = rule._replace(row_sums=True)
    bare = operands._replace(value=nothing)
    degree = column_degree = _sums(bare, sizes)[1]
    if operands.target is not None:
        turned = operands._replace(
            source=operands.target,
            target=operands.source,
            value=operands.target[:, :1, :, :0],
            source_mask=operands.target_mask,
            target_mask=operands.source_mask,
        )
        column_degree = _sums(turned, sizes)[1]
    left = inverse_root(degree, rule.eps)
    right = inverse_root(column_degree, rule.eps)
    rule = rule._replace(row_sums=False)
    out = _sums(operands._replace(value=operands.value * right), rule)[0] * left
    if not sparsity:
        return out, degree.new_zeros(())
    return out, (_sums(operands._replace(value=right), rule)[0] * left).sum()
