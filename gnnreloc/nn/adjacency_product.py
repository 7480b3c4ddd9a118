r"""Products :math:`\mathbf{A} \mathbf{H}` of learned adjacency matrices by one of the back ends."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gnnreloc.nn.adjacency_rows import DenseRows
from gnnreloc.nn.backend_choice import Size, choose_backend
from gnnreloc.nn.edge_support import (
    Pair,
    as_pair,
    dense_support,
    require_groups,
    valid_entries,
)
from gnnreloc.nn.edge_weighting import HALF, Weighting, full_precision, weigh
from gnnreloc.nn.linear_product import is_linear, linear_product
from gnnreloc.nn.nearest_columns import nearest_product
from gnnreloc.nn.projected_cosine import Cosine
from gnnreloc.nn.row_product import Operands, row_product
from gnnreloc.nn.size_buckets import size_buckets
from gnnreloc.nn.tile_sums import working_dtype


class ProductOptions(NamedTuple):
    r"""What a product is to be, beside its operands.

    Attributes:
        weighting: How cosines become weights.
        cosine: Which cosines these are.
        bipartite: Whether receiving and sending nodes are different ones.
        backend: ``"auto"``, ``"dense"``, ``"lowrank"`` or ``"blocked"``.
        sparsity: Whether the sum of :math:`|\mathbf{A}|` is needed.
        sparsity_rows: Number of rows from which it is estimated; None for all.
    """

    weighting: Weighting
    cosine: Cosine
    bipartite: bool
    backend: str
    sparsity: bool
    sparsity_rows: int | None


def adjacency_matrix(
    score: Tensor,
    weighting: Weighting,
    bipartite: bool,
    mask: Tensor | Pair | None = None,
    group: Tensor | Pair | None = None,
) -> Tensor:
    r"""The matrices themselves.

    Args:
        score: Cosines by the temperature :math:`(B, H, n, m)`.
        weighting: How they become weights.
        bipartite: Whether receiving and sending nodes are different ones.
        mask: False for padding :math:`(B, n)`, or a pair.
        group: Group of each node :math:`(n)` or :math:`(B, n)`, or a pair.

    Returns:
        Adjacency matrices :math:`(B, H, n, m)`.
    """
    allowed = dense_support(weighting.support, mask, group)
    loops = None
    if weighting.add_self_loops:
        loops = torch.eye(score.size(-1), dtype=torch.bool, device=score.device)
        loops = loops if mask is None else loops & valid_entries(mask)
    return weigh(score, DenseRows(bipartite), weighting, allowed, loops)


def batch_product(
    nodes: Pair,
    h: Tensor,
    options: ProductOptions,
    mask: Tensor | Pair | None = None,
    group: Tensor | Pair | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Products of a batch of graphs.

    Args:
        nodes: Projected nodes that send :math:`(B, H, m, d)` and that receive
            :math:`(B, H, n, d)`, the same tensor twice where they are the same.
        h: Values of the sending nodes :math:`(B, m, F)`, 0 for padding.
        options: What the product is to be.
        mask: As for :func:`adjacency_matrix`.
        group: As for :func:`adjacency_matrix`.

    Returns:
        The products :math:`(B, H, n, F)`, and the sum of :math:`|\mathbf{A}|` over all graphs and
        heads, which is 0 unless asked for.

    Raises:
        ValueError: If the back end cannot give this product.
    """
    weighting, sparsity, rows = options.weighting, options.sparsity, options.sparsity_rows
    h_src, h_dst = nodes
    sampled = sparsity and rows is not None and rows < h_dst.size(2)
    if sampled:
        options = options._replace(sparsity=False)
    inputs = (h_src, h_dst, h, options.cosine.steepness)
    training = torch.is_grad_enabled() and any(
        isinstance(tensor, Tensor) and tensor.requires_grad for tensor in inputs
    )
    graphs = h_dst.size(0) * h_dst.size(1)
    size = Size(graphs, h_dst.size(2), h_src.size(2), h_src.size(3), h.size(2))
    backend = foreseen_backend(size, options, training)
    if 0 in (*h_dst.shape[:3], h_src.size(2)):
        return h_dst.new_zeros(*h_dst.shape[:3], h.size(-1)), h_dst.new_zeros(())
    if backend == "dense":
        score = options.cosine.scores(h_src, h_dst)
        matrix = adjacency_matrix(score, weighting, options.bipartite, mask, group)
        out, total = matrix_product(matrix, h, sparsity=options.sparsity)
    elif backend == "lowrank":
        out, total = linear_product(
            nodes,
            h,
            weighting,
            options.cosine,
            mask,
            bipartite=options.bipartite,
            sparsity=options.sparsity,
        )
    else:
        operands = _operands(nodes, h, options, mask, group)
        if weighting.top_k is not None:
            out, totals = nearest_product(*operands, weighting)
        else:
            operands = _in_working_dtype(operands, h)
            out, totals = row_product(operands, weighting, sparsity=options.sparsity)
        out = out.view(*h_dst.shape[:3], -1)
        total = totals.sum() if options.sparsity else out.new_zeros(())
    if sampled and rows is not None:
        operands = _operands(nodes, h[..., :1], options, mask, group)
        total = _sampled_total(operands, weighting, rows)
    return out, total


