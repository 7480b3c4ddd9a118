"""Networks that score one pair graph, query and proposal, at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from gnnreloc.data.corpus import Corpus
from gnnreloc.data.features import (
    Features,
    ResampleMode,
    require_channels,
    resample,
    resample_clip,
    widen,
)
from gnnreloc.data.pair_graph import pair_graphs
from gnnreloc.data.training_set import TrainingSet
from gnnreloc.models.relocalizer import Moments, require_proposals
from gnnreloc.models.trainable import TrainableRelocalizer
from gnnreloc.nn import CrossAdjacency, decode_offsets
from gnnreloc.nn.rectified_dropout import RectifiedDropout


class PairScores(NamedTuple):
    """What a network says of a batch of B pair graphs.

    Attributes:
        scores: ``[B]``, larger for a better match.
        offsets: ``[B, 2]``, see :func:`gnnreloc.nn.encode_offsets`.
        sparsity: mean of the learned weights' absolute values over all (2T)^2 node pairs (the
            paper's L1 loss), 0 where the graph is fixed.
        learned: learned adjacency (dense back end), else None.
    """

    scores: Tensor
    offsets: Tensor
    sparsity: Tensor
    learned: Tensor | CrossAdjacency | None

    @property
    def adjacency(self) -> Tensor | None:
        """Learned adjacency ``[B, 2T, 2T]`` (dense back end), else None."""
        return self.learned.matrix() if isinstance(self.learned, CrossAdjacency) else self.learned


class PairNetwork(TrainableRelocalizer):
    """Scores and refines every proposal by a network over its pair graph with the query.

    A subclass writes ``forward(batch) -> PairScores``.

    Args:
        in_channels: width C of the features.
        timesteps: number of timesteps T of a clip.
        resampling: how a clip is brought to T timesteps.
        refine: move the boundaries of the proposals by the predicted offsets.
        context: share of its length by which a proposal is widened at both ends, to be seen with
            its surroundings.
        rounds: number of times that the proposals are scored, each time but the first with the
            boundaries that the time before refined; once where they are not refined.

    Raises:
        ValueError: if ``in_channels``, ``timesteps`` or ``rounds`` is below 1, ``context`` is
            negative or not finite, or ``resampling`` is unknown.
    """

    losses: tuple[str, ...] = ("ranking", "triplet", "regression", "sparsity")

    def __init__(
        self,
        in_channels: int,
        *,
        timesteps: int,
        resampling: ResampleMode,
        refine: bool,
        context: float = 0.0,
        rounds: int = 1,
    ) -> None:
        super().__init__(in_channels)
        for name, number in (
            ("in_channels", in_channels),
            ("timesteps", timesteps),
            ("rounds", rounds),
        ):
            if number < 1:
                raise ValueError(f"{name}: at least 1 is needed, got {number}")
        if not 0.0 <= context < math.inf:
            raise ValueError(f"context must be a number from 0, got {context}")
        if resampling not in get_args(ResampleMode):
            known = ", ".join(get_args(ResampleMode))
            raise ValueError(f"resampling must be one of {known}, got {resampling!r}")
        self.timesteps = timesteps
        self.resampling: ResampleMode = resampling
        self.refine = refine
        self.rounds = rounds
        self.context = context

    def graph_transform(self) -> Callable[[Data], Data] | None:
        """What puts the edges into a pair graph that ``forward`` reads, if it reads any."""
        return None

    def training_set(self, corpus: Corpus, **options: Any) -> TrainingSet:
        """Lists or triplets of pair graphs, see :class:`gnnreloc.data.TrainingSet`."""
        return TrainingSet(
            corpus,
            timesteps=self.timesteps,
            context=self.context,
            resampling=self.resampling,
            transform=self.graph_transform(),
            **options,
        )

    def pair_graphs(self, query: Features, reference: Features, proposals: Tensor) -> Data:
        """The batch of pair graphs of a query with each proposal of a reference.

        Args:
            query: the query clip.
            reference: the whole reference video.
            proposals: candidate moments, float64 ``[m, 2]`` in seconds.

        Raises:
            InputError: if the features do not have the width that the model was made for.
        """
        require_channels(query, reference, self.in_channels)
        nodes = resample_clip(query, self.timesteps, self.resampling)
        seen = widen(proposals, self.context)
        others = resample(reference, seen, self.timesteps, self.resampling)
        graphs = pair_graphs(nodes, others, proposals, query_duration=query.duration)
        transform = self.graph_transform()
        if transform is not None:
            graphs = [transform(graph) for graph in graphs]
        return Batch.from_data_list(graphs)

    def node_seconds(
        self, query: tuple[float, float], proposal: tuple[float, float]
    ) -> tuple[Tensor, Tensor]:
        """Where the nodes of a pair graph lie in their videos.

        Args:
            query: start and end of the query in seconds.
            proposal: start and end of the proposal, whose surroundings are seen with it.

        Returns:
            The seconds of the query's timesteps, and those of the proposal's, float64 ``[T]``.
        """
        place = (torch.arange(self.timesteps, dtype=torch.float64) + 0.5) / self.timesteps
        (first, last), (start, end) = query, proposal
        around = self.context * (end - start)
        seen = start - around + place * (end - start + 2 * around)
        return first + place * (last - first), seen

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Score every proposal with the query, refine the boundaries, rank by the last score.

        Raises:
            InputError: if there are no proposals, or the features have another width.
            FloatingPointError: if a score or a boundary is NaN, as after training with too high a
                learning rate.
        """
        proposals = require_proposals(proposals)

        def ask(segments: Tensor) -> tuple[Tensor, Tensor]:
            graphs = self.pair_graphs(query, reference, segments)
            out = self(graphs.to(next(self.parameters()).device))
            return out.scores, out.offsets

        return self.rank(ask, reference, proposals)

    def rank(
        self,
        ask: Callable[[Tensor], tuple[Tensor, Tensor]],
        reference: Features,
        proposals: Tensor,
    ) -> Moments:
        """Rank proposals by what is said of them, asking as often as the model wants it.

        Args:
            ask: gives the scores and the boundary offsets of segments ``[m, 2]``; it is called in
                evaluation mode.
            reference: the whole reference video.
            proposals: candidate moments, float64 ``[m, 2]`` in seconds.

        Raises:
            FloatingPointError: as :meth:`localize`.
        """
        segments = proposals
        with self.evaluating():
            for _ in range(self.rounds if self.refine else 1):
                scores, offsets = (said.cpu() for said in ask(segments))
                segments = self._refine(segments, offsets.double(), reference)
                if bool(scores.isnan().any() | segments.isnan().any()):
                    raise FloatingPointError(
                        "the model gives NaN: its weights or the features are NaN or too large"
                    )
        return Moments.ranked(segments, scores.float(), proposals)

    def _refine(self, segments: Tensor, offsets: Tensor, reference: Features) -> Tensor:
        """Segments with their boundaries moved, unless shorter than a feature row."""
        if not self.refine:
            return segments
        refined = decode_offsets(segments, offsets).clamp(min=0.0, max=reference.duration)
        short = refined[:, 1:] - refined[:, :1] < reference.step
        return torch.where(short, segments, refined)


