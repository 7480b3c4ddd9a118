"""The layer in PyG's Sequential, trained on point sets of many sizes from a DataLoader."""

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GraphConv, Sequential, global_mean_pool

from gnnreloc.nn import CosineAdjacency


def point_set(is_paired: bool) -> Data:
    """Directions without a graph: each point has a near twin, or all are on their own."""
    half = torch.randn(int(torch.randint(3, 9, ())), 8)
    other = half + 0.1 * torch.randn_like(half) if is_paired else torch.randn_like(half)
    return Data(x=torch.cat([half, other]), y=torch.tensor([int(is_paired)]))


def build() -> Sequential:
    """The second argument is the edges: None stands for all pairs inside each graph."""
    adjacency = CosineAdjacency(8, 32, activation="relu", threshold=0.8)
    layers = [
        (adjacency, "x, given, batch -> edge_index, weight"),
        (GraphConv(8, 32), "x, edge_index, weight -> x"),
        torch.nn.ReLU(),
        (global_mean_pool, "x, batch -> x"),
        torch.nn.Linear(32, 2),
    ]
    return Sequential("x, given, batch", layers)


def accuracy(model: Sequential, sets: list[Data]) -> Tensor:
    """Share of the sets whose class is found."""
    data = next(iter(DataLoader(sets, batch_size=len(sets))))
    return (model(data.x, None, data.batch).argmax(dim=-1) == data.y).float().mean()


def main(num_sets: int = 400, epochs: int = 10) -> None:
    """Learn from one half of the sets and count on the other."""
    torch.manual_seed(0)
    sets = [point_set(number % 2 == 0) for number in range(num_sets)]
    train, test = sets[: num_sets // 2], sets[num_sets // 2 :]
    model = build()
    print(f"before: {accuracy(model, test):.0%} of {len(test)} sets right")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(epochs):
        for data in DataLoader(train, batch_size=20, shuffle=True):
            optimizer.zero_grad()
            out = model(data.x, None, data.batch)
            torch.nn.functional.cross_entropy(out, data.y).backward()
            optimizer.step()
    print(f"after: {accuracy(model, test):.0%} of {len(test)} sets right")


if __name__ == "__main__":
    main()
