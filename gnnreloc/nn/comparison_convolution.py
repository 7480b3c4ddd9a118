"""Graph convolution that compares each node with what it receives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn.conv import MessagePassing

from gnnreloc.nn.blocked_comparison import Perceptron, compare
from gnnreloc.nn.cross_adjacency import CrossAdjacency
from gnnreloc.nn.edge_support import Pair, as_pair
from gnnreloc.nn.rectified_dropout import RectifiedDropout, in_eager_cpu


class ComparisonConvolution(MessagePassing):
    r"""Each node is compared with its counterpart, the weighted sum of the nodes it receives from.

    .. math::
        \mathbf{m}_i = \sum_j A_{ij} \mathbf{h}_j, \qquad
        \mathbf{h}^{\prime}_i = \sigma \left( \mathbf{W}_2 \, \sigma \left( \mathbf{W}_1
        [\mathbf{h}_i, \mathbf{m}_i, | \mathbf{h}_i - \mathbf{m}_i |,
        \mathbf{h}_i \odot \mathbf{m}_i] + \mathbf{b}_1 \right) + \mathbf{b}_2 \right)

    with a rectified linear :math:`\sigma`. This layer is ours, not the paper's: where edges lead
    from one clip to the other and rows sum to one, :math:`\mathbf{m}_i` is the moment of the
    other clip that matches node :math:`i`, and difference and product tell how well it does.

    Args:
        in_channels: Size of each node.
        out_channels: Size of each output node.
        hidden_channels: Width between the two linear layers, `out_channels` by default.
        dropout: Probability to drop a hidden value in training.

    Shapes:
        - **edge-wise:** nodes :math:`(N, C_{in})` or
          :math:`((N_{src}, C_{in}), (N_{dst}, C_{in}))`, edge index :math:`(2, E)`, weights
          :math:`(E)`; output :math:`(N_{dst}, C_{out})`.
        - **dense:** nodes :math:`(B, N, C_{in})` or a pair, adjacency
          :math:`(B, N_{dst}, N_{src})` or :math:`(N_{dst}, N_{src})`; output
          :math:`(B, N_{dst}, C_{out})`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int | None = None,
        *,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(aggr="add")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.hidden_channels = out_channels if hidden_channels is None else hidden_channels
        self.dropout = dropout
        self.hidden = torch.nn.Linear(4 * in_channels, self.hidden_channels)
        self.drop = RectifiedDropout(dropout)
        self.out = torch.nn.Linear(self.hidden_channels, out_channels)

    def reset_parameters(self) -> None:
        """Reset both linear layers."""
        super().reset_parameters()
        self.hidden.reset_parameters()
        self.out.reset_parameters()

    def forward(
        self, x: Tensor | Pair, edge_index: Tensor, edge_weight: Tensor | None = None
    ) -> Tensor:
        """Compare along edges.

        Args:
            x: Nodes, or sending and receiving nodes.
            edge_index: Sources and targets of the edges.
            edge_weight: Weight of each edge, 1 by default.

        Returns:
            The output nodes.
        """
        x_src, x_dst = as_pair(x)
        if edge_weight is None:
            edge_weight = x_src.new_ones(edge_index.size(1))
        # propagate_type: (x: Tensor, edge_weight: Tensor)
        counterpart: Tensor = self.propagate(
            edge_index,
            x=x_src,
            edge_weight=edge_weight.to(x_src.dtype),
            size=(x_src.size(-2), x_dst.size(-2)),
        )
        return self._compare(x_dst, counterpart)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        """Weigh what a node sends."""
        return edge_weight.unsqueeze(-1) * x_j

    def dense(self, x: Tensor | Pair, adjacency: Tensor | CrossAdjacency) -> Tensor:
        """Compare with an adjacency matrix.

        Args:
            x: Nodes, or sending and receiving nodes.
            adjacency: Weights, row `i` receives from column `j`.

        Returns:
            The output nodes.
        """
        x_src, x_dst = as_pair(x)
        return self._compare(x_dst, adjacency.to(x_src.dtype) @ x_src)

    def _compare(self, x: Tensor, counterpart: Tensor) -> Tensor:
        if in_eager_cpu(x) and x.dtype == self.hidden.weight.dtype:
            layers = Perceptron(
                self.hidden.weight, self.hidden.bias, self.out.weight, self.out.bias
            )
            flat = x.reshape(-1, self.in_channels), counterpart.reshape(-1, self.in_channels)
            dropout = self.dropout if self.training else 0.0
            return compare(*flat, layers, dropout).view(*x.shape[:-1], self.out_channels)
        pair = [x, counterpart, (x - counterpart).abs(), x * counterpart]
        out: Tensor = self.out(self.drop(self.hidden(torch.cat(pair, dim=-1))))
        return out.relu()
