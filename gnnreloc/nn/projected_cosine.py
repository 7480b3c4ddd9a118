"""Cosine similarity of projected nodes, by head and temperature: what adjacencies are made of."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch_geometric.nn.conv import MessagePassing

from gnnreloc.nn.edge_support import Pair, as_pair
from gnnreloc.nn.edge_weighting import HALF, full_precision


class ProjectedCosine(MessagePassing):
    r"""Base class of :class:`~gnnreloc.nn.CosineAdjacency`: its scores and their parameters.

    .. math::
        s_{ij} = \cos \left( \phi(\mathbf{h}_i), \phi(\mathbf{h}_j) \right) / \tau

    Args:
        in_channels: Size of each node.
        out_channels: Size of each projected node (for each head), or None for no projection.
        heads: Number of scores of a pair.
        temperature: Divisor of the cosines.
        learn_temperature: Train the logarithm of the temperature.
        bias: Give the projection a bias.
        eps: Length below which a projection counts as 0.

    Raises:
        ValueError: If an option is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None,
        *,
        heads: int,
        temperature: float,
        learn_temperature: bool,
        bias: bool,
        eps: float,
    ) -> None:
        super().__init__(aggr="add", node_dim=0)
        if heads < 1 or (out_channels is None and in_channels % heads != 0):
            raise ValueError(
                f"'heads' must be positive and, without 'out_channels', divide 'in_channels' "
                f"(got {heads} heads and {in_channels} channels)"
            )
        if not 0 < temperature < math.inf:
            raise ValueError(f"'temperature' must be positive and finite (got {temperature})")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads
        self.temperature = temperature
        self.learn_temperature = learn_temperature
        self.eps = eps

        self.phi: torch.nn.Linear | None = None
        if out_channels is not None:
            self.phi = torch.nn.Linear(in_channels, heads * out_channels, bias=bias)
        self.log_temperature: torch.nn.Parameter | None = None
        if learn_temperature:
            self.log_temperature = torch.nn.Parameter(torch.empty(()))

        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the projection and the temperature."""
        super().reset_parameters()
        if self.phi is not None:
            self.phi.reset_parameters()
        if self.log_temperature is not None:
            torch.nn.init.constant_(self.log_temperature, math.log(self.temperature))

    def _directions(self, x: Tensor | Pair) -> Pair:
        """Unit vectors of sending and receiving nodes, (..., heads, channels)."""
        if isinstance(x, Tensor):
            return as_pair(self._direction(x))
        return self._direction(x[0]), self._direction(x[1])

    def _dense_directions(self, x: Tensor | Pair) -> Pair:
        """Unit vectors of sending and receiving nodes, (graphs, heads, nodes, channels)."""
        unit_src, unit_dst = self._directions(x)
        return unit_src.transpose(1, 2), unit_dst.transpose(1, 2)

    def _scores(self, x: Tensor | Pair) -> Tensor:
        """Scores of all pairs of a batch of graphs, (graphs, heads, rows, columns)."""
        bipartite = not isinstance(x, Tensor)
        sending, receiving = as_pair(x)
        h_src = self._project(sending).transpose(1, 2)
        h_dst = self._project(receiving).transpose(1, 2) if bipartite else h_src
        inverse_src = self._inverse_length(h_src)
        inverse_dst = self._inverse_length(h_dst) if bipartite else inverse_src
        with full_precision(h_src.device):
            if h_src.size(-1) > h_src.size(-2):  # there are fewer products than numbers in vectors
                score = (h_dst @ h_src.transpose(-1, -2)) * inverse_dst
                return self._scale(score * inverse_src.transpose(-1, -2))
            key = h_src * inverse_src
            query = h_dst * inverse_dst if bipartite else key
            return self._scale(query @ key.transpose(-1, -2))

    def _scale(self, cosine: Tensor) -> Tensor:
        """Divide by the temperature."""
        if self.log_temperature is not None:
            return cosine * (-self.log_temperature.to(cosine.dtype)).exp()
        return cosine if self.temperature == 1 else cosine / self.temperature

    def _direction(self, x: Tensor) -> Tensor:
        h = self._project(x)
        return h * self._inverse_length(h)

    def _project(self, x: Tensor) -> Tensor:
        """Nodes by head, (..., heads, channels), in single precision or better."""
        h: Tensor = x if self.phi is None else self.phi(x)
        h = h.view(*h.shape[:-1], self.heads, h.size(-1) // self.heads)
        return h.float() if h.dtype in HALF else h

    def _inverse_length(self, h: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(h, dim=-1, keepdim=True)
        return torch.where(length > self.eps, length, torch.inf).reciprocal()
