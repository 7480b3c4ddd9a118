"""Encoder of a clip along time."""

from __future__ import annotations

import torch
from torch import Tensor

KINDS = ("lstm", "bilstm", "cnn")


class TemporalEncoder(torch.nn.Module):
    r"""Turn the timesteps of a clip into nodes that know their temporal context.

    Zhou et al., "Dynamic Adjacency Matrix for Video Relocalization" (2022), share one LSTM
    between query and proposal. The other kinds have the same output width: ``"bilstm"`` gives
    each direction half of it, and ``"cnn"`` stacks 1-D convolutions over time, each followed by
    a rectified linear unit.

    Args:
        in_channels: Size of each input timestep.
        hidden_channels: Size of each output timestep.
        kind: ``"lstm"``, ``"bilstm"`` or ``"cnn"``.
        num_layers: Number of layers.
        dropout: Probability to drop an output of a layer in training.
        kernel_size: Timesteps that one convolution sees, odd; of the ``"cnn"`` alone.

    Raises:
        ValueError: If the kind is unknown, or a number does not suit it.

    Shapes:
        - **input:** clips :math:`(B, T, C_{in})`
        - **output:** clips :math:`(B, T, C_{hidden})`
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        *,
        kind: str = "lstm",
        num_layers: int = 1,
        dropout: float = 0.0,
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"'kind' must be one of {', '.join(KINDS)} (got '{kind}')")
        if num_layers < 1:
            raise ValueError(f"'num_layers' must be at least 1 (got {num_layers})")
        if kind == "bilstm" and hidden_channels % 2 != 0:
            raise ValueError(
                f"'hidden_channels' must be even for two directions (got {hidden_channels})"
            )
        if kind == "cnn" and kernel_size % 2 != 1:
            raise ValueError(f"'kernel_size' must be odd (got {kernel_size})")

        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.kind = kind
        self.num_layers = num_layers
        self.dropout = dropout
        self.kernel_size = kernel_size
        self.drop = torch.nn.Dropout(dropout)

        self.lstm: torch.nn.LSTM | None = None
        self.convolutions = torch.nn.ModuleList()
        if kind == "cnn":
            widths = [in_channels] + [hidden_channels] * num_layers
            for width, next_width in zip(widths[:-1], widths[1:], strict=True):
                self.convolutions.append(
                    torch.nn.Conv1d(width, next_width, kernel_size, padding="same")
                )
        else:
            self.lstm = torch.nn.LSTM(
                in_channels,
                hidden_channels // 2 if kind == "bilstm" else hidden_channels,
                num_layers,
                batch_first=True,
                dropout=dropout if num_layers > 1 else 0.0,
                bidirectional=kind == "bilstm",
            )

    def reset_parameters(self) -> None:
        """Reset all layers."""
        if self.lstm is not None:
            self.lstm.reset_parameters()
        for convolution in self.convolutions:
            if isinstance(convolution, torch.nn.Conv1d):
                convolution.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Encode clips.

        Args:
            x: Clips, batch first.

        Returns:
            The encoded clips.
        """
        if self.lstm is not None:
            h: Tensor = self.lstm(x)[0]
            h = self.drop(h)
            return h
        h = x.transpose(1, 2)
        for convolution in self.convolutions:
            h = self.drop(convolution(h).relu())
        return h.transpose(1, 2)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.hidden_channels}, "
            f"kind={self.kind}, num_layers={self.num_layers})"
        )
