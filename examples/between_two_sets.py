"""A bipartite graph: readers receive from a memory of other nodes, as in cross-attention."""

import torch

from gnnreloc.nn import CosineAdjacency


def main(num_memories: int = 200, num_readers: int = 50) -> None:
    """Readers that are noisy copies of a memory find its value."""
    torch.manual_seed(0)
    memory, values = torch.randn(num_memories, 16), torch.eye(num_memories)
    original = torch.randint(num_memories, (num_readers,))
    readers = memory[original] + 0.2 * torch.randn(num_readers, 16)

    adjacency = CosineAdjacency(16, activation="softmax", top_k=3, temperature=0.05)
    received = adjacency.matmul((memory, readers), values)  # (sending, receiving) nodes
    edge_index, weight = adjacency((memory, readers))  # the same weights, as edges

    right = (received.argmax(dim=-1) == original).float().mean()
    print(f"{num_readers} readers, {num_memories} memories: original found by {right:.0%}")
    difference = (weight.view(num_readers, num_memories) - received).abs().max()
    print(f"{edge_index.size(1)} edges, largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
