"""One vector a clip, and the distance between the two: the video-level baseline."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnreloc.data.features import ResampleMode
from gnnreloc.models.pair_network import PairNetwork, PairScores, encode_pairs


class VideoLevel(PairNetwork):
    r"""Rank proposals by the distance of their vector to the query's.

    The video-level baseline of Feng et al., "Video Re-localization" (2018), in our reading: one
    LSTM reads the T timesteps of either clip, its last hidden state, divided by its Euclidean
    norm, is the clip's vector :math:`\mathbf{v}`, and

    .. math:: s = - \alpha \, \| \mathbf{v}_q - \mathbf{v}_p \|_2 \in [-2 \alpha, 0]

    so that a closer clip scores higher. Distances of unit vectors lie in :math:`[0, 2]`: a margin
    of 0.5 in the triplet loss suits :math:`\alpha = 1`. Every proposal is scored; none is refined.

    Args:
        in_channels: width C of the features.
        hidden_channels: width d of the hidden state.
        timesteps: number of timesteps T of a clip.
        resampling: how a clip is brought to T timesteps.
        dropout: probability to drop a feature value in training.
        scale: :math:`\alpha`, above 0. The ranking loss takes a softmax over scores, and needs a
            larger one to tell them apart than the triplet loss.

    Shapes:
        - **vectors:** clips :math:`(B, T, C)` to :math:`(B, d)`

    Raises:
        ValueError: if an option is out of range.
    """

    losses = ("triplet", "ranking")

    def __init__(
        self,
        in_channels: int,
        *,
        hidden_channels: int = 128,
        timesteps: int = 24,
        resampling: ResampleMode = "linear",
        dropout: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(in_channels, timesteps=timesteps, resampling=resampling, refine=False)
        if hidden_channels < 1:
            raise ValueError(f"hidden_channels: at least 1 is needed, got {hidden_channels}")
        if not scale > 0:
            raise ValueError(f"scale must be above 0, got {scale}")
        self.hidden_channels = hidden_channels
        self.scale = scale
        self.drop = torch.nn.Dropout(dropout)
        self.lstm = torch.nn.LSTM(in_channels, hidden_channels, batch_first=True)

    def vectors(self, clips: Tensor) -> Tensor:
        """The unit vectors of clips.

        Args:
            clips: ``[B, T, C]``.
        """
        _, (last, _) = self.lstm(self.drop(clips))
        return torch.nn.functional.normalize(last[0], dim=-1)

    def forward(self, batch: Data) -> PairScores:
        """Score a batch of pair graphs.

        Args:
            batch: graphs of :func:`~gnnreloc.data.pair_graph` with T timesteps each. Graphs next to
                each other with the same ``pair`` must have the same query, which is encoded once.
        """
        x = batch.x.to(self.lstm.weight_ih_l0.dtype)
        x = x.view(-1, 2, self.timesteps, self.in_channels)
        query, proposal = encode_pairs(x, batch.pair, self.vectors)
        scores = -self.scale * torch.linalg.vector_norm(query - proposal, dim=-1)
        return PairScores(scores, scores.new_zeros(len(scores), 2), scores.new_zeros(()), None)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.hidden_channels}, "
            f"timesteps={self.timesteps}, scale={self.scale:g})"
        )
