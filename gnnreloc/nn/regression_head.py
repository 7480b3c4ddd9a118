"""Boundary refinement: offsets from a proposal to the moment that it should be."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_LOG_LENGTH = 2.0


class RegressionHead(torch.nn.Module):
    r"""Multilayer perceptron from a graph vector to the offsets of a proposal.

    The regression module of Zhou et al., "Dynamic Adjacency Matrix for Video Relocalization"
    (2022). See :func:`encode_offsets` for what the two numbers mean.

    Args:
        in_channels: Size of each graph vector.
        hidden_channels: Width between the two linear layers.
        dropout: Probability to drop a hidden value in training.

    Shapes:
        - **input:** graph vectors :math:`(B, C)`
        - **output:** offsets :math:`(T_c, T_l)`, :math:`(B, 2)`
    """

    def __init__(self, in_channels: int, hidden_channels: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.dropout = dropout
        self.hidden = torch.nn.Linear(in_channels, hidden_channels)
        self.drop = torch.nn.Dropout(dropout)
        self.out = torch.nn.Linear(hidden_channels, 2)

    def reset_parameters(self) -> None:
        """Reset both linear layers."""
        self.hidden.reset_parameters()
        self.out.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Predict offsets.

        Args:
            x: One vector for each pair of query and proposal.

        Returns:
            The offsets.
        """
        offsets: Tensor = self.out(self.drop(self.hidden(x).relu()))
        return offsets

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.hidden_channels})"


def encode_offsets(segment: Tensor, target: Tensor) -> Tensor:
    r"""Offsets from proposals to the moments that they should be.

    .. math::
        T_c = (c - c^*) / l^*, \qquad T_l = \log (l / l^*)

    with centre :math:`c` and length :math:`l` of the proposal and :math:`c^*`, :math:`l^*` of the
    moment (Zhou et al., "Dynamic Adjacency Matrix for Video Relocalization", 2022).

    Args:
        segment: Proposals, start and end in seconds, :math:`(m, 2)`.
        target: Moments, start and end in seconds, :math:`(m, 2)`.

    Returns:
        The offsets :math:`(T_c, T_l)`, :math:`(m, 2)`.

    Raises:
        ValueError: If a segment does not end after its start.

    Examples:
        >>> encode_offsets(torch.tensor([[2.0, 6.0]]), torch.tensor([[1.0, 5.0]]))
        tensor([[0.2500, 0.0000]])
    """
    center, length = _center_and_length(segment, "segment")
    target_center, target_length = _center_and_length(target, "target")
    return torch.stack(
        [(center - target_center) / target_length, (length / target_length).log()], dim=-1
    )


def decode_offsets(segment: Tensor, offsets: Tensor) -> Tensor:
    r"""Moments that proposals become by their offsets: the inverse of :func:`encode_offsets`.

    .. math::
        l^* = l \exp(-T_l), \qquad c^* = c - T_c \, l^*

    The logarithm :math:`T_l` is first clamped to :math:`[-2, 2]`, so that a prediction changes
    the length at most by a factor of 7.4. The clamp is ours.

    Args:
        segment: Proposals, start and end in seconds, :math:`(m, 2)`.
        offsets: Offsets :math:`(T_c, T_l)`, :math:`(m, 2)`.

    Returns:
        Start and end of the moments in seconds, :math:`(m, 2)`; they may leave the video.

    Raises:
        ValueError: If a proposal does not end after its start.

    Examples:
        >>> decode_offsets(torch.tensor([[2.0, 6.0]]), torch.tensor([[0.25, 0.0]]))
        tensor([[1., 5.]])
    """
    center, length = _center_and_length(segment, "segment")
    target_length = length * (-offsets[:, 1].clamp(-MAX_LOG_LENGTH, MAX_LOG_LENGTH)).exp()
    target_center = center - offsets[:, 0] * target_length
    return torch.stack(
        [target_center - target_length / 2, target_center + target_length / 2], dim=-1
    )


def _center_and_length(segment: Tensor, name: str) -> tuple[Tensor, Tensor]:
    start, end = segment[:, 0], segment[:, 1]
    if not bool((end > start).all()):
        row = int((~(end > start)).nonzero()[0, 0])
        raise ValueError(
            f"Row {row} of '{name}' must end after its start (got {segment[row].tolist()})"
        )
    return (start + end) / 2, end - start
