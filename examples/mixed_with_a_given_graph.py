"""A given graph that is mostly wrong: weigh its edges anew, or mix it with a learned graph."""

import torch
from torch import Tensor, nn
from torch_geometric.nn import SimpleConv

from gnnreloc.nn import CosineAdjacency


class Reweighted(nn.Module):
    """The given edges with learned weights, which may turn a wrong edge off."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.adjacency = CosineAdjacency(in_channels, 16, activation="relu", normalization="row")
        self.lin = nn.Linear(in_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Nodes [N, C] and edges [2, E] to classes [N, K]."""
        edge_index, weight = self.adjacency(x, edge_index)
        return SimpleConv()(self.lin(x), edge_index, weight)


class Mixed(nn.Module):
    """A = a A_given + (1 - a) A_learned with a trained a; neither matrix is built."""

    def __init__(self, in_channels: int, out_channels: int, logit: float = 0.0) -> None:
        super().__init__()
        self.adjacency = CosineAdjacency(in_channels, 16, activation="softmax", temperature=0.1)
        self.lin = nn.Linear(in_channels, out_channels)
        self.logit = nn.Parameter(torch.tensor(logit))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Nodes [N, C] and edges [2, E] to classes [N, K]."""
        h, a = self.lin(x), self.logit.sigmoid()
        return a * SimpleConv("mean")(h, edge_index) + (1 - a) * self.adjacency.matmul(x, h)


def main(n: int = 600, epochs: int = 60) -> None:
    """Three classes, one label in five, seven of ten edges at random; a = 1 is the given graph."""
    torch.manual_seed(0)
    y, train = torch.arange(n) % 3, torch.rand(n) < 0.2
    x = torch.eye(8)[y] + 0.5 * torch.randn(n, 8)
    source, step = torch.randint(n, (2, 8 * n))
    step *= torch.where(torch.rand(8 * n) < 0.3, 3, 1)  # steps of threes stay in the class
    edge_index = torch.stack([source, (source + step) % n])
    models = {"given": Mixed(8, 3, 20.0), "reweighted": Reweighted(8, 3), "mixed": Mixed(8, 3)}
    for name, model in models.items():
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=0.01)
        for _ in range(epochs):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x, edge_index)[train], y[train]).backward()
            optimizer.step()
        right = model(x, edge_index).argmax(dim=-1) == y
        print(f"{name}: {right[~train].float().mean():.0%} of the unlabelled nodes right")


if __name__ == "__main__":
    main()
