"""Losses over a batch of training samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import scatter, softmax

from gnnreloc.data.sequence_set import END, START
from gnnreloc.models.cross_gated_bilinear import StepLabels
from gnnreloc.models.pair_network import PairScores
from gnnreloc.nn import encode_offsets
from gnnreloc.nn.regression_head import MAX_LOG_LENGTH

LossName = Literal["ranking", "triplet", "regression", "sparsity", "labels"]


def ranking_loss(scores: Tensor, overlap: Tensor, pair: Tensor, temperature: float) -> Tensor:
    r"""Cross-entropy between two distributions over the proposals of each list.

    .. math::
        L = - \frac{1}{B} \sum_{b} \sum_{i \in b}
        \mathrm{softmax}_i (\mathrm{tIoU}_i / \tau) \, \log \mathrm{softmax}_i (s_i)

    The list-wise loss of Cao et al., "Learning to Rank: From Pairwise Approach to Listwise
    Approach" (2007), with tIoU as relevance.

    Args:
        scores: ``[n]``.
        overlap: tIoU of each proposal with the moment, ``[n]``.
        pair: number of the list of each proposal, ``[n]``; lists lie next to each other.
        temperature: of the target distribution; small values look at the best proposal alone.

    Example:
        >>> equal = ranking_loss(torch.zeros(2), torch.tensor([1.0, 0.0]), torch.zeros(2), 0.1)
        >>> round(equal.item(), 4)
        0.6931
    """
    _, group = pair.unique_consecutive(return_inverse=True)
    lists = int(group[-1]) + 1
    target = softmax(overlap / temperature, group, num_nodes=lists)
    # Logarithm of the softmax in a form that keeps its gradient where the softmax is 0.
    scores = scores - scatter(scores.detach(), group, dim_size=lists, reduce="max")[group]
    total = scatter(scores.exp(), group, dim_size=lists, reduce="sum")
    loss: Tensor = -(target * (scores - total.log()[group])).sum() / lists
    return loss


def triplet_loss(scores: Tensor, margin: float = 0.5) -> Tensor:
    r"""Hinge on the scores of each positive and its negative (Section 4.5.1 of the paper).

    .. math:: L_{tri} = \sum_i \max(0, \gamma - S(q_i, p_i) + S(q_i, n_i))

    The paper's :math:`\lambda \|\theta\|^2` is the optimiser's weight decay :math:`2 \lambda`.

    Args:
        scores: ``[2 n]``, positive and negative in turn.
        margin: :math:`\gamma`.

    Example:
        >>> triplet_loss(torch.tensor([0.9, 0.1, 0.2, 0.4])).item()
        0.7
    """
    positive, negative = scores.view(-1, 2).unbind(dim=1)
    return (margin - positive + negative).clamp(min=0).sum()


def regression_loss(
    offsets: Tensor,
    segment: Tensor,
    target: Tensor,
    overlap: Tensor,
    *,
    positive_overlap: float,
    beta: float,
) -> Tensor:
    """Mean distance of the offsets of positive proposals from the true ones (Section 4.5.2).

    True offsets are clamped to [-2, 2], which touches none where positives have a tIoU of at least
    0.5. The clamp is ours.

    Args:
        offsets: predicted ``[n, 2]``.
        segment: proposals in seconds, ``[n, 2]``.
        target: true moments in seconds, ``[n, 2]``.
        overlap: tIoU of the two, ``[n]``.
        positive_overlap: proposals with at least this tIoU count; 0 if none does.
        beta: below it the distance is squared (smooth L1); 0 is the paper's L1.
    """
    positive = (overlap >= positive_overlap) & target.isfinite().all(dim=1)
    if not bool(positive.any()):
        return offsets.sum() * 0.0
    truth = encode_offsets(segment[positive], target[positive])
    truth = truth.clamp(-MAX_LOG_LENGTH, MAX_LOG_LENGTH).to(offsets.dtype)
    distance = torch.nn.functional.smooth_l1_loss(
        offsets[positive], truth, beta=beta, reduction="none"
    )
    return distance.sum(dim=1).mean()


def labels_loss(logits: Tensor, labels: Tensor, boundary_weight: float = 10.0) -> Tensor:
    r"""Weighted cross-entropy of the labels of reference steps.

    .. math::
        L = - \frac{\sum_i w_{y_i} \log p_i(y_i)}{\sum_i w_{y_i}}

    Feng et al., "Video Re-localization" (2018): there are few boundary steps, so each weighs 10.

    Args:
        logits: of start, end, inside and outside, ``[n, 4]``.
        labels: the true label of every step, int64 ``[n]``.
        boundary_weight: weight of a step that is a start or an end; the others have 1.

    Example:
        >>> sure = torch.tensor([[9.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
        >>> round(labels_loss(sure, torch.tensor([0, 3])).item(), 4)  # log(4) / 11, and nearly 0
        0.1264
    """
    weights = logits.new_ones(logits.size(1))
    weights[[START, END]] = boundary_weight
    return torch.nn.functional.cross_entropy(logits, labels, weights)


def compute_losses(
    names: Iterable[LossName],
    out: PairScores | StepLabels,
    batch: Data,
    *,
    margin: float = 0.5,
    target_temperature: float = 0.2,
    positive_overlap: float = 0.5,
    beta: float = 0.1,
) -> dict[LossName, Tensor]:
    """The named losses of a batch.

    Args:
        names: which losses; a sequence labeller has ``labels`` alone.
        out: what the network says.
        batch: the samples.
        margin: of the triplet loss.
        target_temperature: of the ranking loss.
        positive_overlap: of the regression loss.
        beta: of the regression loss.
    """
    if isinstance(out, StepLabels):
        return {"labels": labels_loss(out.logits, batch.labels)}
    losses: dict[LossName, Tensor] = {}
    for name in names:
        if name == "ranking":
            losses[name] = ranking_loss(out.scores, batch.overlap, batch.pair, target_temperature)
        elif name == "triplet":
            losses[name] = triplet_loss(out.scores, margin)
        elif name == "regression":
            losses[name] = regression_loss(
                out.offsets,
                batch.segment,
                batch.target,
                batch.overlap,
                positive_overlap=positive_overlap,
                beta=beta,
            )
        else:
            losses[name] = out.sparsity
    return losses
