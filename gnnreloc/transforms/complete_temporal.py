"""Complete graph over the timesteps of a query and of a proposal."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from gnnreloc.transforms.khop_temporal import (
    khop_adjacency,
    khop_edges,
    pair_timesteps,
    set_edges,
)

SUPPORTS = ("all", "cross", "intra")


class CompleteTemporal(BaseTransform):
    r"""Join every timestep of query and proposal with every other, and with itself.

    It is the limit of :class:`KHopTemporal` for :math:`k \ge T` with full edges inside the
    clips, and shares its builder. Nodes :math:`0 \ldots T-1` are the query, :math:`T \ldots 2T-1`
    the proposal.

    The edges depend on :math:`T` and the options alone: they are built once and shared by all
    graphs, so do not change them in place.

    Args:
        support: ``"all"`` pairs, ``"cross"`` for those of one query and one proposal timestep
            (no self-loops) or ``"intra"`` for those inside a clip.
        normalization: ``"none"`` (all weights 1), ``"row"`` (divide by the number of edges into
            the target) or ``"sym"`` (:math:`\mathbf{D}^{-1/2} \mathbf{A} \mathbf{D}^{-1/2}`).

    Raises:
        ValueError: If an option is unknown.
    """

    def __init__(self, *, support: str = "all", normalization: str = "row") -> None:
        complete_adjacency(1, support=support, normalization=normalization)
        self.support = support
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
        edge_index, edge_weight = complete_edges(
            pair_timesteps(data), support=self.support, normalization=self.normalization
        )
        return set_edges(data, edge_index, edge_weight)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(support={self.support})"


def complete_adjacency(
    timesteps: int, *, support: str = "all", normalization: str = "row"
) -> Tensor:
    """Build the adjacency matrix of :class:`CompleteTemporal`.

    Args:
        timesteps: Number T of timesteps of each clip.
        support: As in :class:`CompleteTemporal`.
        normalization: As in :class:`CompleteTemporal`.

    Returns:
        Weights, row `i` receives from column `j`, float32, shape (2T, 2T). Every call with the
        same arguments returns the same tensor: do not change it in place.

    Raises:
        ValueError: If an option is unknown or `timesteps` is less than 1.

    Examples:
        >>> complete_adjacency(1, support="cross")
        tensor([[0., 1.],
                [1., 0.]])
    """
    cross, intra = _blocks(support)
    return khop_adjacency(
        timesteps,
        max(timesteps, 1),
        cross=cross,
        intra=intra,
        self_loops=False,
        normalization=normalization,
    )


def complete_edges(
    timesteps: int, *, support: str = "all", normalization: str = "row"
) -> tuple[Tensor, Tensor]:
    """Build the edges of :class:`CompleteTemporal`: the entries of :func:`complete_adjacency`.

    Args:
        timesteps: Number T of timesteps of each clip.
        support: As in :class:`CompleteTemporal`.
        normalization: As in :class:`CompleteTemporal`.

    Returns:
        Edge index (2, E), sorted by target, then source, and edge weights (E). Every call with
        the same arguments returns the same tensors: do not change them in place.

    Raises:
        ValueError: If an option is unknown or `timesteps` is less than 1.
    """
    cross, intra = _blocks(support)
    return khop_edges(
        timesteps,
        max(timesteps, 1),
        cross=cross,
        intra=intra,
        self_loops=False,
        normalization=normalization,
    )


def _blocks(support: str) -> tuple[bool, str]:
    """Whether clips are joined with each other, and how each is joined inside."""
    if support not in SUPPORTS:
        raise ValueError(f"'support' must be one of {', '.join(SUPPORTS)} (got '{support}')")
    return support != "intra", "none" if support == "cross" else "full"
