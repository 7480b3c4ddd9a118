"""Graph convolution with given edge weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.nn.conv import MessagePassing

from gnnreloc.nn.cross_adjacency import CrossAdjacency
from gnnreloc.nn.edge_support import Pair, as_pair

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "sigmoid": torch.sigmoid,
}


def activation_function(name: str) -> Callable[[Tensor], Tensor]:
    """Look up an activation.

    Args:
        name: ``"none"``, ``"relu"``, ``"tanh"``, ``"leaky_relu"`` or ``"sigmoid"``.

    Raises:
        ValueError: If there is no such activation.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"'activation' must be one of {', '.join(ACTIVATIONS)} (got '{name}')")
    return ACTIVATIONS[name]


class GraphConvolution(MessagePassing):
    r"""One step of aggregation over weighted edges, without normalisation of its own.

    The layer of Zhou et al., "Dynamic Adjacency Matrix for Video Relocalization" (2022),

    .. math::
        \mathbf{H}^{\prime} = \sigma \left( \mathbf{A} \mathbf{H} \mathbf{W} \right), \qquad
        \mathbf{h}^{\prime}_i = \sigma \Big( \sum_j A_{ij} \, \mathbf{h}_j \mathbf{W} \Big),

    optionally with a bias. The narrower side of :math:`\mathbf{W}` is the one that is sent along
    the edges.

    Args:
        in_channels: Size of each node.
        out_channels: Size of each output node.
        activation: :math:`\sigma`: ``"none"``, ``"relu"``, ``"tanh"``, ``"leaky_relu"`` or
            ``"sigmoid"``.
        bias: Add a learned bias before the activation.

    Raises:
        ValueError: If the activation is unknown.

    Shapes:
        - **edge-wise:** nodes :math:`(N, C_{in})` or :math:`((N_{src}, C_{in}), (N_{dst}, *))`,
          edge index :math:`(2, E)`, weights :math:`(E)`; output :math:`(N_{dst}, C_{out})`.
        - **dense:** nodes :math:`(B, N_{src}, C_{in})`, adjacency :math:`(B, N_{dst}, N_{src})`
          or :math:`(N_{dst}, N_{src})`; output :math:`(B, N_{dst}, C_{out})`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, activation: str = "relu", bias: bool = False
    ) -> None:
        super().__init__(aggr="add")
        activation_function(activation)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.activation = activation
        self.lin = torch.nn.Linear(in_channels, out_channels, bias=False)
        self.bias: torch.nn.Parameter | None = None
        if bias:
            self.bias = torch.nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the weight (Glorot) and the bias (0)."""
        super().reset_parameters()
        torch.nn.init.xavier_uniform_(self.lin.weight)
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)

    def forward(
        self, x: Tensor | Pair, edge_index: Tensor, edge_weight: Tensor | None = None
    ) -> Tensor:
        """Aggregate along edges.

        Args:
            x: Nodes, or sending and receiving nodes; of the latter only their number counts.
            edge_index: Sources and targets of the edges.
            edge_weight: Weight of each edge, 1 by default.

        Returns:
            The output nodes.
        """
        x_src, x_dst = as_pair(x)
        transform_first = self.out_channels <= self.in_channels
        h = self.lin(x_src) if transform_first else x_src
        if edge_weight is None:
            edge_weight = h.new_ones(edge_index.size(1))
        # propagate_type: (x: Tensor, edge_weight: Tensor)
        out: Tensor = self.propagate(
            edge_index,
            x=h,
            edge_weight=edge_weight.to(h.dtype),
            size=(x_src.size(-2), x_dst.size(-2)),
        )
        return self._finish(out if transform_first else self.lin(out))

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        """Weigh what a node sends."""
        return edge_weight.unsqueeze(-1) * x_j

    def dense(self, x: Tensor | Pair, adjacency: Tensor | CrossAdjacency) -> Tensor:
        """Aggregate with an adjacency matrix.

        Args:
            x: Sending nodes, or sending and receiving nodes, of which the latter do not count.
            adjacency: Weights, row `i` receives from column `j`.

        Returns:
            The output nodes.
        """
        x = as_pair(x)[0]
        adjacency = adjacency.to(x.dtype)
        rows, columns = adjacency.shape[-2:]
        transform_first = self.out_channels * (columns + rows * columns / self.in_channels)
        aggregate_first = self.out_channels * rows + rows * columns
        if transform_first <= aggregate_first:
            return self._finish(adjacency @ self.lin(x))
        return self._finish(self.lin(adjacency @ x))

    def _finish(self, out: Tensor) -> Tensor:
        out = out if self.bias is None else out + self.bias
        return ACTIVATIONS[self.activation](out)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"activation={self.activation})"
        )
