"""Score of a query and a proposal from their graph."""

from __future__ import annotations

import torch
from torch import Tensor


class ScoreHead(torch.nn.Module):
    r"""Multilayer perceptron from a graph vector to one score, larger for a better match.

    .. math::
        s = \tanh \left( \mathbf{w}_2^{\top} \max(0, \mathbf{W}_1 \mathbf{h} + \mathbf{b}_1)
        + b_2 \right)

    The score module of Zhou et al., "Dynamic Adjacency Matrix for Video Relocalization" (2022),
    whose scores lie in :math:`(-1, 1)`.

    Args:
        in_channels: Size of each graph vector.
        hidden_channels: Width between the two linear layers.
        bounded: Apply the hyperbolic tangent; otherwise the score is any number.
        dropout: Probability to drop a hidden value in training.

    Shapes:
        - **input:** graph vectors :math:`(B, C)`
        - **output:** scores :math:`(B)`
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, *, bounded: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.bounded = bounded
        self.dropout = dropout
        self.hidden = torch.nn.Linear(in_channels, hidden_channels)
        self.drop = torch.nn.Dropout(dropout)
        self.out = torch.nn.Linear(hidden_channels, 1)

    def reset_parameters(self) -> None:
        """Reset both linear layers."""
        self.hidden.reset_parameters()
        self.out.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Score graph vectors.

        Args:
            x: One vector for each pair of query and proposal.

        Returns:
            The scores.
        """
        score: Tensor = self.out(self.drop(self.hidden(x).relu())).squeeze(-1)
        return score.tanh() if self.bounded else score

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.hidden_channels}, "
            f"bounded={self.bounded})"
        )
