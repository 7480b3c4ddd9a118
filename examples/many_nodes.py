"""100,000 nodes: products with an adjacency of 10^10 entries that is never built."""

import resource
import sys

import torch

from gnnreloc.nn import CosineAdjacency


def all_pairs(x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """Weights (1 + cos) / 2 are linear in the cosines: P (P^T h), in time linear in N."""
    adjacency = CosineAdjacency(x.size(-1), 16, activation="shift", normalization="row")
    return adjacency.matmul(x, h, backend="lowrank")


def softmax_of_some(x: torch.Tensor, h: torch.Tensor, receivers: int) -> torch.Tensor:
    """Any other weights go block by block: N times receivers of work, in memory linear in N."""
    adjacency = CosineAdjacency(x.size(-1), 16, activation="softmax", temperature=0.1)
    return adjacency.matmul((x, x[:receivers]), h, backend="blocked")


def sparsity(x: torch.Tensor, rows: int) -> torch.Tensor:
    """Mean |A| without bias from some random rows; its gradient is unbiased as well."""
    adjacency = CosineAdjacency(x.size(-1), 16)
    return adjacency.matmul(x, x[:, :1], return_sparsity=True, sparsity_rows=rows)[1]


def main(num_nodes: int = 100_000, receivers: int = 2_000) -> None:
    """Forward and backward, and the memory that this process had at most."""
    torch.manual_seed(0)
    x, h = torch.randn(num_nodes, 32), torch.randn(num_nodes, 8)
    x.requires_grad_()
    for name, out in (
        ("all pairs", all_pairs(x, h)),
        (f"{receivers} receivers", softmax_of_some(x, h, receivers)),
        ("sparsity", sparsity(x, 100)),
    ):
        (grad,) = torch.autograd.grad(out.square().sum(), x)
        print(f"{name}: out {list(out.shape)}, gradient {list(grad.shape)}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    print(f"peak memory {peak / 1e9:.1f} GB; the matrix alone: {4 * num_nodes**2 / 1e9:.0f} GB")


if __name__ == "__main__":
    main()
