"""Fixed temporal graph between the timesteps of a query and of a proposal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

OFFSETS = ("upto", "exact", "upto_inclusive", "exact_inclusive")
INTRA = ("none", "chain", "full")
NORMALIZATIONS = ("none", "row", "sym")


class KHopTemporal(BaseTransform):
    r"""Join the timesteps of query and proposal that lie close to each other in time.

    Our reading of the fixed graphs in Zhou et al., "Graph Neural Network for Video
    Relocalization" (2020), whose exact matrices are not public: graph :math:`k` joins timestep
    :math:`a` of the query with timestep :math:`b` of the proposal where

    .. math::
        |a - b| \le k - 1,

    in both directions, with self-loops and rows that sum to one. The options state the other
    readings. Nodes :math:`0 \ldots T-1` are the query, :math:`T \ldots 2T-1` the proposal.

    The edges depend on :math:`T` and the options alone: they are built once and shared by all
    graphs, so do not change them in place.

    Args:
        k: Number of the graph, at least 1; or several numbers, whose graphs are laid over each
            other: the edges are those of any, and the weights get one column for each, 0 where
            the edge is not in that graph.
        offsets: Which :math:`|a - b|` are joined: ``"upto"`` (at most :math:`k-1`), ``"exact"``
            (:math:`k-1`), ``"upto_inclusive"`` (at most :math:`k`) or ``"exact_inclusive"``
            (:math:`k`).
        cross: Join query and proposal at all.
        intra: Edges inside each clip: ``"none"``, ``"chain"`` (neighbouring timesteps) or
            ``"full"`` (all pairs of timesteps, self-loops included).
        self_loops: Join each node with itself.
        normalization: ``"none"`` (all weights 1), ``"row"`` (divide by the number of edges into
            the target) or ``"sym"`` (:math:`\mathbf{D}^{-1/2} \mathbf{A} \mathbf{D}^{-1/2}`).

    Raises:
        ValueError: If an option is unknown or `k` is less than 1.
    """

    def __init__(
        self,
        k: int | Sequence[int],
        *,
        offsets: str = "upto",
        cross: bool = True,
        intra: str = "none",
        self_loops: bool = True,
        normalization: str = "row",
    ) -> None:
        self.k = k if isinstance(k, int) else tuple(k)
        for number in (k,) if isinstance(k, int) else k:
            _check_options(number, offsets, intra, normalization)
        self.offsets = offsets
        self.cross = cross
        self.intra = intra
        self.self_loops = self_loops
        self.normalization = normalization

    def forward(self, data: Data) -> Data:
        """Set ``edge_index`` and ``edge_weight``.

        Args:
            data: Pair graph with an even number of nodes.

        Returns:
            The graph with the edges, everything else as it was.

        Raises:
            ValueError: If the number of nodes is odd, 0 or unknown.
        """
        edge_index, edge_weight = khop_edges(
            pair_timesteps(data),
            self.k,
            offsets=self.offsets,
            cross=self.cross,
            intra=self.intra,
            self_loops=self.self_loops,
            normalization=self.normalization,
        )
        return set_edges(data, edge_index, edge_weight)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(k={self.k}, offsets={self.offsets}, intra={self.intra})"


@lru_cache(maxsize=128)
def khop_adjacency(
    timesteps: int,
    k: int,
    *,
    offsets: str = "upto",
    cross: bool = True,
    intra: str = "none",
    self_loops: bool = True,
    normalization: str = "row",
) -> Tensor:
    """Build the adjacency matrix of :class:`KHopTemporal`.

    Args:
        timesteps: Number T of timesteps of each clip.
        k: Number of the graph, at least 1.
        offsets: As in :class:`KHopTemporal`.
        cross: As in :class:`KHopTemporal`.
        intra: As in :class:`KHopTemporal`.
        self_loops: As in :class:`KHopTemporal`.
        normalization: As in :class:`KHopTemporal`.

    Returns:
        Weights, row `i` receives from column `j`, float32, shape (2T, 2T). Every call with the
        same arguments returns the same tensor: do not change it in place.

    Raises:
        ValueError: If an option is unknown, or `timesteps` or `k` is less than 1.

    Examples:
        >>> khop_adjacency(2, 1)
        tensor([[0.5000, 0.0000, 0.5000, 0.0000],
                [0.0000, 0.5000, 0.0000, 0.5000],
                [0.5000, 0.0000, 0.5000, 0.0000],
                [0.0000, 0.5000, 0.0000, 0.5000]])
    """
    _check_options(k, offsets, intra, normalization)
    if timesteps < 1:
        raise ValueError(f"A clip has at least 1 timestep (got {timesteps})")
    step = torch.arange(timesteps)
    distance = (step.unsqueeze(-1) - step).abs()

    reach = k if offsets.endswith("inclusive") else k - 1
    joined = distance == reach if offsets.startswith("exact") else distance <= reach
    between = joined if cross else torch.zeros_like(joined)
    within = {"none": distance < 0, "chain": distance == 1, "full": distance >= 0}[intra]
    if self_loops:
        within = within | (distance == 0)
    top = torch.cat([within, between], dim=1)
    bottom = torch.cat([between, within], dim=1)
    return _normalize(torch.cat([top, bottom]).float(), normalization)


@lru_cache(maxsize=128)
def khop_edges(
    timesteps: int,
    k: int | tuple[int, ...],
    *,
    offsets: str = "upto",
    cross: bool = True,
    intra: str = "none",
    self_loops: bool = True,
    normalization: str = "row",
) -> tuple[Tensor, Tensor]:
    """Build the edges of :class:`KHopTemporal`: the entries of :func:`khop_adjacency`.

    Args:
        timesteps: Number T of timesteps of each clip.
        k: Number of the graph, at least 1, or several numbers.
        offsets: As in :class:`KHopTemporal`.
        cross: As in :class:`KHopTemporal`.
        intra: As in :class:`KHopTemporal`.
        self_loops: As in :class:`KHopTemporal`.
        normalization: As in :class:`KHopTemporal`.

    Returns:
        Edge index (2, E), sorted by target, then source, and edge weights (E), or (E, K) for K
        numbers. Every call with the same arguments returns the same tensors: do not change them in
        place.

    Raises:
        ValueError: If an option is unknown, or `timesteps` or `k` is less than 1.
    """
    numbers = (k,) if isinstance(k, int) else k
    matrices = [
        khop_adjacency(
            timesteps,
            number,
            offsets=offsets,
            cross=cross,
            intra=intra,
            self_loops=self_loops,
            normalization=normalization,
        )
        for number in numbers
    ]
    target, source = torch.stack(matrices).any(dim=0).nonzero(as_tuple=True)
    weights = torch.stack([matrix[target, source] for matrix in matrices], dim=1)
    return torch.stack([source, target]), weights.squeeze(1) if isinstance(k, int) else weights


def pair_timesteps(data: Data) -> int:
    """Read the number T of timesteps of each clip from a pair graph of 2T nodes.

    Args:
        data: Pair graph.

    Raises:
        ValueError: If the number of nodes is odd, 0 or unknown.
    """
    num_nodes: int | None = data.num_nodes
    if not num_nodes or num_nodes % 2 != 0:
        raise ValueError(
            f"A pair graph has as many query as proposal nodes, at least one of each "
            f"(got {num_nodes} nodes)"
        )
    return num_nodes // 2


def set_edges(data: Data, edge_index: Tensor, edge_weight: Tensor) -> Data:
    """Put edges into a graph, on the device of its nodes.

    Args:
        data: Graph to change.
        edge_index: Edges (2, E).
        edge_weight: Edge weights (E).

    Returns:
        The same graph.
    """
    device = edge_index.device if data.x is None else data.x.device
    data.edge_index = edge_index.to(device)
    data.edge_weight = edge_weight.to(device)
    return data


def _normalize(adjacency: Tensor, normalization: str) -> Tensor:
    degree = adjacency.sum(dim=1).clamp(min=1)
    if normalization == "row":
        return adjacency / degree.unsqueeze(-1)
    if normalization == "sym":
        root = degree.rsqrt()
        return adjacency * root.unsqueeze(-1) * root
    return adjacency


def _check_options(k: int, offsets: str, intra: str, normalization: str) -> None:
    if k < 1:
        raise ValueError(f"'k' must be at least 1 (got {k})")
    for name, value, choices in (
        ("offsets", offsets, OFFSETS),
        ("intra", intra, INTRA),
        ("normalization", normalization, NORMALIZATIONS),
    ):
        if value not in choices:
            raise ValueError(f"'{name}' must be one of {', '.join(choices)} (got '{value}')")
