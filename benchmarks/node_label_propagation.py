"""Label propagation over a learned graph of all nodes, for data without a given graph.

Known labels spread along nearest neighbours. What they reach teaches
:class:`~gnnreloc.nn.CosineAdjacency` which nodes belong together, the labels spread anew along the
graph that it has learned, and so on for some rounds.
"""

from __future__ import annotations

import torch
from node_classifiers import Fitted, Problem, judge
from sklearn.neighbors import kneighbors_graph
from torch import Tensor, nn
from torch.nn import functional

from gnnreloc.nn import CosineAdjacency

#: The least probability whose logarithm is taken.
LEAST = 1e-4


def label_propagation(
    problem: Problem,
    *,
    neighbours: int,
    mix: float,
    temperature: float,
    rounds: int,
    teleport: float = 0.05,
    epochs: int = 30,
) -> Fitted:
    r"""Spread the labels of the training nodes, and learn the graph on the way.

    Labels spread first along :math:`\mathbf{A}_{near}`, whose rows have equal weights on the node
    and its mutual neighbours. In each round they then spread along

    .. math::
        \mathbf{A} = a \mathbf{A}_{near} + (1 - a) \, \mathrm{softmax} (\cos / \tau)

    where the second matrix is learned, over all other nodes. Validation nodes are not looked at.

    Args:
        problem: the data; a given graph in it is left aside.
        neighbours: number of the nearest among which two nodes must find each other.
        mix: share :math:`a` of the neighbours.
        temperature: where the learned temperature :math:`\tau` starts.
        rounds: with 0, labels spread along neighbours alone and nothing is learned.
        teleport: as for :func:`propagate`.
        epochs: of each round.
    """
    # About their mean, as cosines of features that are all positive differ little.
    x = problem.x.to_dense()
    x = x - x.mean(dim=0)
    near = torch.from_numpy(kneighbors_graph(x.numpy(), neighbours, metric="cosine").toarray())
    near = torch.minimum(near, near.t()).to(x) + torch.eye(len(x))
    near = near / near.sum(dim=1, keepdim=True)
    known = torch.zeros(len(x), problem.classes)
    known[problem.train, problem.labels[problem.train]] = 1.0

    found = propagate(near, known, teleport)
    for _ in range(rounds):
        learned = learn(x, harden(found, known), temperature=temperature, epochs=epochs)
        found = propagate(mix * near + (1 - mix) * learned, known, teleport)
    return judge(found.clamp(min=LEAST).log(), problem)


def learn(
    x: Tensor,
    target: Tensor,
    *,
    temperature: float,
    epochs: int,
    rate: float = 0.02,
    dropout: float = 0.2,
) -> Tensor:
    """Weights :math:`(N, N)` with which the other nodes tell the class of each.

    This is neighbourhood components analysis (Goldberger et al., NeurIPS 2004), with cosines in
    place of distances; the projection starts as the identity.

    Args:
        x: features :math:`(N, C)`.
        target: class of each node, :math:`(N, K)`, 0 for a node that has none.
        temperature: where the learned temperature starts.
        epochs: number of steps, each over all nodes.
        rate: of Adam.
        dropout: share of features to drop.
    """
    channels = x.size(1)
    adjacency = CosineAdjacency(
        channels,
        channels,
        temperature=temperature,
        learn_temperature=True,
        activation="softmax",
        support="cross",
        bias=False,
    )
    nn.init.eye_(adjacency.phi.weight)
    optimizer = torch.optim.Adam(adjacency.parameters(), lr=rate)
    each = torch.arange(len(x))  # a group of its own: nodes of other groups are all but itself
    for _ in range(epochs):
        optimizer.zero_grad()
        told = adjacency.matmul(functional.dropout(x, dropout), target, group=each)
        loss = -(target * told.clamp(min=LEAST).log()).sum(dim=1).mean()
        loss.backward()
        optimizer.step()
    return adjacency.dense(x.unsqueeze(0), group=each).squeeze(0).detach()


def propagate(adjacency: Tensor, known: Tensor, teleport: float, steps: int = 40) -> Tensor:
    """Spread labels (Zhou et al., NeurIPS 2003), and give classes the shares of the known ones.

    The last is the class mass normalisation of Zhu et al. (ICML 2003).

    Args:
        adjacency: weights :math:`(N, N)`; row i receives from column j.
        known: class of each node, :math:`(N, K)`, 0 where it is not known.
        teleport: share of the known labels in every step.
        steps: number of them.

    Returns:
        Probabilities :math:`(N, K)`, 0 for nodes that no label reaches.
    """
    h = known
    for _ in range(steps):
        h = (1 - teleport) * adjacency @ h + teleport * known
    tiny = torch.finfo(h.dtype).tiny
    h = h / h.sum(dim=0).clamp(min=tiny) * known.sum(dim=0)
    return h / h.sum(dim=1, keepdim=True).clamp(min=tiny)


def harden(found: Tensor, known: Tensor) -> Tensor:
    """The known class of each node, otherwise the likeliest, 0 for nodes that no label reaches."""
    likeliest = functional.one_hot(found.argmax(dim=1), found.size(1)).to(found)
    reached = found.sum(dim=1, keepdim=True) > 0
    return torch.where(known.sum(dim=1, keepdim=True) > 0, known, likeliest * reached)
