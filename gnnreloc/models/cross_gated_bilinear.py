"""Labelling of every step of the reference, without proposals: cross-gated bilinear matching."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch_geometric.data import Batch, Data

from gnnreloc.data.corpus import Corpus
from gnnreloc.data.features import Features, require_channels
from gnnreloc.data.sequence_set import (
    END,
    INSIDE,
    START,
    SequenceSet,
    pool_pair,
    sequence_graph,
)
from gnnreloc.models.relocalizer import Moments
from gnnreloc.models.trainable import TrainableRelocalizer
from gnnreloc.nn.cross_gated_bilinear import CrossGatedBilinearMatching
from gnnreloc.proposals import nms_1d

#: Largest tIoU of two moments of one answer.
NMS_OVERLAP = 0.7


class StepLabels(NamedTuple):
    """What the labeller says of a batch.

    Attributes:
        logits: for every reference step of the batch, one reference after the other: start, end,
            inside, outside; ``[sum of steps, 4]``.
        steps: number of steps of each reference, ``[B]``.
    """

    logits: Tensor
    steps: Tensor


class CrossGatedBilinear(TrainableRelocalizer):
    r"""Label every reference step as start, end, inside or outside of what the query shows.

    Feng et al., "Video Re-localization" (ECCV 2018): one LSTM encodes both clips, every reference
    step is matched with the query
    (:class:`~gnnreloc.nn.cross_gated_bilinear.CrossGatedBilinearMatching`), and a bidirectional and
    another LSTM read the matches and label the steps. The answer is the moment of steps s to e with

    .. math::
        \max_{s \le e} \; \log p^{start}_s + \log p^{end}_e
        + \frac{1}{e - s - 1} \sum_{s < i < e} \log p^{inside}_i

    where the sum over nothing is 0. Proposals are not looked at: moments begin and end at the
    steps of the reference, which are its feature rows, or means of several where it has more than
    ``max_steps`` (see :func:`~gnnreloc.data.sequence_set.pool_pair`). Moments are as long as the
    shortest to the longest training moment; these two limits are part of the model's state.

    Args:
        in_channels: width C of the features.
        hidden_channels: width of the LSTMs; of the bidirectional one, of each direction.
        rank: rank of the bilinear forms.
        max_steps: most steps of a reference.
        max_query_steps: most steps of a query.
        max_moments: most moments of an answer, which overlap by a tIoU of at most 0.7.
        dropout: probability to drop an input of the last two LSTMs in training.

    Raises:
        ValueError: if a number is out of range.
    """

    losses = ("labels",)
    ranks_proposals = False
    shortest: Tensor
    longest: Tensor

    def __init__(
        self,
        in_channels: int,
        *,
        hidden_channels: int = 128,
        rank: int = 8,
        max_steps: int = 256,
        max_query_steps: int = 128,
        max_moments: int = 10,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(in_channels)
        for name, number in (
            ("in_channels", in_channels),
            ("hidden_channels", hidden_channels),
            ("max_steps", max_steps),
            ("max_query_steps", max_query_steps),
            ("max_moments", max_moments),
        ):
            if number < 1:
                raise ValueError(f"{name}: at least 1 is needed, got {number}")
        self.max_steps = max_steps
        self.max_query_steps = max_query_steps
        self.max_moments = max_moments
        width = hidden_channels
        self.encoder = torch.nn.LSTM(in_channels, width, batch_first=True)
        self.matching = CrossGatedBilinearMatching(width, rank=rank)
        self.drop = torch.nn.Dropout(dropout)
        self.context = torch.nn.LSTM(width, width, batch_first=True)
        self.context_back = torch.nn.LSTM(width, width, batch_first=True)
        self.labeller = torch.nn.LSTM(2 * width, width, batch_first=True)
        self.out = torch.nn.Linear(width, 4)
        self.register_buffer("shortest", torch.tensor(0.0))
        self.register_buffer("longest", torch.tensor(math.inf))

    def prepare(self, corpus: Corpus, *, seed: int) -> None:
        """Take the limits of a moment's length (s) from the training moments."""
        moments = corpus.subset("train")
        lengths = moments["end"] - moments["start"]
        self.shortest.fill_(float(lengths.min()))
        self.longest.fill_(float(lengths.max()))

    def training_set(self, corpus: Corpus, **options: Any) -> SequenceSet:
        """Queries with whole references.

        Reads ``samples``, ``seed`` and ``partial``. Lists, triplets and their options are about
        proposals, of which this system has none: it ignores them.
        """
        return SequenceSet(
            corpus,
            samples=options["samples"],
            seed=options["seed"],
            partial=options["partial"],
            max_steps=self.max_steps,
            max_query_steps=self.max_query_steps,
        )

    def forward(self, batch: Data) -> StepLabels:
        """Label the reference steps of a batch.

        Args:
            batch: graphs of :func:`~gnnreloc.data.sequence_set.sequence_graph`, of any lengths.
        """
        query, own = self._encode(batch, batch.is_query)
        reference, steps = self._encode(batch, ~batch.is_query)
        mask = torch.arange(query.size(1), device=own.device) < own.unsqueeze(1)
        matches = self.drop(self.matching(query, reference, mask))
        back = self.context_back(reverse_steps(matches, steps))[0]
        context = [self.context(matches)[0], reverse_steps(back, steps)]
        nodes = self.labeller(self.drop(torch.cat(context, dim=-1)))[0]
        real = torch.arange(nodes.size(1), device=steps.device) < steps.unsqueeze(1)
        return StepLabels(self.out(nodes[real]), steps)

    def _encode(self, batch: Data, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Encoded clips, padded behind their ends, and their numbers of steps."""
        steps = torch.bincount(batch.batch[rows], minlength=batch.num_graphs)
        clips = batch.x[rows].to(self.out.weight.dtype).split(steps.tolist())
        # The LSTM runs forward in time, so the padding behind a clip does not reach it.
        return self.encoder(pad_sequence(clips, batch_first=True))[0], steps

    @torch.no_grad()
    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Label the reference and rank its moments; proposals are ignored.

        Raises:
            InputError: if the features have another width.
            FloatingPointError: if a label is not finite, as after training with too high a
                learning rate.
        """
        require_channels(query, reference, self.in_channels)
        clip, steps = pool_pair(
            query, reference, max_steps=self.max_steps, max_query_steps=self.max_query_steps
        )
        batch = Batch.from_data_list([sequence_graph(clip, steps)]).to(self.out.weight.device)
        training = self.training
        self.eval()
        logits = self(batch).logits
        self.train(training)
        if not bool(logits.isfinite().all()):
            raise FloatingPointError(
                "the model gives NaN: its weights or the features are NaN or too large"
            )
        shortest = max(1, round(float(self.shortest) / steps.step))
        longest = min(float(steps.num_steps), float(self.longest) / steps.step)
        spans, scores = decode_labels(
            logits.double().cpu().log_softmax(dim=1), shortest=shortest, longest=round(longest)
        )
        segments = reference.offset + spans.double() * steps.step
        segments = segments.clamp(max=reference.duration)
        kept = nms_1d(segments, scores, NMS_OVERLAP, self.max_moments)
        return Moments.ranked(segments[kept], scores[kept])


def decode_labels(log_probs: Tensor, *, shortest: int, longest: int) -> tuple[Tensor, Tensor]:
    """Score every span of steps by the labels of its steps.

    Args:
        log_probs: logarithm of the probability of start, end, inside and outside, ``[R, 4]``.
        shortest: fewest steps of a span; the whole reference where it has fewer.
        longest: most steps of a span.

    Returns:
        First step and the step after the last one, int64 ``[m, 2]``, and the scores ``[m]``.

    Example:
        >>> probs = torch.tensor([[0.1, 0.1, 0.1, 0.7], [0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1]])
        >>> spans, scores = decode_labels(probs.log(), shortest=1, longest=3)
        >>> spans[scores.argmax()].tolist()
        [1, 3]
    """
    steps = log_probs.size(0)
    shortest = min(shortest, steps)
    longest = max(longest, shortest)
    place = torch.arange(steps)
    length = place.unsqueeze(0) - place.unsqueeze(1) + 1
    first, last = ((length >= shortest) & (length <= longest)).nonzero().unbind(dim=1)
    sums = torch.nn.functional.pad(log_probs[:, INSIDE].cumsum(0), (1, 0))
    between = (last - first - 1).clamp(min=0)
    inside = (sums[first + 1 + between] - sums[first + 1]) / between.clamp(min=1)
    scores = log_probs[first, START] + log_probs[last, END] + inside
    return torch.stack([first, last + 1], dim=1), scores


def reverse_steps(x: Tensor, steps: Tensor) -> Tensor:
    """Turn every sequence of a padded batch around; the padding stays where it is.

    Args:
        x: ``[B, L, d]``.
        steps: number of steps of each sequence, ``[B]``.

    Example:
        >>> x = torch.tensor([[1, 2, 3], [4, 5, 0]]).unsqueeze(-1)
        >>> reverse_steps(x, torch.tensor([3, 2])).squeeze(-1).tolist()
        [[3, 2, 1], [5, 4, 0]]
    """
    place = torch.arange(x.size(1), device=x.device)
    back = steps.unsqueeze(1) - 1 - place
    return x.take_along_dim(torch.where(back >= 0, back, place).unsqueeze(-1), dim=1)
