"""Which pairs of nodes may be joined by an edge."""

from __future__ import annotations

from torch import Tensor

Pair = tuple[Tensor, Tensor]

SUPPORTS = ("all", "cross", "intra")


def as_pair(value: Tensor | Pair) -> Pair:
    """Give sending and receiving nodes the same values unless there are two.

    Args:
        value: Values of all nodes, or of sending and of receiving nodes.
    """
    return (value, value) if isinstance(value, Tensor) else value


def edge_support(support: str, edge_index: Tensor, group: Tensor | Pair | None) -> Tensor | None:
    """Mark the edges inside the support.

    Args:
        support: ``"all"``, ``"cross"`` (different groups) or ``"intra"`` (the same group).
        edge_index: Sources and targets, shape (2, E).
        group: Group of each node, shape (N), or a pair of these.

    Returns:
        One truth value for each edge, shape (E), or None where all are inside.

    Raises:
        ValueError: If `group` is needed and missing.
    """
    if support == "all":
        return None
    group_src, group_dst = require_groups(support, group)
    return _supported(support, group_dst[edge_index[1]], group_src[edge_index[0]])


def dense_support(
    support: str, mask: Tensor | Pair | None, group: Tensor | Pair | None
) -> Tensor | None:
    """Mark the entries of adjacency matrices inside the support and outside the padding.

    Args:
        support: As for :func:`edge_support`.
        mask: False for padding, shape (B, N), or a pair of these.
        group: Group of each node, shape (N) or (B, N), or a pair of these.

    Returns:
        Truth values that broadcast to (B, heads, rows, columns), or None where all are inside.

    Raises:
        ValueError: If `group` is needed and missing.
    """
    allowed = None if mask is None else valid_entries(mask)
    if support == "all":
        return allowed
    group_src, group_dst = require_groups(support, group)
    supported = _supported(support, group_dst.unsqueeze(-1), group_src.unsqueeze(-2))
    supported = supported if supported.dim() == 3 else supported.unsqueeze(0)
    supported = supported.unsqueeze(1)
    return supported if allowed is None else allowed & supported


def valid_entries(mask: Tensor | Pair) -> Tensor:
    """Mark the entries whose row and column are both no padding.

    Args:
        mask: False for padding, shape (B, N), or a pair of these.

    Returns:
        Truth values, shape (B, 1, rows, columns).
    """
    mask_src, mask_dst = as_pair(mask)
    return (mask_dst.unsqueeze(-1) & mask_src.unsqueeze(-2)).unsqueeze(1)


def kept_pairs(support: str, row_code: Tensor, column_code: Tensor) -> Tensor:
    """Mark the pairs of nodes inside the support, without padding.

    Args:
        support: As for :func:`edge_support`.
        row_code: Group of each row, negative for padding, shape (..., rows).
        column_code: The same of each column, shape (..., columns).

    Returns:
        Truth values, shape (..., rows, columns).
    """
    row, column = row_code.unsqueeze(-1), column_code.unsqueeze(-2)
    kept = (row >= 0) & (column >= 0)
    return kept if support == "all" else kept.logical_and_(_supported(support, row, column))


def require_groups(support: str, group: Tensor | Pair | None) -> Pair:
    """Groups of sending and of receiving nodes.

    Args:
        support: As for :func:`edge_support`.
        group: Group of each node, or a pair of these.

    Raises:
        ValueError: If it is missing.
    """
    if group is None:
        raise ValueError(f"The support '{support}' needs the 'group' of each node")
    return as_pair(group)


def _supported(support: str, receiver: Tensor, sender: Tensor) -> Tensor:
    return receiver == sender if support == "intra" else receiver != sender
