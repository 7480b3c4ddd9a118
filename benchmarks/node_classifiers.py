"""The classifiers that ``node_classification.py`` compares; all learn from a few labelled nodes.

One of them is built on :class:`~gnnreloc.nn.CosineAdjacency`, and so is the one of
``node_label_propagation.py``. The others are the usual ones: logistic regression, a perceptron, and
the graph convolutional network of Kipf and Welling (2017) on a given graph or nearest neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import kneighbors_graph
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import APPNP, SimpleConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import to_undirected

from gnnreloc.nn import CosineAdjacency

#: Epochs between two looks at the validation nodes.
EVERY = 4

Options = Mapping[str, Any]


class Problem(NamedTuple):
    """What a classifier sees: there is no label in it but those of training and validation nodes.

    Attributes:
        x: features :math:`(N, C)`, sparse and coalesced.
        labels: class of each node :math:`(N)`, -1 where it is hidden.
        train: numbers of the nodes to learn from.
        validation: numbers of the nodes to stop and choose by.
        classes: number of classes.
        edge_index: the given graph :math:`(2, E)`, undirected, or None.
    """

    x: Tensor
    labels: Tensor
    train: Tensor
    validation: Tensor
    classes: int
    edge_index: Tensor | None = None


class Fitted(NamedTuple):
    """Predicted class of every node, and accuracy and cross-entropy on the validation nodes."""

    predicted: Tensor
    accuracy: float
    loss: float


class FeatureLayer(nn.Linear):
    """Linear layer of sparse features, with dropout of entries and of whole nodes before it.

    Args:
        in_channels: size of each node.
        out_channels: size of each output.
        dropout: share of entries to drop in training.
        node_dropout: share of nodes to drop in training, as in GRAND (Feng et al. 2020).
    """

    def __init__(
        self, in_channels: int, out_channels: int, dropout: float, node_dropout: float = 0.0
    ) -> None:
        super().__init__(in_channels, out_channels)
        self.dropout = dropout
        self.node_dropout = node_dropout

    def forward(self, x: Tensor) -> Tensor:
        index, value = x.indices(), x.values()
        if self.training and self.node_dropout > 0:
            nodes = functional.dropout(torch.ones(x.size(0)), self.node_dropout)
            value = value * nodes[index[0]]
        value = functional.dropout(value, self.dropout, self.training)
        kept = torch.sparse_coo_tensor(
            index, value, x.shape, is_coalesced=True, check_invariants=False
        )
        return torch.sparse.mm(kept, self.weight.t()) + self.bias


class MultilayerPerceptron(nn.Module):
    """Two layers that look at each node by itself; a graph makes no difference."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        hidden: int = 64,
        dropout: float = 0.5,
        node_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.first = FeatureLayer(in_channels, hidden, dropout, node_dropout)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(hidden, classes)

    def forward(
        self, x: Tensor, edge_index: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        return self.second(self.dropout(self.first(x).relu()))


class GraphConvolutionalNetwork(nn.Module):
    """Two graph convolutions, as in Kipf and Welling (2017)."""

    def __init__(
        self, in_channels: int, classes: int, *, hidden: int = 16, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.first = FeatureLayer(in_channels, hidden, dropout)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(hidden, classes)
        self.propagate = SimpleConv(aggr="sum")

    def forward(self, x: Tensor, edge_index: Tensor, weight: Tensor) -> Tensor:
        h = self.propagate(self.first(x), edge_index, weight).relu()
        return self.propagate(self.second(self.dropout(h)), edge_index, weight)


class LearnedPropagation(nn.Module):
    r"""Predictions of a perceptron that are passed on along edges with learned weights.

    The propagation is APPNP (Gasteiger et al. 2019) with

    .. math::
        \mathbf{A} = a \mathbf{A}_{given} + (1 - a) \, \mathrm{softmax} (\cos / \tau)

    on the edges of the given graph, in place of its fixed weights.

    Args:
        in_channels: size of each node.
        classes: number of classes.
        compare: what the learned weights compare, ``"features"`` (projected by a learned
            :math:`\phi`) or ``"predictions"``, as they are after a first pass along the given
            weights; an edge between nodes of different classes then fades.
        mix: share :math:`a` of the given weights; with 1 nothing is learned about edges.
        temperature: where the learned temperature :math:`\tau` starts.
        hidden: width of the perceptron, None for a linear one.
        steps: of the propagation.
        teleport: share of the node's own prediction in every step.
        dropout: as for :class:`FeatureLayer`.
        node_dropout: as for :class:`FeatureLayer`.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        compare: str,
        mix: float,
        temperature: float,
        hidden: int | None = None,
        steps: int = 10,
        teleport: float = 0.1,
        dropout: float = 0.5,
        node_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.predict: nn.Module = (
            FeatureLayer(in_channels, classes, dropout, node_dropout)
            if hidden is None
            else MultilayerPerceptron(
                in_channels, classes, hidden=hidden, dropout=dropout, node_dropout=node_dropout
            )
        )
        sizes = {"features": (in_channels, 32), "predictions": (classes, None)}
        self.adjacency = CosineAdjacency(
            *sizes[compare],
            temperature=temperature,
            learn_temperature=True,
            activation="softmax",
        )
        self.propagate = APPNP(steps, teleport, normalize=False)
        self.compare = compare
        self.mix = mix

    def forward(self, x: Tensor, edge_index: Tensor, weight: Tensor) -> Tensor:
        logits = self.predict(x)
        if self.mix == 1:
            return self.propagate(logits, edge_index, weight)
        if self.compare == "features":
            nodes = x.to_dense()
        else:
            nodes = self.propagate(logits, edge_index, weight).softmax(dim=-1)
        _, learned = self.adjacency(nodes, edge_index)
        mixed = self.mix * weight + (1 - self.mix) * learned
        return self.propagate(logits, edge_index, mixed)


def weighted_graph(problem: Problem, neighbours: int | None) -> tuple[Tensor, Tensor]:
    """Edges with self-loops and the weights of a graph convolutional network.

    Args:
        problem: its given graph is taken where `neighbours` is None.
        neighbours: connect each node with so many others, the nearest by the cosine of features.
    """
    edge_index = problem.edge_index
    if neighbours is not None:
        x = problem.x.to_dense().numpy()
        near = kneighbors_graph(x, neighbours, metric="cosine").tocoo()
        edge_index = to_undirected(torch.from_numpy(np.stack([near.col, near.row])).long())
    found: tuple[Tensor, Tensor] = gcn_norm(edge_index, num_nodes=problem.x.size(0))
    return found


def inconsistency(probabilities: list[Tensor], sharpness: float) -> Tensor:
    """How far predictions under different dropout lie from their sharpened mean (Feng et al. 2020).

    Args:
        probabilities: of several passes, each :math:`(N, K)`.
        sharpness: power that is taken of the mean.

    Examples:
        >>> inconsistency([torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])], 2.0)
        tensor(0.5000)
    """
    passes = torch.stack(probabilities)
    target = passes.mean(dim=0) ** sharpness
    target = (target / target.sum(dim=-1, keepdim=True)).detach()
    return (passes - target).square().sum(dim=-1).mean()


def train(
    model: nn.Module,
    problem: Problem,
    graph: tuple[Tensor, Tensor] | tuple[()] = (),
    *,
    epochs: int = 200,
    patience: int = 80,
    rate: float = 0.01,
    weight_decay: float = 5e-4,
    consistency: float = 0.0,
    sharpness: float = 2.0,
    ramp: int = 100,
) -> Fitted:
    """Train on the training nodes, and keep the epoch with the least loss on validation nodes.

    Args:
        model: gives logits from the features and the graph.
        problem: the data.
        graph: edges and their weights, nothing for a model without a graph.
        epochs: the most to train.
        patience: epochs without a lower validation loss after which training ends.
        rate: of Adam.
        weight_decay: of Adam.
        consistency: weight of :func:`inconsistency` of two passes, over all nodes; 0 for one pass.
        sharpness: as for :func:`inconsistency`.
        ramp: epochs over which the weight of the consistency grows from 0.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=weight_decay)
    best, waited = None, 0
    for epoch in range(epochs):
        model.train()
        optimizer.zero_grad()
        passes = [
            model(problem.x, *graph).log_softmax(dim=-1) for _ in range(2 if consistency else 1)
        ]
        known = problem.labels[problem.train]
        losses = [functional.nll_loss(found[problem.train], known) for found in passes]
        loss = torch.stack(losses).mean()
        if consistency:
            share = consistency * min(1.0, epoch / ramp)
            loss = loss + share * inconsistency([found.exp() for found in passes], sharpness)
        loss.backward()
        optimizer.step()
        if epoch % EVERY:
            continue
        model.eval()
        with torch.no_grad():
            fitted = judge(model(problem.x, *graph).log_softmax(dim=-1), problem)
        waited += EVERY
        if best is None or fitted.loss < best.loss:
            best, waited = fitted, 0
        if waited >= patience:
            break
    if best is None:
        raise ValueError(f"'epochs' must be positive (got {epochs})")
    return best


