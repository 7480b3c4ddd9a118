"""GNNExplainer says which edges of a learned graph a prediction rests on."""

import torch
from torch import Tensor
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import GraphConv

from gnnreloc.nn import CosineAdjacency, block_edges


class Smoother(torch.nn.Module):
    """Each node's class from the hints of the nodes with a similar key."""

    def __init__(self) -> None:
        super().__init__()
        self.adjacency = CosineAdjacency(8, 8, activation="softmax", temperature=0.2)
        self.conv = GraphConv(2, 2)

    def forward(self, key: Tensor, edge_index: Tensor, hint: Tensor) -> Tensor:
        """Keys [N, 8] and hints [N, 2] to classes [N, 2]."""
        edge_index, weight = self.adjacency(key, edge_index)
        return self.conv(hint, edge_index, weight)


def explain(model: Smoother, key: Tensor, edge_index: Tensor, hint: Tensor) -> Tensor:
    """Importance of each edge [E]. The edges are given ones, so that they can be masked."""
    task = dict(mode="multiclass_classification", task_level="node", return_type="raw")
    explainer = Explainer(
        model,
        GNNExplainer(epochs=200, lr=0.1),
        explanation_type="model",
        edge_mask_type="object",
        model_config=task,
    )
    return explainer(key, edge_index, hint=hint).edge_mask


def main(num_nodes: int = 12, epochs: int = 150) -> None:
    """Four communities of two classes; a node's own hint says little about its class."""
    torch.manual_seed(0)
    community = torch.arange(num_nodes) % 4
    y = community % 2
    key = torch.randn(4, 8)[community] + 0.1 * torch.randn(num_nodes, 8)
    hint = torch.nn.functional.one_hot(y, 2) + 0.5 * torch.randn(num_nodes, 2)
    edge_index = block_edges([num_nodes])
    model = Smoother()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(epochs):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(key, edge_index, hint), y).backward()
        optimizer.step()

    mask = explain(model, key, edge_index, hint)
    same = y[edge_index[0]] == y[edge_index[1]]
    print(f"importance inside classes {mask[same].mean():.2f}, across {mask[~same].mean():.2f}")


if __name__ == "__main__":
    main()
