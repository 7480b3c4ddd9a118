"""Nodes without a graph: learned weights in front of the convolutions of PyG."""

import torch
from torch import Tensor
from torch_geometric.nn import DenseGraphConv, GATv2Conv, GCNConv, GraphConv

from gnnreloc.nn import CosineAdjacency


def graph_conv(x: Tensor) -> tuple[CosineAdjacency, Tensor]:
    """Sum of the 5 most similar nodes, by weights of any sign."""
    adjacency = CosineAdjacency(x.size(-1), 16, top_k=5, normalization="row")
    edge_index, weight = adjacency(x)
    return adjacency, GraphConv(x.size(-1), 8)(x, edge_index, weight)


def gcn_conv(x: Tensor) -> tuple[CosineAdjacency, Tensor]:
    """GCNConv takes roots of degrees, so no weight may be negative; it normalises on its own."""
    adjacency = CosineAdjacency(x.size(-1), 16, activation="relu")
    edge_index, weight = adjacency(x)
    return adjacency, GCNConv(x.size(-1), 8)(x, edge_index, weight)


def gatv2_conv(x: Tensor) -> tuple[CosineAdjacency, Tensor]:
    """The attention of GATv2Conv sees the cosines of 4 heads as features of an edge."""
    adjacency = CosineAdjacency(x.size(-1), 16, heads=4)
    edge_index, weight = adjacency(x)
    conv = GATv2Conv(x.size(-1), 8, edge_dim=4, add_self_loops=False)
    return adjacency, conv(x, edge_index, weight)


def dense_graph_conv(x: Tensor) -> tuple[CosineAdjacency, Tensor]:
    """Matrices instead of edges, for a batch of graphs of one size [B, N, C]."""
    adjacency = CosineAdjacency(x.size(-1), 16, activation="softmax")
    return adjacency, DenseGraphConv(x.size(-1), 8)(x, adjacency.dense(x))


def main(num_nodes: int = 30) -> None:
    """Run each, and see that its loss reaches the projection of the learned weights."""
    torch.manual_seed(0)
    x = torch.randn(num_nodes, 12)
    batch = torch.randn(2, num_nodes, 12)
    for example in (graph_conv, gcn_conv, gatv2_conv, dense_graph_conv):
        adjacency, out = example(batch if example is dense_graph_conv else x)
        out.square().mean().backward()
        gradient = adjacency.phi.weight.grad.norm()
        print(f"{example.__name__:16} out {list(out.shape)}, gradient of phi {gradient:.2g}")


if __name__ == "__main__":
    main()
