"""Attention-based fusion of two clips, judged by convolutions over time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnreloc.data.features import ResampleMode
from gnnreloc.models.graph_relocalizer import Encoder
from gnnreloc.models.pair_network import PairNetwork, PairScores, encode_pairs, input_projection
from gnnreloc.nn import RegressionHead, ScoreHead, TemporalEncoder


class AFTSRM(PairNetwork):
    r"""Score and refine proposals by a fusion tensor of both clips: our reading of AFT+SRM.

    Zhou and Wang (2020), later Huo et al. (IEEE Transactions on Multimedia, 2023), join the
    two clips frame by frame into an attention-based fusion tensor, from which a semantic-relevance
    measurement gives one score. Their architecture is not public; what follows is ours. A shared
    temporal encoder gives :math:`\mathbf{Q}, \mathbf{P} \in \mathbb{R}^{T \times d}`; each query
    timestep attends to the proposal:

    .. math::
        S_{ij} = \cos(\mathbf{q}_i, \mathbf{p}_j), \qquad
        \tilde{\mathbf{p}}_i = \sum_j \mathrm{softmax}_j (S_{ij} / \tau) \, \mathbf{p}_j

    The fusion tensor :math:`[\mathbf{Q}, \tilde{\mathbf{P}}, \mathbf{Q} \odot \tilde{\mathbf{P}},
    | \mathbf{Q} - \tilde{\mathbf{P}} |, \mathbf{S}] \in \mathbb{R}^{T \times (4d + T)}` holds in
    row :math:`i` also where in the proposal timestep :math:`i` is met. Convolutions over the query
    timesteps and their mean make one vector, from which the heads read score and offsets.

    Args:
        in_channels: width C of the features.
        encoder: temporal encoder.
        hidden_channels: width d of encoder, convolutions and heads.
        project_input: put a linear layer with layer norm in front of the encoder.
        timesteps: number of timesteps T of a clip.
        resampling: how a clip is brought to T timesteps.
        layers: number of convolutions.
        kernel_size: timesteps that a convolution sees, odd.
        temperature: initial :math:`\tau`, which is trained.
        bounded_score: end the score in tanh.
        dropout: probability to drop a value in training.
        refine: move the boundaries of the proposals by the regression head.

    Raises:
        ValueError: if an option is unknown or out of range.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        encoder: Encoder = "bilstm",
        hidden_channels: int = 96,
        project_input: bool = True,
        timesteps: int = 24,
        resampling: ResampleMode = "linear",
        layers: int = 2,
        kernel_size: int = 3,
        temperature: float = 0.1,
        bounded_score: bool = False,
        dropout: float = 0.1,
        refine: bool = True,
    ) -> None:
        super().__init__(in_channels, timesteps=timesteps, resampling=resampling, refine=refine)
        for name, number in (("hidden_channels", hidden_channels), ("layers", layers)):
            if number < 1:
                raise ValueError(f"{name}: at least 1 is needed, got {number}")
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        width = hidden_channels
        self.hidden_channels = width
        self.layers = layers
        self.projection: torch.nn.Module = torch.nn.Identity()
        if project_input:
            self.projection = input_projection(in_channels, width, dropout)
        self.encoder = TemporalEncoder(width if project_input else in_channels, width, kind=encoder)
        #: The logarithm of tau, so that tau stays above 0.
        self.log_temperature = torch.nn.Parameter(torch.tensor(temperature).log())
        self.relevance = TemporalEncoder(
            4 * width + timesteps,
            width,
            kind="cnn",
            num_layers=layers,
            kernel_size=kernel_size,
            dropout=dropout,
        )
        self.score_head = ScoreHead(width, width, bounded=bounded_score, dropout=dropout)
        self.regression_head = RegressionHead(width, width, dropout=dropout)

    def attend(self, query: Tensor, proposal: Tensor) -> tuple[Tensor, Tensor]:
        """Bring the proposal to the query's timesteps.

        Args:
            query: encoded, ``[B, T, d]``.
            proposal: encoded, ``[B, T, d]``.

        Returns:
            The proposal as each query timestep sees it, ``[B, T, d]``, and the cosines of query
            timesteps (rows) and proposal timesteps, ``[B, T, T]``.
        """
        unit = torch.nn.functional.normalize
        cosines = unit(query, dim=-1) @ unit(proposal, dim=-1).transpose(1, 2)
        weights = (cosines / self.log_temperature.exp()).softmax(dim=-1)
        return weights @ proposal, cosines

    def forward(self, batch: Data) -> PairScores:
        """Score a batch of pair graphs.

        Args:
            batch: graphs of :func:`~gnnreloc.data.pair_graph` with T timesteps each. Graphs next to
                each other with the same ``pair`` must have the same query, which is encoded once.
        """
        x = batch.x.to(self.score_head.out.weight.dtype)
        x = self.projection(x).view(len(batch.pair), 2, self.timesteps, -1)
        query, proposal = encode_pairs(x, batch.pair, self.encoder)
        attended, cosines = self.attend(query, proposal)
        fusion = torch.cat(
            [query, attended, query * attended, (query - attended).abs(), cosines], dim=-1
        )
        pooled = self.relevance(fusion).mean(dim=1)
        scores = self.score_head(pooled)
        return PairScores(scores, self.regression_head(pooled), scores.new_zeros(()), None)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.hidden_channels}, "
            f"timesteps={self.timesteps}, layers={self.layers})"
        )
