r"""Products :math:`\mathbf{A} \mathbf{H}` along edges, by message passing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch_geometric.nn.conv import MessagePassing

from gnnreloc.nn.edge_support import Pair, as_pair

if TYPE_CHECKING:
    from gnnreloc.nn.cosine_adjacency import CosineAdjacency


class WeightedSum(MessagePassing):
    r"""Sum of what the neighbours of a node send, by edge weights of several heads.

    Shapes:
        - **input:** values :math:`(N_{src}, F)`, edge index :math:`(2, E)`, edge weights
          :math:`(E, H)`.
        - **output:** :math:`(N_{dst}, H, F)`.
    """

    def __init__(self) -> None:
        super().__init__(aggr="add", node_dim=0)

    def forward(
        self, h: Tensor, edge_index: Tensor, edge_weight: Tensor, num_targets: int
    ) -> Tensor:
        """Sum what the neighbours send."""
        size = (h.size(0), num_targets)
        # propagate_type: (h: OptPairTensor, edge_weight: Tensor)
        out: Tensor = self.propagate(edge_index, h=(h, None), edge_weight=edge_weight, size=size)
        return out

    def message(self, h_j: Tensor, edge_weight: Tensor) -> Tensor:
        """Weigh what a node sends, once for each head."""
        return edge_weight.unsqueeze(-1) * h_j.unsqueeze(1)


def edge_product(
    layer: CosineAdjacency,
    x: Tensor | Pair,
    h: Tensor,
    batch: Tensor | Pair | None = None,
    batch_size: int | None = None,
    group: Tensor | Pair | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Product along all edges inside each graph.

    Args:
        layer: The learned adjacency.
        x: Nodes, as for :meth:`~gnnreloc.nn.CosineAdjacency.forward`.
        h: Values of the sending nodes :math:`(N_{src}, F)`.
        batch: As for ``forward``.
        batch_size: As for ``forward``.
        group: As for ``forward``.

    Returns:
        The products :math:`(N_{dst}, H, F)` and the sum of the absolute weights.
    """
    edges, weight = layer(x, None, batch, batch_size=batch_size, group=group)
    weight = weight.view(-1, layer.heads)
    return WeightedSum()(h, edges, weight, as_pair(x)[1].size(0)), weight.abs().sum()


def edge_product_of_batch(
    layer: CosineAdjacency,
    x: Tensor | Pair,
    h: Tensor,
    mask: Tensor | Pair | None = None,
    group: Tensor | Pair | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Products of padded graphs, along all edges inside each of them.

    Args:
        layer: The learned adjacency.
        x: Nodes :math:`(B, N, C)`, or sending and receiving nodes.
        h: Values of the sending nodes :math:`(B, N_{src}, F)`.
        mask: False for padding :math:`(B, N)`, or a pair.
        group: Group of each node :math:`(N)` or :math:`(B, N)`, or a pair.

    Returns:
        The products :math:`(B, H, N_{dst}, F)` and the sum of the absolute weights.
    """
    nodes = as_pair(x)
    graphs, rows = nodes[0].size(0), nodes[1].size(1)
    groups: Pair | None = None
    if group is not None:
        sending, receiving = as_pair(group)
        groups = (sending.expand(nodes[0].shape[:2]), receiving.expand(nodes[1].shape[:2]))
    if mask is None:  # graphs of one size: nothing is read on the host
        flat = (
            x.flatten(0, 1) if isinstance(x, Tensor) else (x[0].flatten(0, 1), x[1].flatten(0, 1))
        )
        groups = None if groups is None else (groups[0].flatten(), groups[1].flatten())
        out, total = edge_product(layer, flat, h.flatten(0, 1), batch_size=graphs, group=groups)
        return out.view(graphs, rows, *out.shape[1:]).transpose(1, 2), total

    keep = as_pair(mask)
    graph = torch.arange(graphs, device=h.device).unsqueeze(-1)
    numbers = tuple(graph.expand(k.shape)[k] for k in keep)
    if groups is not None:
        groups = (groups[0][keep[0]], groups[1][keep[1]])
    kept: Tensor | Pair = (nodes[0][keep[0]], nodes[1][keep[1]])
    batch: Tensor | Pair = (numbers[0], numbers[1])
    if isinstance(x, Tensor):
        kept, batch = kept[0], batch[0]
    out, total = edge_product(layer, kept, h[keep[0]], batch, graphs, groups)
    padded = out.new_zeros(graphs * rows, *out.shape[1:])
    padded = padded.index_copy(0, keep[1].flatten().nonzero().squeeze(-1), out)
    return padded.view(graphs, rows, *out.shape[1:]).transpose(1, 2), total
