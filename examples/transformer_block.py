"""A transformer's block whose attention is a learned adjacency, on sequences of any length."""

import torch
from torch import Tensor
from torch.nn import LayerNorm, Linear, Module, ReLU, Sequential

from gnnreloc.nn import CosineAdjacency


class TransformerBlock(Module):
    """Multi-head mixing of nodes, then a small network for each node; residual, norm first.

    Every head multiplies the same nodes by its own matrix; the layer after it holds the value
    and output projections of all heads in one, as sum_h A_h X W_h = sum_h A_h (X V_h) O_h.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        options = {"activation": "softmax", "temperature": 0.1, "learn_temperature": True}
        self.attention = CosineAdjacency(channels, channels // heads, heads=heads, **options)
        self.mix = Linear(heads * channels, channels)
        self.feed = Sequential(
            Linear(channels, 2 * channels),
            ReLU(),
            Linear(2 * channels, channels),
        )
        self.norms = torch.nn.ModuleList(LayerNorm(channels) for _ in range(2))

    def forward(self, x: Tensor, batch: Tensor) -> Tensor:
        """Nodes [N, C] and the sorted number of each one's graph [N] to nodes [N, C]."""
        h = self.norms[0](x)
        received = self.attention.matmul(h, h, batch=batch)  # [N, heads, C]
        x = x + self.mix(received.flatten(1))
        return x + self.feed(self.norms[1](x))


def main(sizes: tuple[int, ...] = (7, 30, 1, 12)) -> None:
    """A ragged batch gives what its graphs give one by one."""
    torch.manual_seed(0)
    block = TransformerBlock(32, heads=4)
    x = torch.randn(sum(sizes), 32)
    batch = torch.repeat_interleave(torch.tensor(sizes))
    out = block(x, batch)
    alone = torch.cat([block(graph, batch.new_zeros(len(graph))) for graph in x.split(sizes)])
    print(f"{len(sizes)} graphs of {min(sizes)} to {max(sizes)} nodes, out {list(out.shape)}")
    print(f"largest difference to one graph at a time: {(out - alone).abs().max():.1e}")


if __name__ == "__main__":
    main()