def input_projection(in_channels: int, out_channels: int, dropout: float) -> torch.nn.Sequential:
    """A layer that brings the features to the width of the network, in front of its encoder.

    Args:
        in_channels: width C of the features.
        out_channels: width d of what comes out.
        dropout: probability to drop a value in training.
    """
    return torch.nn.Sequential(
        torch.nn.Linear(in_channels, out_channels),
        torch.nn.LayerNorm(out_channels),
        RectifiedDropout(dropout),
    )


def encode_pairs(
    x: Tensor, pair: Tensor, encoder: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Encode the query and the proposal of every pair graph, each query once.

    Args:
        x: both clips of every graph, ``[B, 2, T, C]``, the query first.
        pair: number of the query-reference pair of every graph, ``[B]``. Graphs next to each other
            with the same number must have the same query.
        encoder: from clips ``[n, T, C]`` to ``[n, T, d]``.

    Returns:
        Encoded queries and proposals, both ``[B, T, d]``.
    """
    new = torch.ones_like(pair, dtype=torch.bool)
    new[1:] = pair[1:] != pair[:-1]
    queries = x[new, 0]
    encoded = encoder(torch.cat([queries, x[:, 1]]))
    query, proposal = encoded.split([queries.size(0), x.size(0)])
    return query.index_select(0, new.cumsum(0) - 1), proposal


def length_ratios(batch: Data) -> Tensor:
    """How much longer the query is than each proposal: logarithm, its size and its square.

    Args:
        batch: B pair graphs.

    Returns:
        ``[B, 3]``.

    Raises:
        ValueError: if the graphs do not hold their ``query_duration``.
    """
    duration = batch.get("query_duration")
    if duration is None or not bool(((duration > 0) & duration.isfinite()).all()):
        raise ValueError(
            "The pair graphs have no positive 'query_duration', which compare_lengths needs"
        )
    return log_ratios(duration / (batch.segment[:, 1] - batch.segment[:, 0]))


def log_ratios(ratio: Tensor) -> Tensor:
    """Logarithm of the ratios of lengths ``[B]``, its size and its square, ``[B, 3]``."""
    ratio = ratio.log()
    return torch.stack([ratio, ratio.abs(), ratio.square()], dim=1)
