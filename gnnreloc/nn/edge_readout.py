"""Readout of the edges between two clips, as a picture of how they match over time."""

from __future__ import annotations

import torch
from torch import Tensor

#: Rows and columns that a picture is pooled to before it is flattened.
CELLS = 6


class EdgeReadout(torch.nn.Module):
    r"""Read the weights of all edges between query and proposal into one vector.

    The weights of :class:`~gnnreloc.nn.CosineAdjacency` are a picture with a channel for each head:
    a match is a bright diagonal, its slope is the ratio of speeds, and its ends are the boundaries.
    Three small convolutions read it, each edge together with those of neighbouring timesteps,
    whatever the nodes at its ends hold. Kordopatis-Zilos et al., "ViSiL: Fine-grained
    Spatio-Temporal Video Similarity Learning" (2019), read the similarity of two videos in this
    way.

    Args:
        in_channels: Number of heads.
        out_channels: Size of the vector.
        hidden_channels: Channels of the first two convolutions; the third has twice as many.
        dropout: Probability to drop a value of the vector in training.

    Shapes:
        - **input:** weights :math:`(B, H, T_q, T_p)`
        - **output:** vectors :math:`(B, C_{out})`
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        hidden_channels: int = 16,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        width = hidden_channels
        self.convolutions = torch.nn.ModuleList(
            [
                torch.nn.Conv2d(in_channels, width, 5, padding=2),
                torch.nn.Conv2d(width, width, 3, padding=1),
                torch.nn.Conv2d(width, 2 * width, 3, padding=1),
            ]
        )
        self.pools = torch.nn.ModuleList(
            [torch.nn.MaxPool2d(2, ceil_mode=True), torch.nn.AdaptiveMaxPool2d(CELLS)]
        )
        self.drop = torch.nn.Dropout(dropout)
        self.out = torch.nn.Linear(2 * width * CELLS**2, out_channels)

    def reset_parameters(self) -> None:
        """Reset all layers."""
        for convolution in self.convolutions:
            if isinstance(convolution, torch.nn.Conv2d):
                convolution.reset_parameters()
        self.out.reset_parameters()

    def forward(self, weight: Tensor) -> Tensor:
        """Read the edges.

        Args:
            weight: Weights, row for row the timesteps of the query.

        Returns:
            One vector for each pair of clips.
        """
        first, second, third = self.convolutions
        # With so few channels, convolutions are twice as fast with the channels innermost.
        h = weight.contiguous(memory_format=torch.channels_last)
        # Rectified after the pools, which comes to the same and is less work.
        h = self.pools[0](first(h)).relu()
        h = self.pools[1](second(h)).relu()
        out: Tensor = self.drop(self.out(third(h).relu().flatten(1)).relu())
        return out

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels})"
