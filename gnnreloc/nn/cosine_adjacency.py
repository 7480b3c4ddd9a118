"""Adjacency matrix learned as the cosine similarity of projected nodes."""

from __future__ import annotations

import torch
from torch import Tensor

from gnnreloc.nn.adjacency_input import check_nodes, check_product, without_padding
from gnnreloc.nn.adjacency_product import (
    ProductOptions,
    adjacency_matrix,
    batch_product,
    count_pairs,
    foreseen_backend,
    matrix_product,
    ragged_product,
)
from gnnreloc.nn.adjacency_rows import EdgeRows
from gnnreloc.nn.backend_choice import Size
from gnnreloc.nn.block_edges import block_edges, graph_sizes
from gnnreloc.nn.edge_product import edge_product, edge_product_of_batch
from gnnreloc.nn.edge_support import Pair, as_pair, edge_support
from gnnreloc.nn.edge_weighting import Weighting, check_weighting, weigh
from gnnreloc.nn.projected_cosine import ProjectedCosine


class CosineAdjacency(ProjectedCosine):
    r"""Edge weights learned as the cosine similarity of projected nodes.

    This is the dynamic adjacency matrix of Zhou et al., "Dynamic Adjacency Matrix for Video
    Relocalization" (2022),

    .. math::
        \mathbf{A} = \mathbf{P} \mathbf{P}^{\top} / \tau, \qquad
        \mathbf{p}_i = \frac{\phi(\mathbf{h}_i)}{\| \phi(\mathbf{h}_i) \|}, \qquad
        \phi(\mathbf{h}) = \mathbf{W}_{\phi} \mathbf{h} + \mathbf{b}_{\phi}

    or, for one edge that leads from node :math:`j` to node :math:`i`,

    .. math::
        A_{ij} = \cos \left( \phi(\mathbf{h}_i), \phi(\mathbf{h}_j) \right) / \tau .

    The published layer is the default; every option goes beyond the paper. They apply in this
    order: temperature, activation, support, top-k and threshold, self-loops, normalisation. With
    the softmax, top-k, threshold and self-loops choose the entries that take part in it, so that
    rows still sum to one.

    Row :math:`i` receives from column :math:`j`, so ``adjacency @ x`` is the right product, and
    layers such as :class:`torch_geometric.nn.DenseGraphConv` take the matrix as it is.
    :func:`torch_geometric.utils.to_dense_adj` has it the other way round, ``[source, target]``:
    take the transpose wherever its layout is expected.

    .. warning::
        With ``activation="none"`` weights may be negative. Layers that take the root of a degree,
        such as :class:`torch_geometric.nn.GCNConv`, then return NaN.

    Cosines are computed in float32 where the nodes are in half precision, and returned in the
    type of the nodes (:meth:`matmul` of bfloat16 values on a GPU is the exception). A node whose
    projection is shorter than `eps` has no direction: its cosines are exactly 0 and send no
    gradient.

    Args:
        in_channels: Size of each node.
        out_channels: Size of each projected node (for each head). None leaves :math:`\phi` out;
            the heads then share the input channels among them.
        heads: Number of adjacency matrices.
        temperature: Divisor :math:`\tau > 0` of the cosines.
        learn_temperature: Train the logarithm of the temperature.
        activation: ``"none"``, ``"relu"``, ``"shift"`` for :math:`(1 + \cos / \tau) / 2`, or
            ``"softmax"`` over each row.
        normalization: ``"none"``, ``"row"`` (divide by the row's sum of absolute weights) or
            ``"sym"`` (:math:`\mathbf{D}^{-1/2} \mathbf{A} \mathbf{D}^{-1/2}` with these sums; in
            a bipartite graph with the sums of rows and of columns). A row without weights stays
            0. The softmax allows ``"none"`` only.
        top_k: Keep the largest entries of each row. Of equal entries the lowest column wins.
        threshold: Drop entries below it.
        add_self_loops: Set the diagonal to 1, whatever the options above made of it; with the
            softmax keep the diagonal in the row. A given `edge_index` stays as it is, so only
            the self-loops in it count.
        support: ``"all"`` pairs of nodes, ``"cross"`` for pairs of different groups (query and
            proposal) or ``"intra"`` for pairs of the same group.
        bias: Give :math:`\phi` a bias.
        eps: Length below which a projection, and sum below which a row, counts as 0.

    Raises:
        ValueError: If an option is unknown, out of range or does not go with another.

    Shapes:
        - **edge-wise:** nodes :math:`(N, C)` or :math:`((N_{src}, C), (N_{dst}, C))`; edge index
          :math:`(2, E)`; weights :math:`(E)`, or :math:`(E, H)` with several heads.
        - **dense:** nodes :math:`(B, N, C)` or :math:`((B, N_{src}, C), (B, N_{dst}, C))`;
          adjacency :math:`(B, N_{dst}, N_{src})`, or :math:`(B, H, N_{dst}, N_{src})`.

    Examples:
        >>> layer = CosineAdjacency(2, None)
        >>> layer.dense(torch.tensor([[[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]]))
        tensor([[[1., 0., 1.],
                 [0., 1., 0.],
                 [1., 0., 1.]]])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        *,
        heads: int = 1,
        temperature: float = 1.0,
        learn_temperature: bool = False,
        activation: str = "none",
        normalization: str = "none",
        top_k: int | None = None,
        threshold: float | None = None,
        add_self_loops: bool = False,
        support: str = "all",
        bias: bool = True,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            heads=heads,
            temperature=temperature,
            learn_temperature=learn_temperature,
            bias=bias,
            eps=eps,
        )
        self.activation = activation
        self.normalization = normalization
        self.top_k = top_k
        self.threshold = threshold
        self.add_self_loops = add_self_loops
        self.support = support
        check_weighting(self.weighting)

    @property
    def weighting(self) -> Weighting:
        """How cosines become weights."""
        return Weighting(*(getattr(self, name) for name in Weighting._fields))

    def forward(
        self,
        x: Tensor | Pair,
        edge_index: Tensor | None = None,
        batch: Tensor | Pair | None = None,
        *,
        batch_size: int | None = None,
        group: Tensor | Pair | None = None,
    ) -> Pair:
        """Weigh the edges of a graph.

        Without an `edge_index`, every pair of nodes inside each graph of the batch becomes an
        edge, in row-major order of the adjacency matrix (sorted by target, then source); pairs
        outside the support are left out. One graph (neither `batch` nor `batch_size`) and graphs
        of one size (`batch_size` alone) need no host synchronisation; sizes that are read from
        `batch`, and a support other than ``"all"``, take one each.

        Args:
            x: Nodes, or sending and receiving nodes.
            edge_index: Edges to weigh, of any support. They come back unchanged, those outside
                the support with weight 0.
            batch: Sorted graph number of each node, :math:`(N)`, or a pair of these.
            batch_size: Number of graphs. Without `batch`, all have the same number of nodes.
            group: Group of each node, such as ``is_query``, :math:`(N)`, or a pair of these.
                Needed unless the support is ``"all"``.

        Returns:
            The edge index and the weights of its edges.

        Raises:
            ValueError: If the nodes are no matrix, `group` is needed and missing, or the graphs do
                not fit `batch` or `batch_size`.
        """
        bipartite = self._check_bipartite(x)
        x_src, x_dst = as_pair(x)
        if x_src.dim() != 2 or x_dst.dim() != 2:
            raise ValueError(f"Expected nodes of shape [N, C] (got {list(x_src.shape)})")
        check_nodes((x_src, x_dst), None, group)
        if edge_index is None:
            sizes = graph_sizes((x_src.size(0), x_dst.size(0)), batch, batch_size)
            edge_index = block_edges(*sizes, device=x_src.device)
            keep = edge_support(self.support, edge_index, group)
            if keep is not None:
                keep = keep | (edge_index[0] == edge_index[1]) if self.add_self_loops else keep
                edge_index = edge_index[:, keep]
        cosines = self._cosine
        directions = cosines.directions(*self._project_all(x))
        # edge_updater_type: (unit: OptPairTensor)
        cosine: Tensor = self.edge_updater(edge_index, unit=directions)

        source, target = edge_index[0], edge_index[1]
        rows = EdgeRows(source, target, x_src.size(0), x_dst.size(0), bipartite)
        allowed = edge_support(self.support, edge_index, group)
        allowed = None if allowed is None else allowed.unsqueeze(-1)
        loops = (source == target).unsqueeze(-1) if self.add_self_loops else None
        score = cosines.scale(cosine)
        weight = weigh(score, rows, self.weighting, allowed, loops).to(x_src.dtype)
        return edge_index, weight.squeeze(-1) if self.heads == 1 else weight

    def edge_update(self, unit_i: Tensor, unit_j: Tensor) -> Tensor:
        """Cosine of each edge and head, from unit vectors."""
        return (unit_i * unit_j).sum(dim=-1)

    def dense(
        self,
        x: Tensor | Pair,
        mask: Tensor | Pair | None = None,
        group: Tensor | Pair | None = None,
    ) -> Tensor:
        r"""Adjacency matrices of a batch of graphs.

        Args:
            x: Nodes :math:`(B, N, C)`, or sending and receiving nodes.
            mask: True for nodes, False for padding, :math:`(B, N)`, or a pair of these. Rows and
                columns of padding are exactly 0.
            group: Group of each node, :math:`(N)` or :math:`(B, N)`, or a pair of these. Needed
                unless the support is ``"all"``.

        Returns:
            The adjacency matrices; row :math:`i` receives from column :math:`j`.

        Raises:
            ValueError: If `group` is needed and missing, or `x` has not three dimensions.
        """
        x_src, x_dst = as_pair(x)
        if x_src.dim() != 3:
            raise ValueError(f"Expected nodes of shape [B, N, C] (got {list(x_src.shape)})")
        check_nodes((x_src, x_dst), mask, group)
        weight = self._matrix(x, mask, group).to(x_src.dtype)
        return weight.squeeze(1) if self.heads == 1 else weight

    def both_ways(self, x: Pair) -> Pair:
        """Adjacency matrices of a bipartite graph in both directions, at the price of one.

        The same as :meth:`dense` of the pair and of the pair turned round. With a softmax, top-k
        or row sums they are no transposes of each other, as each looks at its own rows alone.

        Args:
            x: Nodes :math:`(B, N_1, C)` and :math:`(B, N_2, C)`, the two groups of the support.

        Returns:
            What the second nodes receive from the first, :math:`(B, N_2, N_1)`, and the first from
            the second, :math:`(B, N_1, N_2)`; with several heads as for :meth:`dense`.

        Raises:
            ValueError: If self-loops are added, the support is ``"intra"``, which joins no nodes
                of different groups, or the nodes have not three dimensions each.
        """
        self._check_bipartite(x)
        if self.support == "intra":
            raise ValueError("Support 'intra' joins no nodes of different groups")
        if x[0].dim() != 3 or x[1].dim() != 3:
            shapes = [list(nodes.shape) for nodes in x]
            raise ValueError(f"Expected a pair of nodes of shape [B, N, C] (got {shapes})")
        check_nodes(x, None, None)
        score = self._cosine.scores(*self._project_graphs(x))
        there, back = self._weigh_both_ways(score)
        return there.to(x[0].dtype), back.to(x[0].dtype)

    def both_ways_of_directions(self, one: Tensor, others: Tensor) -> Pair:
        """:meth:`both_ways` of one set of nodes with each of many, from their :meth:`directions`.

        Args:
            one: Directions of the set :math:`(N_1, H, d)`.
            others: Directions of the others :math:`(B, N_2, H, d)`.

        Returns:
            As :meth:`both_ways`.
        """
        graphs, nodes = others.shape[:2]
        # One product a head: the set that is always the same is not repeated.
        score = [
            (others[:, :, head].reshape(graphs * nodes, -1) @ one[:, head].t()).view(
                graphs, 1, nodes, -1
            )
            for head in range(self.heads)
        ]
        return self._weigh_both_ways(self._cosine.scale(torch.cat(score, dim=1)))

    def _weigh_both_ways(self, score: Tensor) -> Pair:
        weighting = self.weighting._replace(support="all")
        there, back = (
            adjacency_matrix(way, weighting, True) for way in (score, score.transpose(-1, -2))
        )
        return (there.squeeze(1), back.squeeze(1)) if self.heads == 1 else (there, back)

    def matmul(
        self,
        x: Tensor | Pair,
        h: Tensor,
        mask: Tensor | Pair | None = None,
        group: Tensor | Pair | None = None,
        *,
        batch: Tensor | Pair | None = None,
        batch_size: int | None = None,
        backend: str = "auto",
        return_sparsity: bool = False,
        sparsity_rows: int | None = None,
    ) -> Tensor | Pair:
        r"""Product :math:`\mathbf{A} \mathbf{H}` of the adjacency of `x` with other values.

        The back ends give the same numbers and gradients; ``"auto"`` takes the fastest, as far as
        it can be foreseen:

        - ``"edge"``: message passing along all edges; :math:`O(N^2 F)` memory.
        - ``"dense"``: a batched product with the matrices; :math:`O(N^2)` memory.
        - ``"blocked"``: tile by tile, made again for the gradient; :math:`O(N)` memory.
        - ``"lowrank"``: :math:`\mathbf{P} (\mathbf{P}^{\top} \mathbf{H})`; :math:`O(N)` memory and
          time. For weights linear in the cosines: ``"none"`` or ``"shift"`` on full support without
          top-k and threshold; normalised or with sparsity only ``"shift"`` with a fixed
          temperature from 1 up, which makes no weight negative.

        Args:
            x: Nodes as for :meth:`dense`, or flat as for :meth:`forward`.
            h: Values of the sending nodes, :math:`(B, N_{src}, F)` or :math:`(N_{src}, F)`.
            mask: As for :meth:`dense`; not for flat nodes.
            group: As for :meth:`dense` or :meth:`forward`.
            batch: As for :meth:`forward`, for flat nodes; at most an eighth is padded.
            batch_size: As for :meth:`forward`.
            backend: Name of the back end.
            return_sparsity: Return the mean of :math:`|A_{ij}|` over the node pairs of all graphs
                (the L1 loss of the paper) as well.
            sparsity_rows: Estimate that mean without bias from so many random rows of each graph.

        Returns:
            The products, shaped as `h` for one head, else :math:`(B, H, N_{dst}, F)` or
            :math:`(N_{dst}, H, F)`; with `return_sparsity` a pair of these and the mean.

        Raises:
            ValueError: If the back end is unknown or cannot give this product, shapes do not fit
                each other, or `group` is needed and missing.
        """
        nodes = as_pair(x)
        options = ProductOptions(
            self.weighting,
            self._cosine,
            self._check_bipartite(x),
            backend,
            return_sparsity,
            sparsity_rows,
        )
        check_product(nodes, h, mask, group, batch, batch_size, options)
        if nodes[0].dim() == 3:
            if sparsity_rows is None:
                options = options._replace(backend=self._foresee(nodes, h, options))
            pairs = count_pairs(*nodes, mask)
            h = h if mask is None else h.masked_fill(~as_pair(mask)[0].unsqueeze(-1), 0.0)
            if backend == "edge":
                out, total = edge_product_of_batch(self, x, h, mask, group)
            elif options.backend == "dense" and sparsity_rows is None:
                # What is projected is gone by the time of the product, and its memory is free.
                matrix = self._matrix(x, mask, group)
                out, total = matrix_product(matrix, h, sparsity=return_sparsity)
            else:
                projected = self._project_graphs(without_padding(x, mask))
                out, total = batch_product(projected, h, options, mask, group)
        else:
            sizes = graph_sizes((nodes[0].size(0), nodes[1].size(0)), batch, batch_size)
            pairs = max(1, sum(s * t for s, t in zip(*sizes, strict=True)))
            if backend == "edge":
                out, total = edge_product(self, x, h, batch, batch_size, group)
            else:
                out, total = ragged_product(self._project_all(x), h, sizes, options, group)
        out = (out.squeeze(1) if self.heads == 1 else out).to(h.dtype)
        return (out, total / (pairs * self.heads)) if return_sparsity else out

    def _foresee(self, nodes: Pair, h: Tensor, options: ProductOptions) -> str:
        width = self.out_channels or self.in_channels // self.heads
        x_src, x_dst = nodes
        size = Size(x_src.size(0) * self.heads, x_dst.size(1), x_src.size(1), width, h.size(2))
        training = torch.is_grad_enabled() and any(
            tensor.requires_grad for tensor in (x_src, x_dst, h, *self.parameters())
        )
        return foreseen_backend(size, options, training)

    def _matrix(
        self, x: Tensor | Pair, mask: Tensor | Pair | None, group: Tensor | Pair | None
    ) -> Tensor:
        """Adjacency matrices of all heads, (graphs, heads, rows, columns)."""
        bipartite = self._check_bipartite(x)
        score = self._cosine.scores(*self._project_graphs(without_padding(x, mask)))
        return adjacency_matrix(score, self.weighting, bipartite, mask, group)

    def _check_bipartite(self, x: Tensor | Pair) -> bool:
        bipartite = not isinstance(x, Tensor)
        if bipartite and self.add_self_loops:
            raise ValueError("A bipartite graph has no self-loops: 'add_self_loops' must be False")
        return bipartite

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"heads={self.heads}, activation={self.activation}, "
            f"normalization={self.normalization})"
        )
