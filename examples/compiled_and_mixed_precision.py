"""Training steps under torch.compile and in mixed precision."""

import torch
from torch import Tensor
from torch.nn import Linear, Module

from gnnreloc.nn import CosineAdjacency


class Layer(Module):
    """A learned graph between nodes without one, and a convolution over it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.adjacency = CosineAdjacency(channels, 16, activation="softmax", temperature=0.1)
        self.lin = Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Nodes [B, N, C] to nodes [B, N, C]; `blocked` is one operation of the graph."""
        return x + self.adjacency.matmul(x, self.lin(x), backend="blocked").relu()


def gradient(layer: Module, x: Tensor) -> Tensor:
    """One step without its update: the gradients of all parameters, one after the other."""
    loss = layer(x).square().mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(layer.parameters()))])


def mixed_precision_gradient(layer: Module, x: Tensor) -> Tensor:
    """The same with bfloat16 in the linear layers; cosines stay in float32."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = layer(x).float().square().mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(layer.parameters()))])


def main(num_nodes: int = 200, compiler: str = "inductor") -> None:
    """Both give the gradients of the plain step, to the precision of their numbers."""
    torch.manual_seed(0)
    layer, x = Layer(32), torch.randn(2, num_nodes, 32)
    expected = gradient(layer, x)
    compiled = torch.compile(layer, fullgraph=True, backend=compiler)
    mixed = mixed_precision_gradient(layer, x)
    for name, found in (("compiled", gradient(compiled, x)), ("bfloat16", mixed)):
        difference = (found - expected).norm() / expected.norm()
        print(f"{name}: gradients differ by {difference:.1e}")


if __name__ == "__main__":
    main()
