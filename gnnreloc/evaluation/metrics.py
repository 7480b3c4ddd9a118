"""How well ranked moments match the truth: R@k and mIoU as pure functions in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

from gnnreloc.errors import InputError

#: tIoU levels at which recall is reported.
THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
#: tIoU levels of the paper's tables, over which the mean recall is taken.
MEAN_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


class Summary(TypedDict):
    """The figures of one system on one list of query-reference pairs, ready for JSON.

    Attributes:
        r1: recall of the first prediction, by tIoU level written as in ``"0.75"``.
        r1_mean: mean of that recall over :data:`MEAN_THRESHOLDS`.
        r5: recall of the best of the first five predictions, by tIoU level.
        miou: mean tIoU of the first prediction.
    """

    r1: dict[str, float]
    r1_mean: float
    r5: dict[str, float]
    miou: float


def recall_at_k(ranked_overlaps: Sequence[Tensor], k: int, threshold: float) -> float:
    """Share of pairs with a prediction of tIoU strictly above a level among the first k.

    With ``k=1`` this is what the literature on this task calls "mAP at tIoU".

    Args:
        ranked_overlaps: for each pair the tIoU of its predictions, best ranked first, ``[m_i]``
            (see :func:`~gnnreloc.data.overlap.best_overlap`). ``m_i`` may be less than k;
            no prediction is a miss.
        k: how many predictions count, at least 1.
        threshold: the tIoU that has to be exceeded.

    Returns:
        Recall in [0, 1].

    Raises:
        InputError: if there is no pair, an item is not one-dimensional, an overlap is not in
            [0, 1], or k is less than 1.

    Example:
        >>> ranked = [torch.tensor([0.4, 0.8]), torch.tensor([0.5]), torch.tensor([])]
        >>> recall_at_k(ranked, k=1, threshold=0.3), recall_at_k(ranked, k=2, threshold=0.5)
        (0.6666666666666666, 0.3333333333333333)
    """
    return _share_above(_best_of_first(ranked_overlaps, k), threshold)


def summarize(ranked_overlaps: Sequence[Tensor]) -> Summary:
    """R@1 and R@5 at every level of :data:`THRESHOLDS`, mean R@1 and mIoU.

    Args:
        ranked_overlaps: for each pair the tIoU of its predictions, best ranked first, ``[m_i]``.

    Returns:
        The figures as a dictionary (see :class:`Summary`).

    Raises:
        InputError: as :func:`recall_at_k`.

    Example:
        >>> summary = summarize([torch.tensor([0.625, 0.9]), torch.tensor([])])
        >>> summary["r1"]["0.5"], summary["r1"]["0.7"], summary["r5"]["0.85"], summary["miou"]
        (0.5, 0.0, 0.5, 0.3125)
    """
    first = _best_of_first(ranked_overlaps, 1)
    first_five = _best_of_first(ranked_overlaps, 5)
    at_mean = [_share_above(first, threshold) for threshold in MEAN_THRESHOLDS]
    return {
        "r1": {f"{threshold:g}": _share_above(first, threshold) for threshold in THRESHOLDS},
        "r1_mean": sum(at_mean) / len(at_mean),
        "r5": {f"{threshold:g}": _share_above(first_five, threshold) for threshold in THRESHOLDS},
        "miou": first.mean().item(),
    }


def _best_of_first(ranked_overlaps: Sequence[Tensor], k: int) -> Tensor:
    """Highest tIoU among the first k predictions of each pair, 0 without any, float64 ``[n]``."""
    if k < 1:
        raise InputError(f"k: {k}; wanted at least 1")
    if len(ranked_overlaps) == 0:
        raise InputError("ranked_overlaps: no pair; wanted at least one")
    best = torch.zeros(len(ranked_overlaps), dtype=torch.float64)
    for pair, overlaps in enumerate(ranked_overlaps):
        if overlaps.dim() != 1:
            raise InputError(f"pair {pair}: overlaps of shape {list(overlaps.shape)}; wanted [m]")
        if overlaps.numel() > 0:
            best[pair] = overlaps[:k].max()
    wrong = ~((best >= 0.0) & (best <= 1.0))
    if bool(wrong.any()):
        pair = int(wrong.int().argmax())
        raise InputError(f"pair {pair}: tIoU {best[pair].item()}; wanted a value in [0, 1]")
    return best


def _share_above(best: Tensor, threshold: float) -> float:
    return (best > threshold).double().mean().item()
