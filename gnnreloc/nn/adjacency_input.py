"""What the learned adjacency is called with: checks, and padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch import bool as boolean

from gnnreloc.nn.edge_support import Pair, as_pair

if TYPE_CHECKING:
    from gnnreloc.nn.adjacency_product import ProductOptions

BACKENDS = ("auto", "edge", "dense", "lowrank", "blocked")


def check_nodes(nodes: Pair, mask: Tensor | Pair | None, group: Tensor | Pair | None) -> None:
    """Check nodes, and what is said of each of them.

    Args:
        nodes: Sending and receiving nodes, both :math:`(N, C)` or :math:`(B, N, C)`.
        mask: False for padding :math:`(B, N)`, or a pair; not for :math:`(N, C)`.
        group: Group of each node :math:`(N)` or :math:`(B, N)`, or a pair.

    Raises:
        ValueError: If something does not fit.
    """
    x_src, x_dst = nodes
    shapes = f"{list(x_src.shape)} and {list(x_dst.shape)}"
    if x_src.dim() not in (2, 3) or x_dst.dim() != x_src.dim():
        raise ValueError(f"Expected nodes of shape [N, C] or [B, N, C] (got {shapes})")
    if x_src.dim() == 3 and x_src.size(0) != x_dst.size(0):
        raise ValueError(f"Sending and receiving nodes need the same number of graphs ({shapes})")
    for x in nodes:
        if not x.is_floating_point():
            raise ValueError(f"Nodes must hold real numbers in floating point (got {x.dtype})")
    if mask is not None:
        if x_src.dim() == 2:
            raise ValueError("'mask' is for nodes of shape [B, N, C]; flat nodes take 'batch'")
        for x, marked in zip(nodes, as_pair(mask), strict=True):
            if marked.dtype != boolean or marked.shape != x.shape[:2]:
                raise ValueError(
                    f"'mask' must be bool of shape {list(x.shape[:2])} (got {marked.dtype}, "
                    f"{list(marked.shape)})"
                )
    if group is not None:
        for x, number in zip(nodes, as_pair(group), strict=True):
            if number.shape not in (x.shape[:-1], x.shape[-2:-1]):
                raise ValueError(
                    f"'group' needs a number for each node: nodes {list(x.shape)}, "
                    f"'group' {list(number.shape)}"
                )


def without_padding(x: Tensor | Pair, mask: Tensor | Pair | None) -> Tensor | Pair:
    """Nodes with 0 in the place of padding, so that nothing of it reaches a gradient.

    Args:
        x: Nodes :math:`(B, N, C)`, or a pair.
        mask: False for padding :math:`(B, N)`, or a pair.
    """
    if mask is None:
        return x
    if isinstance(x, Tensor) and isinstance(mask, Tensor):
        return x.masked_fill(~mask.unsqueeze(-1), 0.0)
    sending, receiving = as_pair(x)
    mask_src, mask_dst = as_pair(mask)
    sending = sending.masked_fill(~mask_src.unsqueeze(-1), 0.0)
    return sending, receiving.masked_fill(~mask_dst.unsqueeze(-1), 0.0)


def check_product(
    nodes: Pair,
    h: Tensor,
    mask: Tensor | Pair | None,
    group: Tensor | Pair | None,
    batch: Tensor | Pair | None,
    batch_size: int | None,
    options: ProductOptions,
) -> None:
    """Check what a product is asked for.

    Args:
        nodes: Sending and receiving nodes, both :math:`(N, C)` or :math:`(B, N, C)`.
        h: Values of the sending nodes.
        mask: Goes with :math:`(B, N, C)` only.
        group: Of each node.
        batch: Goes with :math:`(N, C)` only.
        batch_size: Goes with :math:`(N, C)` only.
        options: What the product is to be.

    Raises:
        ValueError: If something does not fit.
    """
    if options.backend not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise ValueError(f"'backend' must be one of {known} (got '{options.backend}')")
    check_nodes(nodes, mask, group)
    x_src = nodes[0]
    if not h.is_floating_point():
        raise ValueError(f"'h' must hold real numbers in floating point (got {h.dtype})")
    if h.dim() != x_src.dim() or h.shape[:-1] != x_src.shape[:-1]:
        raise ValueError(
            f"'h' needs one row for each sending node: nodes {list(x_src.shape)}, "
            f"'h' {list(h.shape)}"
        )
    if x_src.dim() == 3 and not (batch is None and batch_size is None):
        raise ValueError("'batch' and 'batch_size' are for nodes of shape [N, C], not [B, N, C]")
    if options.sparsity_rows is not None:
        _check_sampling(options)


def _check_sampling(options: ProductOptions) -> None:
    weighting = options.weighting
    if options.sparsity_rows is not None and options.sparsity_rows < 1:
        raise ValueError(f"'sparsity_rows' must be at least 1 (got {options.sparsity_rows})")
    if not options.sparsity or options.backend == "edge":
        raise ValueError(
            "'sparsity_rows' needs 'return_sparsity', and another back end than 'edge'"
        )
    if weighting.add_self_loops or weighting.top_k is not None:
        raise ValueError("'sparsity_rows' goes with neither 'top_k' nor 'add_self_loops'")
    if weighting.normalization == "sym":
        raise ValueError("'sparsity_rows' does not go with normalization 'sym'")
