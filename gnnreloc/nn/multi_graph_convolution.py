"""Graph convolution over several graphs that share their nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from gnnreloc.nn.comparison_convolution import ComparisonConvolution
from gnnreloc.nn.cross_adjacency import CrossAdjacency
from gnnreloc.nn.edge_support import Pair
from gnnreloc.nn.graph_convolution import ACTIVATIONS, GraphConvolution, activation_function

FUSIONS = ("mean", "sum", "concat", "max")


class MultiGraphConvolution(torch.nn.Module):
    r"""One convolution for each graph of a layer, fused into one output.

    With the fusion ``"mean"`` and the convolution ``"aggregate"``,

    .. math::
        \mathbf{H}^{\prime} = \sigma \Big( \frac{1}{K} \sum_{k=1}^{K}
        \mathbf{A}_k \mathbf{H} \mathbf{W}_k \Big),

    our reading of the layer with a set of fixed graphs in Zhou et al., "Graph Neural Network for
    Video Relocalization" (2020), whose exact matrices are not public.

    Args:
        in_channels: Size of each node.
        out_channels: Size of each output node.
        num_graphs: Number :math:`K` of graphs.
        fusion: ``"mean"``, ``"sum"`` or ``"max"`` over the graphs, or ``"concat"`` followed by a
            linear layer back to `out_channels`.
        convolution: ``"aggregate"`` for :class:`GraphConvolution` without activation,
            ``"compare"`` for :class:`ComparisonConvolution`, or a function of `in_channels` and
            `out_channels` that builds a module with the methods ``forward`` and ``dense`` of
            these.
        activation: :math:`\sigma`, applied after the fusion, as in :class:`GraphConvolution`.
        **options: Further arguments of the convolution.

    Raises:
        ValueError: If an option is unknown or there is no graph.

    Shapes:
        - **edge-wise:** nodes :math:`(N, C_{in})`, for each graph an edge index :math:`(2, E_k)`
          and weights :math:`(E_k)`; output :math:`(N, C_{out})`.
        - **dense:** nodes :math:`(B, N, C_{in})`, for each graph an adjacency :math:`(B, N, N)`
          or :math:`(N, N)`; output :math:`(B, N, C_{out})`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_graphs: int,
        *,
        fusion: str = "mean",
        convolution: str | Callable[..., torch.nn.Module] = "aggregate",
        activation: str = "relu",
        **options: Any,
    ) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise ValueError(f"'fusion' must be one of {', '.join(FUSIONS)} (got '{fusion}')")
        if num_graphs < 1:
            raise ValueError(f"'num_graphs' must be at least 1 (got {num_graphs})")
        activation_function(activation)
        build = _builder(convolution)

        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_graphs = num_graphs
        self.fusion = fusion
        self.activation = activation
        # Comparisons are rectified: what is fused from them without weights has nothing to rectify.
        compares = convolution == "compare" and fusion != "concat"
        self._rectified = compares and activation == "relu"
        # Any, because the type of a module does not tell that it has a method `dense`.
        self.convolutions: Any = torch.nn.ModuleList(
            build(in_channels, out_channels, **options) for _ in range(num_graphs)
        )
        self.lin: torch.nn.Linear | None = None
        if fusion == "concat":
            self.lin = torch.nn.Linear(num_graphs * out_channels, out_channels)

    def reset_parameters(self) -> None:
        """Reset the convolutions and the fusion."""
        for convolution in self.convolutions:
            convolution.reset_parameters()
        if self.lin is not None:
            self.lin.reset_parameters()

    def forward(self, x: Tensor, graphs: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor:
        """Convolve along edges.

        Args:
            x: Nodes.
            graphs: Edge index and edge weights (or None) of each graph.

        Returns:
            The output nodes.

        Raises:
            ValueError: If the number of graphs is not `num_graphs`.
        """
        self._check_number(len(graphs))
        return self._fuse(
            [
                convolution(x, edge_index, edge_weight)
                for convolution, (edge_index, edge_weight) in zip(
                    self.convolutions, graphs, strict=True
                )
            ]
        )

    def dense(self, x: Tensor | Pair, adjacencies: Sequence[Tensor | CrossAdjacency]) -> Tensor:
        """Convolve with adjacency matrices.

        Args:
            x: Nodes, or sending and receiving nodes.
            adjacencies: One matrix for each graph, row `i` receives from column `j`.

        Returns:
            The output nodes.

        Raises:
            ValueError: If the number of matrices is not `num_graphs`.
        """
        self._check_number(len(adjacencies))
        return self._fuse(
            [
                convolution.dense(x, adjacency)
                for convolution, adjacency in zip(self.convolutions, adjacencies, strict=True)
            ]
        )

    def _check_number(self, number: int) -> None:
        if number != self.num_graphs:
            raise ValueError(f"Expected {self.num_graphs} graphs (got {number})")

    def _fuse(self, outputs: list[Tensor]) -> Tensor:
        if self.lin is not None:
            out: Tensor = self.lin(torch.cat(outputs, dim=-1))
        elif self.num_graphs == 1:
            out = outputs[0]
        elif self.fusion == "mean":
            out = torch.stack(outputs).mean(dim=0)
        elif self.fusion == "sum":
            out = torch.stack(outputs).sum(dim=0)
        else:
            out = torch.stack(outputs).amax(dim=0)
        return out if self._rectified else ACTIVATIONS[self.activation](out)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"num_graphs={self.num_graphs}, fusion={self.fusion})"
        )


def _builder(
    convolution: str | Callable[..., torch.nn.Module],
) -> Callable[..., torch.nn.Module]:
    """Find the function that builds one convolution."""
    if callable(convolution):
        return convolution
    if convolution == "aggregate":
        return lambda *args, **options: GraphConvolution(*args, **{"activation": "none"} | options)
    if convolution == "compare":
        return ComparisonConvolution
    raise ValueError(
        f"'convolution' must be aggregate, compare or a function (got '{convolution}')"
    )
