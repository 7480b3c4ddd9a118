"""Cosine similarity of projected nodes, by head and temperature: what adjacencies are made of."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.nn.conv import MessagePassing

from gnnreloc.nn.edge_support import Pair, as_pair
from gnnreloc.nn.edge_weighting import HALF, full_precision


class Cosine(NamedTuple):
    r"""Cosines of projected nodes by a temperature.

    Attributes:
        eps: Length up to which a projection has no direction, and its cosines are 0.
        steepness: :math:`1 / \tau`, a tensor where it is trained.

    Examples:
        >>> nodes = torch.tensor([[3.0, 0.0], [2.0, 2.0]])
        >>> Cosine(1e-8, 2.0).scores(nodes, nodes)
        tensor([[2.0000, 1.4142],
                [1.4142, 2.0000]])
    """

    eps: float
    steepness: Tensor | float

    def directions(self, h_src: Tensor, h_dst: Tensor) -> Pair:
        """Unit vectors, or 0, of sending and of receiving nodes.

        Args:
            h_src: Projected nodes that send :math:`(..., d)`.
            h_dst: Those that receive; the same tensor where they are the same.
        """
        unit = h_src * inverse_length(h_src, self.eps)
        return unit, unit if h_dst is h_src else h_dst * inverse_length(h_dst, self.eps)

    def scale(self, cosine: Tensor) -> Tensor:
        """Divide by the temperature.

        Args:
            cosine: Cosines, or directions of which they will be made.
        """
        fixed = not isinstance(self.steepness, Tensor)
        return cosine if fixed and self.steepness == 1 else cosine * self.steepness

    def scores(self, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Cosines of all pairs by the temperature.

        Args:
            h_src: Projected nodes that send :math:`(..., m, d)`.
            h_dst: Those that receive :math:`(..., n, d)`; the same tensor where they are the same.

        Returns:
            The scores :math:`(..., n, m)`.
        """
        inverse_src = inverse_length(h_src, self.eps)
        inverse_dst = inverse_src if h_dst is h_src else inverse_length(h_dst, self.eps)
        with full_precision(h_src.device):
            if h_src.size(-1) > h_src.size(-2):  # there are fewer products than numbers in vectors
                score = h_dst @ h_src.transpose(-1, -2)
                key = self.scale(inverse_src).transpose(-1, -2)
                if torch.is_grad_enabled():
                    return score * inverse_dst * key
                return score.mul_(inverse_dst).mul_(key)  # spares memory that is new each time
            key = h_src * inverse_src
            query = key if h_dst is h_src else h_dst * inverse_dst
            return self.scale(query) @ key.transpose(-1, -2)


def inverse_length(h: Tensor, shortest: float, mask: Tensor | None = None) -> Tensor:
    """What a vector is multiplied by to become a unit vector, 0 where it has no direction.

    Args:
        h: Vectors :math:`(..., d)`.
        shortest: Length up to which a vector has no direction.
        mask: False for those that are to have none :math:`(..., 1)`.
    """
    length = torch.linalg.vector_norm(h, dim=-1, keepdim=True)
    usable = length > shortest
    usable = usable if mask is None else usable & mask
    return torch.where(usable, length, torch.inf).reciprocal()


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

    def directions(self, x: Tensor) -> Tensor:
        r"""What the cosines compare: unit vectors, 0 where a projection has no direction.

        Computed once for nodes that are compared with many others: the scores are the products of
        directions by the temperature.

        Args:
            x: Nodes :math:`(\ldots, C)`.

        Returns:
            The directions :math:`(\ldots, H, d)`.
        """
        h = self._project(x)
        return h * inverse_length(h, self.eps)

    @property
    def _cosine(self) -> Cosine:
        if self.log_temperature is None:
            return Cosine(self.eps, 1 / self.temperature)
        logarithm: Tensor = self.log_temperature
        logarithm = logarithm.float() if logarithm.dtype in HALF else logarithm
        return Cosine(self.eps, (-logarithm).exp())

    def _project_all(self, x: Tensor | Pair) -> Pair:
        """Sending and receiving nodes, projected: one tensor twice where they are the same."""
        if isinstance(x, Tensor):
            return as_pair(self._project(x))
        return self._project(x[0]), self._project(x[1])

    def _project_graphs(self, x: Tensor | Pair) -> Pair:
        """The same of a batch of graphs, (graphs, heads, nodes, channels)."""
        source, target = self._project_all(x)
        turned = source.transpose(1, 2)
        return turned, turned if isinstance(x, Tensor) else target.transpose(1, 2)

    def _project(self, x: Tensor) -> Tensor:
        """Nodes by head, (..., heads, channels), in single precision or better."""
        h: Tensor = x if self.phi is None else self.phi(x)
        h = h.view(*h.shape[:-1], self.heads, h.size(-1) // self.heads)
        return h.float() if h.dtype in HALF else h
