"""Relocalization with a graph over query and proposal: the paper's system and its controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnreloc.data.features import Features, ResampleMode
from gnnreloc.models.clip_scoring import ClipScorer
from gnnreloc.models.encoded_proposals import EncodedProposals
from gnnreloc.models.fixed_graphs import fixed_graphs
from gnnreloc.models.pair_network import (
    PairNetwork,
    PairScores,
    encode_pairs,
    input_projection,
    length_ratios,
)
from gnnreloc.models.relocalizer import EncodedReference, Moments, require_proposals
from gnnreloc.nn import (
    CosineAdjacency,
    CrossAdjacency,
    EdgeReadout,
    MultiGraphConvolution,
    RegressionHead,
    ScoreHead,
    TemporalEncoder,
)
from gnnreloc.nn.edge_support import Pair

Graph = Literal["dynamic", "khop", "complete", "identity", "hybrid"]
Encoder = Literal["lstm", "bilstm", "cnn"]
Pooling = Literal["mean", "mean_slope"]
BackEnd = Literal["dense", "edge"]


class GraphRelocalizer(PairNetwork):
    r"""Score and refine proposals with a graph convolution over the timesteps of both clips.

    A shared temporal encoder gives the nodes :math:`\mathbf{H}_0 \in \mathbb{R}^{2T \times d}` of
    query and proposal; graphs, learned or fixed, join them; after the convolutions the nodes are
    pooled into one vector, from which the heads read the score and the boundary offsets (Section 4
    of Zhou et al., "Dynamic Adjacency Matrix for Video Relocalization", 2022). Beyond the paper,
    the heads also see the learned edges themselves and the lengths of both clips. The defaults are
    the recipe ``tuned``; the paper's values are in ``experiments/recipes/paper.yaml``.

    Args:
        in_channels: width C of the features.
        graph: where the edges come from: ``dynamic`` (learned), ``khop`` (fixed, by distance in
            time), ``complete`` (all pairs of the support, one weight), ``identity`` (each node
            alone) or ``hybrid`` (learned and fixed graphs side by side).
        hops: the set of k of the fixed graphs, of ``khop`` and ``hybrid``.
        layers: number of graph layers n.
        encoder: temporal encoder.
        hidden_channels: width d of the nodes and of all layers.
        project_input: put a linear layer with layer norm in front of the encoder.
        timesteps: number of timesteps T of a clip.
        context: share of its length by which a proposal is widened at both ends, to be seen with
            its surroundings.
        resampling: how a clip is brought to T timesteps.
        convolution: ``aggregate`` (the paper's sigma(A H W)) or ``compare`` (each node with its
            counterpart over the edges).
        fusion: how several graphs of one layer are fused.
        pooling: ``mean`` over the nodes (the paper), or ``mean_slope``, which adds the mean of the
            proposal's nodes weighted by their place in it (-1 to 1), so that early and late
            mismatches differ.
        edge_heads: number of learned graphs between query and proposal whose edges are read as
            pictures (:class:`~gnnreloc.nn.EdgeReadout`), beside the cosines of the raw features; 0
            for none. Fixed graphs, which are the same for all clips, have nothing to be read, nor
            has support ``intra``, which joins no query with a proposal.
        compare_lengths: tell the heads how much longer the query is than the proposal.
        bounded_score: end the score in tanh (the paper).
        support: node pairs that learned and complete graphs may join.
        activation: of the learned weights, see :class:`~gnnreloc.nn.CosineAdjacency`.
        normalization: of the learned weights.
        temperature: divisor of the cosines.
        learn_temperature: train the temperature.
        train_phi: train the projections of the learned edges; without it they stay as they were
            drawn, a control that tells what learning them is worth.
        top_k: keep the k largest learned weights of each row.
        offsets: reading of the fixed graphs, see :class:`~gnnreloc.transforms.KHopTemporal`.
        intra: edges inside a clip in the fixed graphs.
        self_loops: self-loops in the fixed graphs.
        dropout: probability to drop a value in training.
        refine: move the boundaries of the proposals by the regression head.
        rounds: number of times that the proposals are scored, each time but the first with the
            boundaries that the time before refined.
        backend: ``dense`` matrix products, or ``edge``-wise message passing; the same numbers.

    Raises:
        ValueError: if an option is unknown or out of range.
    """

    is_query: Tensor
    pooling_weight: Tensor
    fixed: Tensor

    def __init__(
        self,
        in_channels: int,
        *,
        graph: Graph = "dynamic",
        hops: Sequence[int] = (1,),
        layers: int = 1,
        encoder: Encoder = "bilstm",
        hidden_channels: int = 96,
        project_input: bool = True,
        timesteps: int = 24,
        context: float = 0.25,
        resampling: ResampleMode = "linear",
        convolution: Literal["aggregate", "compare"] = "compare",
        fusion: Literal["mean", "sum", "concat", "max"] = "mean",
        pooling: Pooling = "mean_slope",
        edge_heads: int = 4,
        compare_lengths: bool = True,
        bounded_score: bool = False,
        support: Literal["all", "cross", "intra"] = "cross",
        activation: Literal["none", "relu", "shift", "softmax"] = "softmax",
        normalization: Literal["none", "row", "sym"] = "none",
        temperature: float = 0.1,
        learn_temperature: bool = True,
        train_phi: bool = True,
        top_k: int | None = None,
        offsets: Literal["upto", "exact", "upto_inclusive", "exact_inclusive"] = "upto",
        intra: Literal["none", "chain", "full"] = "none",
        self_loops: bool = False,
        dropout: float = 0.1,
        refine: bool = True,
        rounds: int = 2,
        backend: BackEnd = "dense",
    ) -> None:
        super().__init__(
            in_channels,
            timesteps=timesteps,
            resampling=resampling,
            refine=refine,
            context=context,
            rounds=rounds,
        )
        for name, value, kinds in (
            ("graph", graph, Graph),
            ("pooling", pooling, Pooling),
            ("backend", backend, BackEnd),
        ):
            if value not in get_args(kinds):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(kinds))}, got {value!r}"
                )
        for name, number in (
            ("layers", layers),
            ("hidden_channels", hidden_channels),
            ("hops", len(hops)),
        ):
            if number < 1:
                raise ValueError(f"{name}: at least 1 is needed, got {number}")
        if edge_heads < 0:
            raise ValueError(f"edge_heads must be at least 0, got {edge_heads}")
        if len(set(hops)) < len(hops):
            raise ValueError(f"hops: each k may be named once, got {list(hops)}")
        self.graph = graph
        self.hops = tuple(hops)
        self.pooling = pooling
        self.backend = backend
        self.compare_lengths = compare_lengths

        width = hidden_channels
        self.projection: torch.nn.Module = torch.nn.Identity()
        if project_input:
            self.projection = input_projection(in_channels, width, dropout)
        self.encoder = TemporalEncoder(width if project_input else in_channels, width, kind=encoder)

        self.adjacency: CosineAdjacency | None = None
        if graph in ("dynamic", "hybrid"):
            self.adjacency = CosineAdjacency(
                width,
                width,
                activation=activation,
                normalization=normalization,
                temperature=temperature,
                learn_temperature=learn_temperature,
                top_k=top_k,
                support=support,
            )
        #: A symmetric norm counts all weights of a node, which a block alone does not hold.
        self.in_blocks = support == "cross" and normalization != "sym"
        #: Cosines of encoded and of raw timesteps, and what reads them.
        self.cosines: CosineAdjacency | None = None
        self.raw_cosines: CosineAdjacency | None = None
        self.edge_readout: EdgeReadout | None = None
        if self.adjacency is not None and edge_heads and support != "intra":
            self.cosines = CosineAdjacency(width, max(1, width // edge_heads), heads=edge_heads)
            self.raw_cosines = CosineAdjacency(in_channels)
            self.edge_readout = EdgeReadout(edge_heads + 1, width, dropout=dropout)
        for layer in (self.adjacency, self.cosines):
            if layer is not None and layer.phi is not None:
                layer.phi.requires_grad_(train_phi)
        options: Any = {"offsets": offsets, "intra": intra, "self_loops": self_loops}
        self.transform, fixed = fixed_graphs(graph, timesteps, hops, support, **options)
        self.num_fixed = len(fixed)
        is_query = torch.arange(2 * timesteps) < timesteps
        place = (torch.arange(timesteps) + 0.5) / timesteps * 2 - 1
        mean = torch.full((2 * timesteps,), 1 / (2 * timesteps))
        slope = torch.cat([torch.zeros(timesteps), place / timesteps])
        weights = [mean] if pooling == "mean" else [mean, slope]
        self.register_buffer("is_query", is_query, persistent=False)
        self.register_buffer("pooling_weight", torch.stack(weights), persistent=False)
        self.register_buffer(
            "fixed",
            torch.stack(fixed) if fixed else torch.empty(0, 2 * timesteps, 2 * timesteps),
            persistent=False,
        )

        graphs = self.num_fixed + (self.adjacency is not None)
        extra: dict[str, Any] = {"dropout": dropout} if convolution == "compare" else {}
        self.convolutions: Any = torch.nn.ModuleList(
            MultiGraphConvolution(
                width, width, graphs, fusion=fusion, convolution=convolution, **extra
            )
            for _ in range(layers)
        )
        pooled = width if pooling == "mean" else 2 * width
        pooled += width if self.edge_readout is not None else 0
        pooled += 3 if compare_lengths else 0
        self.score_head = ScoreHead(pooled, width, bounded=bounded_score, dropout=dropout)
        self.regression_head = RegressionHead(pooled, width, dropout=dropout)

    def parameter_groups(self) -> dict[str, list[torch.nn.Parameter]]:
        """What is trained, in the paper's three groups: ``adjacency``, ``regression``, ``rest``."""
        learned = torch.nn.ModuleList(
            layer for layer in (self.adjacency, self.cosines) if layer is not None
        )
        groups = {
            "adjacency": list(learned.parameters()),
            "regression": list(self.regression_head.parameters()),
        }
        taken = {id(parameter) for group in groups.values() for parameter in group}
        groups["rest"] = [p for p in self.parameters() if id(p) not in taken]
        return {name: [p for p in group if p.requires_grad] for name, group in groups.items()}

    def graph_transform(self) -> Callable[[Data], Data] | None:
        """The fixed edges, for the edge-wise back end; the dense one keeps them itself."""
        return self.transform if self.backend == "edge" else None

    def encode(self, reference: Features, proposals: Tensor | None = None) -> EncodedReference:
        """Compute what depends on the proposals alone, where the model is of a kind that allows it.

        See :class:`~gnnreloc.models.clip_scoring.ClipScorer`; other kinds compute it anew.
        """
        if not ClipScorer.fits(self):
            return super().encode(reference, proposals)
        return EncodedProposals(self, reference, require_proposals(proposals))

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Score every proposal with the query, refine the boundaries, rank by the last score.

        Raises:
            InputError: if there are no proposals, or the features have another width.
            FloatingPointError: if a score or a boundary is NaN, as after training with too high a
                learning rate.
        """
        if not ClipScorer.fits(self):
            return super().localize(query, reference, proposals)
        return self.encode(reference, proposals).localize(query)

    def forward(self, batch: Data) -> PairScores:
        """Score a batch of pair graphs.

        Args:
            batch: graphs of :func:`~gnnreloc.data.pair_graph` with T timesteps each. Graphs next to
                each other with the same ``pair`` must have the same query, which is encoded once.

        Raises:
            ValueError: if lengths are compared and the graphs do not hold their ``query_duration``.
        """
        raw, encoded = self._clips(batch)
        if self.backend == "dense":
            nodes, adjacency, sparsity = self._convolve_dense(encoded)
        else:
            nodes, adjacency, sparsity = self._convolve_edges(encoded, batch)
        parts = [self._pool(nodes)]
        if self.edge_readout is not None:
            parts.append(self.edge_readout(self._edge_maps(raw, encoded)))
        if self.compare_lengths:
            parts.append(length_ratios(batch).to(parts[0].dtype))
        pooled = torch.cat(parts, dim=1)
        return PairScores(
            self.score_head(pooled), self.regression_head(pooled), sparsity, adjacency
        )

    @torch.no_grad()
    def edges(self, batch: Data) -> dict[str, Tensor]:
        """The learned edges from proposal to query as pictures, a row for each query timestep.

        Args:
            batch: B pair graphs, as for :meth:`forward`.

        Returns:
            ``learned [B, T, T]``, with which the query receives in the convolutions, and, where
            the heads see edges, ``encoded cosines [B, edge_heads, T, T]`` and ``raw cosines
            [B, 1, T, T]``. Empty where all edges are fixed. Without dropout, if the model is in
            evaluation mode.
        """
        if self.adjacency is None:
            return {}
        raw, encoded = self._clips(batch)
        _, learned, _ = self._convolve_dense(encoded)
        whole = learned.matrix() if isinstance(learned, CrossAdjacency) else learned
        assert whole is not None
        pictures = {"learned": whole[:, : self.timesteps, self.timesteps :]}
        if self.edge_readout is not None:
            maps = self._edge_maps(raw, encoded)
            pictures |= {"encoded cosines": maps[:, :-1], "raw cosines": maps[:, -1:]}
        return pictures

    def _clips(self, batch: Data) -> tuple[Pair, Pair]:
        """Raw and encoded timesteps of query and proposal, ``[B, T, C]`` and ``[B, T, d]``."""
        x = batch.x.to(self.score_head.out.weight.dtype)
        x = x.view(-1, 2, self.timesteps, x.size(-1))
        query, proposal = x.unbind(dim=1)
        return (query, proposal), encode_pairs(x, batch.pair, self._encode)

    def _encode(self, clips: Tensor) -> Tensor:
        encoded: Tensor = self.encoder(self.projection(clips))
        return encoded

    def projection_parts(self) -> tuple[torch.nn.Module | None, torch.nn.Module]:
        """The linear layer in front of the encoder, if there is one, and what lies between them."""
        if isinstance(self.projection, torch.nn.Sequential):
            return self.projection[0], self.projection[1:]
        return None, self.projection

    def _edge_maps(self, raw: Pair, encoded: Pair) -> Tensor:
        """Cosines between the timesteps of query and proposal, encoded and raw."""
        assert self.cosines is not None and self.raw_cosines is not None
        maps = []
        for layer, (query, proposal) in ((self.cosines, encoded), (self.raw_cosines, raw)):
            if self.backend == "dense":
                weight = layer.dense((proposal, query))
            else:
                flat = proposal.flatten(0, 1), query.flatten(0, 1)
                weight = layer(flat, batch_size=len(query))[1]
                weight = weight.view(len(query), self.timesteps, self.timesteps, -1)
                weight = weight.permute(0, 3, 1, 2)
            maps.append(weight.reshape(len(query), -1, self.timesteps, self.timesteps))
        return torch.cat(maps, dim=1)

    def _pool(self, nodes: tuple[Tensor, ...]) -> Tensor:
        """One vector for each graph, from its nodes in one part or in two."""
        weights = self.pooling_weight.to(nodes[0].dtype).split([x.size(1) for x in nodes], dim=1)
        means = [weight @ x for weight, x in zip(weights, nodes, strict=True)]
        return torch.stack(means).sum(dim=0).flatten(1)

    def _convolve_dense(
        self, clips: Pair
    ) -> tuple[tuple[Tensor, ...], Tensor | CrossAdjacency | None, Tensor]:
        query, proposal = clips
        learned: Tensor | CrossAdjacency | None = None
        if self.adjacency is not None and self.in_blocks:
            learned = CrossAdjacency(*self.adjacency.both_ways((proposal, query)))
            if not self.num_fixed:
                # No clip receives from itself: the two are never put together.
                to_query, to_proposal = ([block] for block in learned)
                for convolution in self.convolutions:
                    query, proposal = (
                        convolution.dense((proposal, query), to_query),
                        convolution.dense((query, proposal), to_proposal),
                    )
                return (query, proposal), learned, learned.mean_size()
        nodes = torch.cat(clips, dim=1)
        graphs: list[Tensor | CrossAdjacency] = list(self.fixed.to(nodes.dtype))
        sparsity = nodes.new_zeros(())
        if isinstance(learned, CrossAdjacency):
            sparsity = learned.mean_size()
        elif self.adjacency is not None:
            learned = self.adjacency.dense(nodes, group=self.is_query)
            sparsity = learned.abs().mean()
        if learned is not None:
            graphs.insert(0, learned)
        for convolution in self.convolutions:
            nodes = convolution.dense(nodes, graphs)
        return (nodes,), learned, sparsity

    def _convolve_edges(self, clips: Pair, batch: Data) -> tuple[tuple[Tensor, ...], None, Tensor]:
        nodes = torch.cat(clips, dim=1)
        shape = nodes.shape
        flat = nodes.reshape(-1, shape[-1])
        graphs: list[tuple[Tensor, Tensor | None]] = []
        sparsity = flat.new_zeros(())
        if self.adjacency is not None:
            group = self.is_query.repeat(shape[0])
            edge_index, weight = self.adjacency(flat, batch_size=shape[0], group=group)
            sparsity = weight.abs().sum() / (shape[0] * shape[1] ** 2)
            graphs.append((edge_index, weight))
        if self.num_fixed:
            weights = batch.edge_weight.view(-1, self.num_fixed).to(flat.dtype)
            graphs += [(batch.edge_index, column) for column in weights.unbind(dim=1)]
        for convolution in self.convolutions:
            flat = convolution(flat, graphs)
        return (flat.view(*shape[:2], -1),), None, sparsity
