"""Scores of one query with many clips, from what was computed of each clip before.

What a :class:`~gnnreloc.models.GraphRelocalizer` computes of a clip alone is computed once; a pair
then costs only what both clips make together. The numbers are those of its ``forward``.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from gnnreloc.data.features import Features, bracketing_rows, resample, widen
from gnnreloc.models.pair_network import log_ratios
from gnnreloc.nn import ComparisonConvolution
from gnnreloc.nn.edge_readout import CELLS, EdgeReadout

if TYPE_CHECKING:
    from gnnreloc.models.graph_relocalizer import GraphRelocalizer

#: Clips that are scored together: their tensors stay in the cache of a core.
CLIPS = 64
#: Clips that are encoded together.
ENCODED = 64
#: Feature rows that are squared together.
ROWS = 4096


class RawTimesteps(NamedTuple):
    """Timesteps as points between two feature rows.

    Attributes:
        rows: feature rows of the video, ``[n, C]``.
        below: number of the row before each timestep, ``[m, T]``.
        above: number of the row after it.
        weight: of the latter, ``[m, T]``.
        inverse: one over the length of the timestep's vector, 0 where it has no direction.
    """

    rows: Tensor
    below: Tensor
    above: Tensor
    weight: Tensor
    inverse: Tensor


class EncodedClips(NamedTuple):
    """What a model computes of each of m clips alone.

    Attributes:
        nodes: encoded timesteps and, beside them, their part in the comparison with the nodes that
            they are sent to, ``[m, T, 2 d]``.
        own: their part in the comparison with what they receive, ``[m, T, d]``.
        keys: directions that the learned edges compare, ``[m, T, d]``.
        heads: directions that the edges to be read compare, ``[m, T, d']``.
        raw: the timesteps before they are encoded, for the edges to be read.
        length: of each clip in seconds, float64 ``[m]``.
    """

    nodes: Tensor
    own: Tensor
    keys: Tensor
    heads: Tensor | None
    raw: RawTimesteps | None
    length: Tensor

    def __len__(self) -> int:
        return len(self.length)


class ClipScorer:
    """Scores pairs of clips as a model does that has one learned graph between query and proposal.

    It holds parts of the weights in another layout: make a new one when they have changed.

    Args:
        model: in evaluation mode. :meth:`fits` says whether it is of this kind.
    """

    def __init__(self, model: GraphRelocalizer) -> None:
        if not self.fits(model):
            raise ValueError("the model has more than one layer of one learned graph across clips")
        self.model = model
        layer: ComparisonConvolution = model.convolutions[0].convolutions[0]
        width = layer.in_channels
        #: Weights of a node itself, of what it receives, and of their distance and product.
        self._own, self._sent, self._joint = layer.hidden.weight.split([width, width, 2 * width], 1)
        self._layer = layer
        self._readout = None if model.edge_readout is None else _turned(model.edge_readout)

    @staticmethod
    def fits(model: GraphRelocalizer) -> bool:
        """Whether the model is one layer that compares clips over one learned graph, dense."""
        return (
            model.graph == "dynamic"
            and model.backend == "dense"
            and model.in_blocks
            and len(model.convolutions) == 1
            and isinstance(model.convolutions[0].convolutions[0], ComparisonConvolution)
            and model.convolutions[0].lin is None
        )

    @torch.no_grad()
    def encode(self, features: Features, segments: Tensor, context: float = 0.0) -> EncodedClips:
        """Compute what can be computed of clips before the other one of a pair is known.

        Args:
            features: the video.
            segments: the clips, ``[m, 2]`` in seconds.
            context: share of its length by which each is widened at both ends, to be seen.
        """
        rows, below, above, weight = self._places(features, widen(segments, context))
        # A linear layer of a point between two rows is the point between what it makes of these.
        linear, rest = self.model.projection_parts()
        projected = rows if linear is None else linear(rows)
        parts = [
            self._encode(rest(torch.lerp(projected[b], projected[a], w.unsqueeze(-1))))
            for b, a, w in zip(*(t.split(ENCODED) for t in (below, above, weight)), strict=True)
        ]
        nodes, own, keys = (torch.cat([part[i] for part in parts]) for i in range(3))
        length = (segments[:, 1] - segments[:, 0]).double()
        heads = raw = None
        if self.model.raw_cosines is not None:
            heads = torch.cat([part[3] for part in parts])
            inverse = _inverse_length(rows, below, above, weight, self.model.raw_cosines.eps)
            raw = RawTimesteps(rows, below, above, weight, inverse)
        return EncodedClips(nodes, own, keys, heads, raw, length)

    def _places(self, features: Features, seen: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rows, and where between them the timesteps lie, as in :class:`RawTimesteps`."""
        model, timesteps, device = self.model, self.model.timesteps, self._own.device
        if model.resampling == "linear":
            shares = (torch.arange(timesteps, dtype=torch.float64) + 0.5) / timesteps
            start, end = seen.double().split(1, dim=1)
            places = bracketing_rows(features, start + shares * (end - start))
            below, above, weight = (place.to(device) for place in places)
            return features.values.to(self._own), below, above, weight.to(self._own)
        clips = resample(features, seen, timesteps, model.resampling).to(self._own)
        own = torch.arange(len(seen) * timesteps, device=device).view(len(seen), timesteps)
        return clips.flatten(0, 1), own, own, torch.zeros_like(own, dtype=clips.dtype)

    def _encode(self, clips: Tensor) -> tuple[Tensor, ...]:
        model = self.model
        assert model.adjacency is not None
        encoded = model.encoder(clips)
        nodes = torch.cat([encoded, encoded @ self._sent.t()], dim=-1)
        own = torch.nn.functional.linear(encoded, self._own, self._layer.hidden.bias)
        keys = model.adjacency.directions(encoded)
        if model.cosines is None:
            return nodes, own, keys
        return nodes, own, keys, model.cosines.directions(encoded)

    @torch.no_grad()
    def score(self, query: EncodedClips, clips: EncodedClips) -> tuple[Tensor, Tensor]:
        """Score one query with all clips.

        Args:
            query: the query, one clip.
            clips: the proposals.

        Returns:
            Scores ``[m]`` and boundary offsets ``[m, 2]``, as ``forward`` gives them.
        """
        raw = None if clips.raw is None else self._raw_products(query, clips.raw.rows)
        picture = None if query.heads is None else self._reading(query.heads[0])
        parts = []
        for start in range(0, len(clips), CLIPS):
            some = _part(clips, slice(start, start + CLIPS))
            pooled = self._compare(query, some)
            if self._readout is not None and picture is not None and raw is not None:
                pooled.append(self._read(some, picture, raw))
            if self.model.compare_lengths:
                pooled.append(log_ratios(query.length / some.length).to(pooled[0]))
            parts.append(torch.cat(pooled, dim=1))
        pooled_all = torch.cat(parts)
        return self.model.score_head(pooled_all), self.model.regression_head(pooled_all)

    def _compare(self, query: EncodedClips, clips: EncodedClips) -> list[Tensor]:
        """Pooled outputs of the convolution, over the nodes of both clips."""
        model = self.model
        assert model.adjacency is not None
        count, timesteps, width = clips.own.shape
        to_clip, to_query = model.adjacency.both_ways_of_directions(query.keys[0], clips.keys)
        received = (to_clip.flatten(0, 1) @ query.nodes[0]).view(count, timesteps, -1)
        of_clip = self._perceive(clips.nodes[..., :width], clips.own, received)
        received = to_query @ clips.nodes
        of_query = self._perceive(query.nodes[..., :width], query.own, received)
        weights = model.pooling_weight.to(of_clip).split(timesteps, dim=1)
        return [(weights[0] @ of_query + weights[1] @ of_clip).flatten(1)]

    def _perceive(self, own: Tensor, own_part: Tensor, received: Tensor) -> Tensor:
        """The perceptron of the comparison; what depends on one clip alone is given."""
        count, timesteps, width = received.size(0), received.size(1), own.size(-1)
        counterpart, sent = received.split(width, dim=-1)
        joint = received.new_empty(count, timesteps, 2 * width)
        distance, product = joint.split(width, dim=-1)
        torch.sub(own, counterpart, out=distance).abs_()
        torch.mul(own, counterpart, out=product)
        flat = (own_part + sent).flatten(0, 1)
        hidden = flat.addmm_(joint.flatten(0, 1), self._joint.t()).relu_()
        out = torch.addmm(self._layer.out.bias, hidden, self._layer.out.weight.t()).relu_()
        return out.view(count, timesteps, -1)

    def _raw_products(self, query: EncodedClips, rows: Tensor) -> Tensor:
        """Products of all feature rows with the directions of the query's timesteps, ``[n, T]``."""
        assert query.raw is not None
        raw = query.raw
        points = torch.lerp(raw.rows[raw.below[0]], raw.rows[raw.above[0]], raw.weight[0, :, None])
        return rows @ (points * raw.inverse[0, :, None]).t()

    def _reading(self, heads: Tensor) -> Tensor:
        """The query as a matrix that gives all cosines of a timestep at once, ``[d', T (H + 1)]``.

        The cosines of all heads come out side by side, with room for those of the raw features.
        """
        timesteps, count, width = heads.shape
        matrix = heads.new_zeros(count, width, timesteps, count + 1)
        for head in range(count):
            matrix[head, :, :, head] = heads[:, head].t()
        return matrix.view(count * width, -1)

    def _read(self, clips: EncodedClips, picture: Tensor, raw: Tensor) -> Tensor:
        assert clips.heads is not None and clips.raw is not None and self._readout is not None
        count, timesteps = clips.own.shape[:2]
        # Rows are the timesteps of the proposal here, and channels are innermost.
        edges = (clips.heads.view(count * timesteps, -1) @ picture).view(
            count, timesteps, timesteps, -1
        )
        below, above = raw[clips.raw.below], raw[clips.raw.above]
        cosine = torch.lerp(below, above, clips.raw.weight.unsqueeze(-1))
        torch.mul(cosine, clips.raw.inverse.unsqueeze(-1), out=edges[..., -1])
        read: Tensor = self._readout(edges.permute(0, 3, 1, 2))
        return read


def _inverse_length(
    rows: Tensor, below: Tensor, above: Tensor, weight: Tensor, shortest: float
) -> Tensor:
    """One over the length of points between rows, 0 where it is not above a shortest one.

    From the products of neighbouring rows, in double precision: the points themselves, many times
    as many as there are rows, are never made.
    """
    parts = rows.split(ROWS)
    square = torch.cat([part.double().square().sum(dim=1) for part in parts])
    pairs = zip(rows[:-1].split(ROWS), rows[1:].split(ROWS), strict=True)
    following = torch.cat(
        [*((one.double() * next_one.double()).sum(dim=1) for one, next_one in pairs), square[-1:]]
    )
    w = weight.double()
    product = torch.where(above == below, square[below], following[below])
    length = (1 - w).square() * square[below] + w.square() * square[above]
    length = (length + 2 * w * (1 - w) * product).clamp(min=0).sqrt()
    return torch.where(length > shortest, length, torch.inf).reciprocal().to(rows)


def _part(clips: EncodedClips, which: slice) -> EncodedClips:
    raw = clips.raw
    if raw is not None:
        raw = RawTimesteps(raw.rows, *(tensor[which] for tensor in raw[1:]))
    heads = None if clips.heads is None else clips.heads[which]
    nodes, own, keys = (tensor[which] for tensor in clips[:3])
    return EncodedClips(nodes, own, keys, heads, raw, clips.length[which])


def _turned(readout: EdgeReadout) -> EdgeReadout:
    """The same readout of pictures whose rows are the timesteps of the proposal."""
    turned = copy.deepcopy(readout).eval().requires_grad_(False)
    for weight in turned.convolutions.parameters():
        if weight.dim() == 4:
            weight.data = weight.transpose(2, 3).contiguous()
    cells = turned.out.weight.view(turned.out_channels, -1, CELLS, CELLS)
    turned.out.weight.data = cells.transpose(2, 3).reshape(turned.out.weight.shape)
    return turned
