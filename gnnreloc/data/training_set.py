"""Training samples as pair graphs: the paper's triplets, and our ranking lists."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnreloc.data.corpus import Corpus
from gnnreloc.data.features import Features, ResampleMode, resample, resample_clip, widen
from gnnreloc.data.overlap import temporal_iou
from gnnreloc.data.pair_graph import pair_graphs
from gnnreloc.data.pairs import Pair
from gnnreloc.data.sampled_set import SampledSet, require_at_least
from gnnreloc.errors import InputError

Sampling = Literal["lists", "triplets"]
Negatives = Literal["other_class", "in_video"]

POSITIVE_OVERLAP = 0.5
NEGATIVE_OVERLAP = 0.3
#: Feature rows that a part of a moment has at least.
SHORTEST_PART = 8


class TrainingSet(SampledSet):
    """Draws training samples from the training moments of a corpus.

    A sample is a list of pair graphs with the same query:

    - ``"lists"`` (ours): proposals of one reference, to be ranked by their tIoU with the moment.
      Up to a quarter of the list has a tIoU of at least 0.5, the best proposal always among them;
      the rest are random others of the same video: background, other actions and partial moments,
      which is what a system has to tell apart when it is used.
    - ``"triplets"`` (the paper, Section 4.1): two graphs, the first with a proposal of the query's
      class, the second with a proposal of another class (``negatives="other_class"``) or from the
      same reference with a tIoU below 0.3 (``"in_video"``).

    In a batch, the attribute ``pair`` tells which graphs belong together. A sample depends on seed,
    epoch and number alone, see :class:`~gnnreloc.data.sampled_set.SampledSet`.

    Args:
        corpus: the corpus.
        sampling: kind of sample.
        samples: number of samples an epoch.
        list_length: number of proposals in a list (fewer where the video has fewer).
        negatives: kind of negative in a triplet.
        partial: share of the lists in which the same random part of the query and of the moments
            in the reference takes their place: more to learn from than whole actions of few
            classes, and boundaries that only the query tells.
        composite: share of the lists that ask for a made-up action: a random block of the channels
            shows another action, in query and reference alike. From few classes it makes many, of
            which no channel alone tells the whole. None if there is but one class, or with
            triplets.
        timesteps: number of timesteps T of a clip.
        context: share of its length by which a proposal is widened at both ends, to be seen with
            its surroundings.
        resampling: how a clip is brought to T timesteps.
        seed: seed of all draws.
        transform: applied to every graph, for example
            :class:`~gnnreloc.transforms.KHopTemporal`.
        subset: subset to draw from.

    Raises:
        InputError: if a number is too small, an option is unknown, or no pair can be drawn.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        sampling: Sampling = "lists",
        samples: int = 320,
        list_length: int = 24,
        negatives: Negatives = "other_class",
        partial: float = 0.0,
        composite: float = 0.0,
        timesteps: int = 40,
        context: float = 0.0,
        resampling: ResampleMode = "linear",
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        subset: str = "train",
    ) -> None:
        super().__init__(corpus, samples=samples, seed=seed, partial=partial, subset=subset)
        require_at_least("timesteps", timesteps, 1)
        require_at_least("list_length", list_length, 2)
        if not 0.0 <= composite <= 1.0:
            raise InputError(f"composite must be a share from 0 to 1, got {composite}")
        if not 0.0 <= context < math.inf:
            raise InputError(f"context must be a number from 0, got {context}")
        for name, choice, kinds in (
            ("sampling", sampling, Sampling),
            ("negatives", negatives, Negatives),
            ("resampling", resampling, ResampleMode),
        ):
            if choice not in get_args(kinds):
                raise InputError(f"{name} must be one of {get_args(kinds)}, got {choice!r}")
        single = len(self.sampler.labels) < 2
        if sampling == "triplets" and negatives == "other_class" and single:
            raise InputError(
                f"{corpus.name}: {subset!r} has no second class to take negatives from"
            )
        self.sampling = sampling
        self.list_length = list_length
        self.negatives = negatives
        self.composite = 0.0 if single else composite
        self.timesteps = timesteps
        self.context = context
        self.resampling: ResampleMode = resampling
        self.transform = transform
        # Proposals that are learned when the first is asked for are so before workers are started.
        corpus.proposals[str(self.sampler.moments["video"].iloc[0])]

    def __getitem__(self, index: int) -> list[Data]:
        graphs = super().__getitem__(index)
        number = torch.tensor([index])
        for graph in graphs:
            graph["pair"] = number
        return graphs if self.transform is None else [self.transform(graph) for graph in graphs]

    def _sample(self, rng: np.random.Generator) -> list[Data]:
        drawn = self.sampler.draw(rng)
        if self.sampling == "triplets":
            return self._triplet(rng, drawn)
        return self._list(rng, self._partly(rng, drawn))

    def _partly(self, rng: np.random.Generator, drawn: Pair) -> Pair:
        """The pair, or in the share of ``partial`` a part of it."""
        if rng.random() >= self.partial:
            return drawn
        step = self.corpus.features[drawn.reference].step
        return part_of_pair(rng, drawn, shortest=SHORTEST_PART * step)

    def _list(self, rng: np.random.Generator, drawn: Pair) -> list[Data]:
        proposals = self.corpus.proposals[drawn.reference]
        overlaps = temporal_iou(proposals, drawn.targets)
        rows = list_rows(rng, overlaps.amax(dim=1), self.list_length)
        segments, overlaps = proposals[rows], overlaps[rows]
        clips = self._clips(drawn, drawn.reference, segments)
        if rng.random() < self.composite:
            # The best proposal shows the moment that the other action is laid over.
            moment = drawn.targets[int(overlaps[0].argmax())]
            clips = self._composed(rng, drawn, clips, segments, moment)
        return self._graphs(drawn, clips, segments, overlaps)

    def _composed(
        self,
        rng: np.random.Generator,
        drawn: Pair,
        clips: tuple[Tensor, Tensor],
        segments: Tensor,
        moment: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The clips, with a block of channels taken from a pair of another class.

        The other reference is shifted and stretched, so that its moment covers the first one's.
        """
        other = self._partly(rng, self._draw_other_class(rng, drawn))
        target = other.targets[int(rng.integers(len(other.targets)))]
        stretch = (target[1] - target[0]) / (moment[1] - moment[0])
        theirs = self._clips(other, other.reference, (segments - moment[0]) * stretch + target[0])
        block = channel_block(rng, clips[0].size(-1))
        for own, their in zip(clips, theirs, strict=True):
            own[..., block] = their[..., block]
        return clips

    def _triplet(self, rng: np.random.Generator, drawn: Pair) -> list[Data]:
        proposals = self.corpus.proposals[drawn.reference]
        overlaps = temporal_iou(proposals, drawn.targets)
        overlap = overlaps.amax(dim=1)
        positive = self._draw_from(rng, overlap >= POSITIVE_OVERLAP, int(overlap.argmax()))
        graphs = self._single(drawn, drawn.reference, proposals[[positive]], overlaps[[positive]])
        if self.negatives == "in_video":
            negative = self._draw_from(rng, overlap < NEGATIVE_OVERLAP, int(overlap.argmin()))
            return graphs + self._single(drawn, drawn.reference, proposals[[negative]], None)
        other = self._draw_other_class(rng, drawn)
        proposals = self.corpus.proposals[other.reference]
        overlap = temporal_iou(proposals, other.targets).amax(dim=1)
        negative = self._draw_from(rng, overlap >= POSITIVE_OVERLAP, int(overlap.argmax()))
        return graphs + self._single(drawn, other.reference, proposals[[negative]], None)

    def _draw_other_class(self, rng: np.random.Generator, drawn: Pair) -> Pair:
        others = [label for label in self.sampler.labels if label != drawn.label]
        return self.sampler.draw(rng, label=others[int(rng.integers(len(others)))])

    @staticmethod
    def _draw_from(rng: np.random.Generator, allowed: Tensor, otherwise: int) -> int:
        """A random allowed position, or ``otherwise`` where there is none."""
        positions = allowed.nonzero()[:, 0]
        if len(positions) == 0:
            return otherwise
        return int(positions[int(rng.integers(len(positions)))])

    def _query(self, drawn: Pair) -> Features:
        return self.corpus.features[drawn.query_video].slice(*drawn.query_segment)

    def _clips(self, drawn: Pair, video: str, segments: Tensor) -> tuple[Tensor, Tensor]:
        """The query ``[T, C]``, and segments of a video with their surroundings ``[m, T, C]``."""
        query = self._query(drawn)
        segments = widen(segments, self.context)
        return (
            resample_clip(query, self.timesteps, self.resampling),
            resample(self.corpus.features[video], segments, self.timesteps, self.resampling),
        )

    def _single(
        self, drawn: Pair, video: str, segment: Tensor, overlaps: Tensor | None
    ) -> list[Data]:
        return self._graphs(drawn, self._clips(drawn, video, segment), segment, overlaps)

    def _graphs(
        self, drawn: Pair, clips: tuple[Tensor, Tensor], segments: Tensor, overlaps: Tensor | None
    ) -> list[Data]:
        """One graph a segment, each with the target that it overlaps most.

        ``overlaps`` are tIoUs of segments and targets, None where the video holds no target.
        """
        targets = overlap = None
        if overlaps is not None:
            overlap, best = overlaps.max(dim=1)
            targets = drawn.targets[best]
        # Of the rows that are seen, as when a clip is searched for, not as annotated.
        duration = self._query(drawn).duration
        return pair_graphs(
            *clips, segments, targets=targets, overlaps=overlap, query_duration=duration
        )


def list_rows(rng: np.random.Generator, overlap: Tensor, length: int) -> list[int]:
    """Which proposals make up a list: the best first, a quarter of good ones at most, then others.

    Args:
        rng: random generator.
        overlap: tIoU of each proposal of the video with the moment, ``[m]``.
        length: of the list; it is shorter where there are fewer proposals.

    Returns:
        Numbers of the proposals.
    """
    shares = overlap.numpy()
    order = rng.permutation(len(shares))
    best = int(shares.argmax())
    good = [best] + [int(i) for i in order[shares[order] >= POSITIVE_OVERLAP] if i != best]
    good = good[: max(1, length // 4)]
    rest: list[int] = order[~np.isin(order, good)][: length - len(good)].tolist()
    return good + rest


def channel_block(rng: np.random.Generator, channels: int) -> Tensor:
    """A fifth to four fifths of all channels, next to each other in a circle.

    Of one or two channels it may be none or all.

    Args:
        rng: random generator.
        channels: number of all channels.

    Returns:
        Their numbers, int64.
    """
    count = round(rng.uniform(0.2, 0.8) * channels)
    return torch.from_numpy((np.arange(count) + rng.integers(channels)) % channels)


def part_of_pair(rng: np.random.Generator, pair: Pair, *, shortest: float) -> Pair:
    """The pair with the same random part of the query and of every target in their place.

    The part begins in the first 60 % of the moment (at its beginning one time in four) and takes 35
    to 80 % of it (up to its end one time in four). That equal shares of two instances show the same
    part of the action holds only roughly; the soft targets of the ranking loss allow for it.

    Args:
        rng: random generator.
        pair: the pair.
        shortest: a pair that would get a part shorter than this (s) comes back as it is.
    """
    first = rng.uniform(0.0, 0.6) * (rng.random() >= 0.25)
    last = 1.0 if rng.random() < 0.25 else min(1.0, first + rng.uniform(0.35, 0.8))
    start, end = pair.query_segment
    length = pair.targets[:, 1:] - pair.targets[:, :1]
    if min(end - start, float(length.min())) * (last - first) < shortest:
        return pair
    shares = torch.tensor([first, last], dtype=torch.float64)
    return replace(
        pair,
        query_segment=(start + (end - start) * first, start + (end - start) * last),
        targets=pair.targets[:, :1] + length * shares,
    )