def ragged_product(
    nodes: Pair,
    h: Tensor,
    sizes: tuple[list[int], list[int]],
    options: ProductOptions,
    group: Tensor | Pair | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Products of graphs whose nodes stand one after the other.

    Args:
        nodes: Projected nodes that send :math:`(N_{src}, H, d)` and that receive
            :math:`(N_{dst}, H, d)`, the same tensor twice where they are the same.
        h: Values of the sending nodes :math:`(N_{src}, F)`.
        sizes: Number of sending and of receiving nodes of each graph.
        options: What the product is to be.
        group: Group of each node :math:`(N)`, or a pair.

    Returns:
        The products :math:`(N_{dst}, H, F)`, and the sum of :math:`|\mathbf{A}|` over all graphs
        and heads, which is 0 unless asked for.
    """
    h_src, h_dst = nodes
    if len(set(sizes[0])) == 1 and len(set(sizes[1])) == 1:
        graphs = len(sizes[0])
        columns, rows = sizes[0][0], sizes[1][0]
        other = own = h_src.view(graphs, columns, *h_src.shape[1:]).transpose(1, 2)
        if options.bipartite:
            own = h_dst.view(graphs, rows, *h_dst.shape[1:]).transpose(1, 2)
        groups: Tensor | Pair | None = None
        if group is not None:
            sending, receiving = as_pair(group)
            groups = (sending.view(graphs, columns), receiving.view(graphs, rows))
        values = h.view(graphs, columns, h.size(-1))
        out, total = batch_product((other, own), values, options, group=groups)
        return out.transpose(1, 2).flatten(0, 1), total

    out = h_dst.new_zeros(*h_dst.shape[:2], h.size(-1))
    total = out.new_zeros(())
    for bucket in size_buckets(*sizes, h_dst.device):
        values, other = h[bucket.sources], h_src[bucket.sources].transpose(1, 2)
        mask = groups = None
        if bucket.source_mask is not None and bucket.target_mask is not None:
            mask = (bucket.source_mask, bucket.target_mask)
        if group is not None:
            sending, receiving = as_pair(group)
            groups = (sending[bucket.sources], receiving[bucket.targets])
        if mask is not None:  # what is gathered for padding is node 0, of another graph
            other = other.masked_fill(~mask[0][:, None, :, None], 0.0)
            values = values.masked_fill(~mask[0].unsqueeze(-1), 0.0)
        own = other
        if options.bipartite:
            own = h_dst[bucket.targets].transpose(1, 2)
            own = own if mask is None else own.masked_fill(~mask[1][:, None, :, None], 0.0)
        part, part_total = batch_product((other, own), values, options, mask, groups)
        received, targets = part.transpose(1, 2).flatten(0, 1), bucket.targets.flatten()
        if bucket.target_mask is not None:
            kept = bucket.target_mask.flatten()
            received, targets = received[kept], targets[kept]
        out = out.index_copy(0, targets, received)
        total = total + part_total
    return out, total


def count_pairs(x_src: Tensor, x_dst: Tensor, mask: Tensor | Pair | None) -> Tensor | int:
    """Number of node pairs of a batch of graphs without padding, at least 1: what means divide by.

    Args:
        x_src: Sending nodes :math:`(B, m, C)`.
        x_dst: Receiving nodes :math:`(B, n, C)`.
        mask: As for :func:`adjacency_matrix`.
    """
    if mask is None:
        return max(1, x_dst.size(0) * x_dst.size(1) * x_src.size(1))
    mask_src, mask_dst = as_pair(mask)
    return (mask_src.sum(dim=-1) * mask_dst.sum(dim=-1)).sum().clamp(min=1)


def foreseen_backend(size: Size, options: ProductOptions, training: bool) -> str:
    """The back end asked for, or the one that is expected to be fastest.

    Args:
        size: Size of the product.
        options: What the product is to be.
        training: Whether gradients will be taken.

    Raises:
        ValueError: If the back end asked for cannot give the product.
    """
    linear = is_linear(options.weighting, options.cosine, sparsity=options.sparsity)
    if options.backend == "lowrank" and not linear:
        raise ValueError(
            "The back end 'lowrank' needs weights that are linear in the cosines (got "
            f"{options.weighting}{', with the sparsity' if options.sparsity else ''})"
        )
    if options.backend != "auto":
        return options.backend
    return choose_backend(
        size,
        options.weighting,
        linear=linear,
        bipartite=options.bipartite,
        training=training,
        sparsity=options.sparsity,
    )


def matrix_product(matrix: Tensor, h: Tensor, *, sparsity: bool) -> tuple[Tensor, Tensor]:
    r"""Product of given matrices, by the back end ``"dense"``.

    Args:
        matrix: Adjacency matrices :math:`(B, H, n, m)`.
        h: Values of the sending nodes :math:`(B, m, F)`.
        sparsity: Whether the second result is needed.

    Returns:
        The products :math:`(B, H, n, F)`, and the sum of :math:`|\mathbf{A}|`, 0 unless needed.
    """
    with full_precision(matrix.device):
        out = matrix @ h.unsqueeze(1).to(matrix.dtype)
    return out, matrix.abs().sum() if sparsity else out.new_zeros(())


def _operands(
    nodes: Pair,
    h: Tensor,
    options: ProductOptions,
    mask: Tensor | Pair | None,
    group: Tensor | Pair | None,
) -> Operands:
    """Directions and values, with graphs and heads counted together."""
    key, query = options.cosine.directions(*nodes)
    query = options.cosine.scale(query)
    graphs, heads = query.shape[:2]
    value = h.to(key.dtype).unsqueeze(1).expand(-1, heads, -1, -1)
    lengths = (query.size(2), key.size(2))
    codes = _node_codes(lengths, options.weighting.support, mask, group, query.device)
    query_code, key_code = (
        c if c is None else c.expand(graphs, -1).repeat_interleave(heads, dim=0) for c in codes
    )
    return Operands(
        query.flatten(0, 1),
        key.flatten(0, 1),
        value.flatten(0, 1),
        query_code,
        key_code,
        options.bipartite,
    )


def _in_working_dtype(operands: Operands, h: Tensor) -> Operands:
    """Values in half precision are multiplied in half precision where the fused kernels do so."""
    dtype = working_dtype(h.device, h.dtype)
    if dtype == operands.value.dtype or dtype not in HALF:
        return operands
    query, key, value = (tensor.to(dtype) for tensor in operands[:3])
    return operands._replace(query=query, key=key, value=value)


def _node_codes(
    lengths: tuple[int, int],
    support: str,
    mask: Tensor | Pair | None,
    group: Tensor | Pair | None,
    device: torch.device,
) -> list[Tensor | None]:
    """Number the groups of receiving and of sending nodes, with -1 for padding."""
    if support == "all":
        codes = [torch.zeros(1, n, dtype=torch.int32, device=device) for n in lengths]
    else:
        sending, receiving = require_groups(support, group)
        codes = [receiving.int(), sending.int()]
        if not sending.dtype == receiving.dtype == torch.bool:
            flat = torch.cat([receiving.flatten(), sending.flatten()])
            number = flat.unique(return_inverse=True)[1].int()
            parts = number.split([receiving.numel(), sending.numel()])
            codes = [parts[0].view(receiving.shape), parts[1].view(sending.shape)]
        codes = [code if code.dim() == 2 else code.unsqueeze(0) for code in codes]
    if mask is not None:
        masks = as_pair(mask)[::-1]
        return [torch.where(m, code, -1) for m, code in zip(masks, codes, strict=True)]
    return [None, None] if support == "all" else list(codes)


def _sampled_total(operands: Operands, weighting: Weighting, rows: int) -> Tensor:
    r"""Unbiased estimate of the sum of :math:`|\mathbf{A}|` from some of its rows."""
    n = operands.query.size(1)
    chosen = torch.randperm(n, device=operands.query.device)[:rows]
    code = operands.query_code
    part = operands._replace(
        query=operands.query[:, chosen], query_code=None if code is None else code[:, chosen]
    )
    return row_product(part, weighting, sparsity=True)[1].sum() * (n / rows)
