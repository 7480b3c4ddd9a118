"""From similarity scores to edge weights: one rule for dense and edge-wise adjacencies."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from gnnreloc.nn.adjacency_rows import AdjacencyRows
from gnnreloc.nn.edge_support import SUPPORTS

HALF = (torch.float16, torch.bfloat16)
ACTIVATIONS = ("none", "relu", "shift", "softmax")
NORMALIZATIONS = ("none", "row", "sym")


class Weighting(NamedTuple):
    """How the scores of a row become its weights, in the order of application.

    Attributes:
        activation: ``"none"``, ``"relu"``, ``"shift"`` for (1 + s) / 2, or ``"softmax"``.
        support: Node pairs that may have a weight: ``"all"``, ``"cross"`` or ``"intra"``.
        top_k: Number of entries to keep in each row.
        threshold: Least activated score to keep; with the softmax the least score.
        add_self_loops: Set the diagonal to 1; with the softmax let it take part.
        normalization: ``"none"``, ``"row"`` or ``"sym"``.
        eps: Sum of absolute weights up to which a row counts as 0.
    """

    activation: str = "none"
    support: str = "all"
    top_k: int | None = None
    threshold: float | None = None
    add_self_loops: bool = False
    normalization: str = "none"
    eps: float = 1e-8


def check_weighting(weighting: Weighting) -> None:
    """Check options.

    Args:
        weighting: How scores become weights.

    Raises:
        ValueError: If an option is unknown, out of range or does not go with another.
    """
    for name, choices in (
        ("activation", ACTIVATIONS),
        ("support", SUPPORTS),
        ("normalization", NORMALIZATIONS),
    ):
        value = getattr(weighting, name)
        if value not in choices:
            raise ValueError(f"'{name}' must be one of {', '.join(choices)} (got '{value}')")
    if weighting.activation == "softmax" and weighting.normalization != "none":
        raise ValueError(
            f"'softmax' rows are normalized already: 'normalization' must be 'none' "
            f"(got '{weighting.normalization}')"
        )
    if weighting.top_k is not None and weighting.top_k < 1:
        raise ValueError(f"'top_k' must be at least 1 (got {weighting.top_k})")
    if not 0 < weighting.eps < math.inf:
        raise ValueError(f"'eps' must be positive and finite (got {weighting.eps})")
    if weighting.threshold is not None and math.isnan(weighting.threshold):
        raise ValueError("'threshold' must be a number (got nan)")


def weigh(
    score: Tensor,
    rows: AdjacencyRows,
    weighting: Weighting,
    allowed: Tensor | None = None,
    loops: Tensor | None = None,
) -> Tensor:
    """Turn scores into weights: activation, selection of entries, self-loops, normalization.

    Args:
        score: Similarity of each entry.
        rows: How entries form rows.
        weighting: What is done to them; of the support and the self-loops it is the next two
            arguments that count.
        allowed: True for the entries that may have a weight, all by default.
        loops: True for the entries of the diagonal that are to be self-loops, none by default.

    Returns:
        The weights, exactly 0 for entries that are not kept.
    """
    weight = _activate(score, weighting.activation)
    keep = _select(weight, rows, allowed, weighting.top_k, weighting.threshold)
    if weighting.activation == "softmax":
        keep = keep if keep is None or loops is None else keep | loops
        return _masked_softmax(weight, rows, keep)
    if keep is not None:
        weight = torch.where(keep, weight, 0.0)
    if loops is not None:
        weight = weight.masked_fill(loops, 1.0)
    return _normalize(weight, rows, weighting.normalization, weighting.eps)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Switch automatic mixed precision off, on the devices that have it.

    Args:
        device: Where the computation runs.
    """
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def inverse_root(value: Tensor, least: float) -> Tensor:
    """One over the square root, exactly 0 with gradient 0 where the value is not above a least.

    Args:
        value: Numbers from 0 up.
        least: Largest number that counts as 0.

    Examples:
        >>> inverse_root(torch.tensor([4.0, 0.0]), 1e-8)
        tensor([0.5000, 0.0000])
    """
    usable = value > least
    return torch.where(usable, value, 1.0).rsqrt() * usable


def _activate(score: Tensor, activation: str) -> Tensor:
    if activation == "relu":
        return score.relu()
    if activation == "shift":
        return (1 + score) / 2
    return score


def _select(
    weight: Tensor,
    rows: AdjacencyRows,
    allowed: Tensor | None,
    top_k: int | None,
    threshold: float | None,
) -> Tensor | None:
    """Mark the entries to keep; None keeps all."""
    keep = allowed
    if top_k is not None:
        ranked = weight if keep is None else weight.masked_fill(~keep, -math.inf)
        largest = rows.top_k(ranked, top_k)
        keep = largest if keep is None else keep & largest
    if threshold is not None:
        above = weight >= threshold
        keep = above if keep is None else keep & above
    return keep


def _masked_softmax(weight: Tensor, rows: AdjacencyRows, keep: Tensor | None) -> Tensor:
    if keep is None:
        return rows.softmax(weight)
    # The lowest finite number: minus infinity would take a row without entries through NaN.
    weight = weight.masked_fill(~keep, torch.finfo(weight.dtype).min)
    return torch.where(keep, rows.softmax(weight), 0.0)


def _normalize(weight: Tensor, rows: AdjacencyRows, normalization: str, eps: float) -> Tensor:
    if normalization == "none":
        return weight
    magnitude = weight.abs()
    degree = rows.row_degree(magnitude)
    if normalization == "row":
        usable = degree > eps
        return weight / torch.where(usable, degree, 1.0) * usable
    column_degree = rows.column_degree(magnitude)
    return weight * inverse_root(degree, eps) * inverse_root(column_degree, eps)