def judge(log_probability: Tensor, problem: Problem) -> Fitted:
    """Predictions with their accuracy and cross-entropy on the validation nodes."""
    predicted = log_probability.argmax(dim=-1)
    known = problem.labels[problem.validation]
    accuracy = (predicted[problem.validation] == known).float().mean().item()
    loss = functional.nll_loss(log_probability[problem.validation], known).item()
    return Fitted(predicted, accuracy, loss)


def logistic_regression(problem: Problem, *, inverse_penalty: float) -> Fitted:
    """Logistic regression on the features alone."""
    x = problem.x.to_dense().double().numpy()
    model = LogisticRegression(C=inverse_penalty, max_iter=5000)
    model.fit(x[problem.train], problem.labels[problem.train].numpy())
    # A class without a training node has no column.
    found = torch.full((x.shape[0], problem.classes), -torch.inf)
    found[:, model.classes_] = torch.from_numpy(model.predict_log_proba(x)).float()
    return judge(found.clamp(min=-100.0), problem)


def perceptron(problem: Problem, *, hidden: int, **training: Any) -> Fitted:
    """A multilayer perceptron on the features alone."""
    model = MultilayerPerceptron(problem.x.size(1), problem.classes, hidden=hidden)
    return train(model, problem, **training)


def graph_convolution(
    problem: Problem, *, neighbours: int | None = None, hidden: int = 16, **training: Any
) -> Fitted:
    """A graph convolutional network on the given graph, or on the nearest neighbours."""
    model = GraphConvolutionalNetwork(problem.x.size(1), problem.classes, hidden=hidden)
    return train(model, problem, weighted_graph(problem, neighbours), **training)


def learned_propagation(
    problem: Problem, *, model: Options, neighbours: int | None = None, **training: Any
) -> Fitted:
    """Ours: the given graph, or the nearest neighbours, with learned weights in its edges."""
    network = LearnedPropagation(problem.x.size(1), problem.classes, **model)
    return train(network, problem, weighted_graph(problem, neighbours), **training)
