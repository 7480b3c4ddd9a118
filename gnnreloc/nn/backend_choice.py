"""Which back end a product of the learned adjacency is expected to be fastest with."""

from __future__ import annotations

from typing import NamedTuple

from gnnreloc.nn.edge_weighting import Weighting

#: Matrix entries (of all graphs and heads) up to which a matrix is free to write on a CPU, and up
#: to which passes over it are cheap.
CACHED = 1 << 21
CHEAP = 5 << 20
#: Matrix entries above which no matrix is built where it need not be: 0.5 GB, several times over.
TOO_LARGE = 1 << 27
#: What a call of an operator costs, in multiplications.
CALL = 12e6


class Size(NamedTuple):
    """Size of a product.

    Attributes:
        graphs: Number of graphs times number of heads.
        rows: Number of receiving nodes of each.
        columns: Number of sending nodes of each.
        channels: Width of the directions.
        values: Width of the values.
    """

    graphs: int
    rows: int
    columns: int
    channels: int
    values: int


def choose_backend(
    size: Size,
    weighting: Weighting,
    *,
    linear: bool,
    bipartite: bool,
    training: bool,
    sparsity: bool = False,
) -> str:
    """Choose by a count of multiplications and of passes over the matrix.

    The weights of the counts are rough, in units of one multiplication and addition of a large
    matrix product on a CPU; ``benchmarks/adjacency.py`` says how far the choice is from the best
    back end. On a GPU they are a guess.

    Args:
        size: Size of the product.
        weighting: How cosines become weights.
        linear: Whether ``"lowrank"`` gives the product.
        bipartite: Whether rows and columns are different nodes.
        training: Whether gradients will be taken.
        sparsity: Whether the sum of absolute weights is needed.
    """
    costs = {"blocked": _blocked(size, weighting, bipartite, training, sparsity)}
    if size.graphs * size.rows * size.columns <= TOO_LARGE:
        costs["dense"] = _dense(size, weighting, training, sparsity)
    if linear:
        costs["lowrank"] = _lowrank(size, training)
    chosen = "blocked"
    for name, cost in costs.items():  # min() does not take sizes that a compiler leaves open
        chosen = name if cost < costs[chosen] else chosen
    return chosen


def _passes(weighting: Weighting) -> int:
    """Number of passes that mark entries."""
    return (weighting.support != "all") + (weighting.threshold is not None)


def _dense(size: Size, weighting: Weighting, training: bool, sparsity: bool) -> float:
    entries = size.graphs * size.rows * size.columns
    cheap = entries <= CHEAP
    steps = 3 if training else 1
    passes = _passes(weighting) + weighting.add_self_loops + sparsity
    passes += weighting.activation != "none"
    if weighting.normalization != "none":
        passes += (2 if cheap else 5) + (weighting.activation == "none")
    search = 0 if weighting.top_k is None else 700
    per_pass = steps * (25 if cheap else 75)
    written = 0 if entries <= CACHED else 60
    products = steps * (size.channels + size.values)
    return entries * (products + per_pass * passes + search + written)


def _blocked(
    size: Size, weighting: Weighting, bipartite: bool, training: bool, sparsity: bool
) -> float:
    entries = size.graphs * size.rows * size.columns
    if weighting.top_k is not None:
        chosen = size.graphs * size.rows * min(weighting.top_k, size.columns)
        gathered = chosen * (size.channels + size.values) * (165 if training else 35)
        return entries * (size.channels + 250) + gathered + CALL * size.graphs
    products = (size.channels + size.values) * (3.5 if training else 1)
    sweeps = 1
    if weighting.normalization == "sym":
        sweeps += 2 if bipartite else 1
        products += (sweeps - 1) * (size.channels + 64) * (4 if training else 1)
    passes = 1 + (weighting.activation == "softmax") + _passes(weighting)
    if weighting.activation in ("none", "shift") and (
        sparsity or weighting.normalization != "none"
    ):
        passes += 2  # absolute weights, and their signs
    if weighting.add_self_loops and size.columns <= 2048:
        passes += 3  # a diagonal that runs through every tile, or every other
    return entries * (products + (50 if training else 25) * passes) + CALL * sweeps * (
        2 if training else 1
    )


def _lowrank(size: Size, training: bool) -> float:
    products = (size.rows + size.columns) * size.channels * size.values
    return size.graphs * products * (3.6 if training else 1.2) + CALL / 2
