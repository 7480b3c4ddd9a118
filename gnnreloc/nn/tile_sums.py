r"""Sums over the rows of an adjacency matrix that is never built, tile by tile."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from gnnreloc.nn.edge_weighting import HALF, full_precision
from gnnreloc.nn.tile_loop import TileRule, loop_backward, loop_forward

_EVERYTHING = TileRule()


def tile_sums(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_code: Tensor | None = None,
    key_code: Tensor | None = None,
    rule: TileRule = _EVERYTHING,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Sum values by weights :math:`f(\mathbf{Q} \mathbf{K}^{\top})` without building these.

    The products of the blocked back end of :class:`~gnnreloc.nn.CosineAdjacency` rest on this one:

    .. math::
        s_{ij} = \mathbf{q}_i^{\top} \mathbf{k}_j, \qquad w_{ij} = f(s_{ij}), \qquad
        \mathbf{o}_i = \sum_j w_{ij} \mathbf{v}_j, \qquad r_i = \sum_j |w_{ij}| .

    A tile of :math:`w` is made, used and forgotten while it lies in the cache; the backward pass
    makes it again, so that memory grows with the number of nodes and not with its square. The
    exponential is taken relative to the largest score of the row so far, and the sums are rescaled
    when a larger one comes up (the online softmax of Milakov and Gimelshein, 2018), as in
    FlashAttention (Dao et al., 2022). With Triton on a GPU this is a fused kernel, else a loop.

    Differentiable once, in `query`, `key` and `value`. One node for autograd and
    :func:`torch.compile`.

    Args:
        query: Row vectors :math:`(G, n, d)`.
        key: Column vectors :math:`(G, m, d)`.
        value: Values of the columns :math:`(G, m, f)`.
        query_code: Group of each row :math:`(G, n)`, negative for padding; needed unless the
            support is ``"all"`` and nothing is padded.
        key_code: The same of each column :math:`(G, m)`; both or none.
        rule: How scores become weights.

    Returns:
        The sums :math:`(G, n, f)`, the row sums of absolute weights :math:`(G, n)`, and the offset
        :math:`(G, n)` that was subtracted from the scores before the exponential (0 where there
        was none, or the row is empty). It has no gradient: sums divided by row sums do not depend
        on it.

    Raises:
        RuntimeError: If forward-mode derivatives are asked for.
    """
    if not torch.compiler.is_compiling():
        for tensor in (query, key, value):
            if unpack_dual(tensor).tangent is not None:
                raise RuntimeError(
                    "The back end 'blocked' has no forward-mode derivatives: choose 'dense'"
                )
    with full_precision(query.device):
        sums, sizes, offset = _forward(query, key, value, query_code, key_code, *rule)
    return sums, sizes, offset


def working_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """Type in which tiles are computed: bfloat16 stays so on fused kernels, where it is fast.

    Sums of float16 could overflow before they are divided by their number, so it becomes float32.

    Args:
        device: Where they are.
        dtype: Type of the values.
    """
    fused = dtype == torch.bfloat16 and _is_fused(device, dtype, _EVERYTHING)
    half = dtype in HALF
    return torch.float32 if half and not fused else dtype


def _is_fused(device: torch.device, dtype: torch.dtype, rule: TileRule) -> bool:
    """Whether the Triton kernels run, or the loop over tiles."""
    if device.type != "cuda" or rule.absolute:
        return False
    from gnnreloc.nn.tile_sums_triton import why_unavailable  # Triton takes long to import

    return why_unavailable(device, dtype) is None


def _contiguous(*tensors: Any) -> list[Any]:
    return [tensor if tensor is None else tensor.contiguous() for tensor in tensors]


_ARGUMENTS = (
    "Tensor query, Tensor key, Tensor value, Tensor? query_code, Tensor? key_code, "
    "str activation, str support, float? threshold, bool skip_diagonal, bool absolute"
)


@torch.library.custom_op(
    "gnnreloc::tile_sums", mutates_args=(), schema=f"({_ARGUMENTS}) -> (Tensor, Tensor, Tensor)"
)
def _forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_code: Tensor | None,
    key_code: Tensor | None,
    *rule: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    if _is_fused(query.device, query.dtype, TileRule(*rule)):
        from gnnreloc.nn.tile_sums_triton import tile_sums_forward

        return tile_sums_forward(*_contiguous(query, key, value, query_code, key_code), *rule[:-1])
    return loop_forward(query, key, value, (query_code, key_code), TileRule(*rule))


@torch.library.custom_op(
    "gnnreloc::tile_sums_backward",
    mutates_args=(),
    schema=f"(Tensor? grad_sums, Tensor? grad_sizes, Tensor offset, {_ARGUMENTS}) "
    "-> (Tensor, Tensor, Tensor)",
)
def _backward(
    grad_sums: Tensor | None,
    grad_sizes: Tensor | None,
    offset: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_code: Tensor | None,
    key_code: Tensor | None,
    *rule: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    if grad_sums is None:
        grad_sums = value.new_zeros(*query.shape[:2], value.size(-1))
    codes = (query_code, key_code)
    if _is_fused(query.device, query.dtype, TileRule(*rule)):
        from gnnreloc.nn.tile_sums_triton import tile_sums_backward

        grads = _contiguous(grad_sums.to(value.dtype), grad_sizes)
        inputs = _contiguous(query, key, value, offset, *codes)
        return tile_sums_backward(*grads, *inputs, *rule[:-1])
    return loop_backward(grad_sums, grad_sizes, offset, query, key, value, codes, TileRule(*rule))


@_forward.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    half = query.dtype in HALF
    rows = query.new_empty(query.shape[:2], dtype=torch.float32 if half else query.dtype)
    return value.new_empty(*query.shape[:2], value.size(-1)), rows, torch.empty_like(rows)


@_backward.register_fake
def _(
    _sums: Any, _sizes: Any, _offset: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    grads = [tensor.new_empty(tensor.shape) for tensor in (query, key, value)]
    return grads[0], grads[1], grads[2]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:5], output[2])
    ctx.rule = inputs[5:]
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)


def _derive(ctx: Any, grad_sums: Tensor | None, grad_sizes: Tensor | None, _: None) -> Any:
    *inputs, offset = ctx.saved_tensors
    with full_precision(offset.device):
        grads = _backward(grad_sums, grad_sizes, offset, *inputs, *ctx.rule)
    return *grads, *(None for _ in range(2 + len(ctx.rule)))


_forward.register_autograd(_derive, setup_context=_remember)
