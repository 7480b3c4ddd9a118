"""What ``adjacency.py`` compares: ways to compute A(x) x for learned cosine weights A(x).

No case has a linear layer of its own: those of the peers are replaced by the identity, so that all
of them do the work of the adjacency and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from common import Case, Run
from torch import Tensor
from torch.nn import Identity
from torch.nn.functional import normalize, scaled_dot_product_attention
from torch_geometric.nn import AGNNConv, DenseGraphConv, GraphConv, TransformerConv

from gnnreloc.nn import CosineAdjacency

#: The largest square matrix of the floor, by device; more operations are scaled up from it.
LARGEST_FLOOR = {"cpu": 3072, "cuda": 8192}

BACK_ENDS = ("edge", "dense", "lowrank", "blocked", "auto")
LINEAR = ("none", "shift")  # weightings that are linear in the cosine
#: Weightings with other options of the layer, which have no peer.
OPTIONS: dict[str, dict[str, Any]] = {
    "none, row": {"normalization": "row"},
    "relu, row": {"activation": "relu", "normalization": "row"},
    "relu, sym": {"activation": "relu", "normalization": "sym"},
    "softmax, top 8": {"activation": "softmax", "top_k": 8},
    "softmax, self-loops": {"activation": "softmax", "add_self_loops": True},
}
EDGE_WISE = ("edge", "graph_conv", "agnn_conv", "transformer_conv")
DENSE = ("dense", "dense_graph_conv", "dense_torch", "dense_compiled")

Propagate = Callable[[Tensor], Tensor]


class Setting(NamedTuple):
    """Sizes and kind of one comparison.

    Attributes:
        nodes: of a graph, N.
        batch: number of graphs, B.
        channels: of a node, d.
        weighting: ``none`` (the cosine itself), ``relu``, ``shift``, ``softmax``, or a name of
            :data:`OPTIONS`.
        backward: take the gradient with respect to the nodes too.
        dtype: ``float32`` or ``bfloat16``.
    """

    nodes: int
    batch: int
    channels: int
    weighting: str
    backward: bool
    dtype: str = "float32"

    @property
    def products(self) -> int:
        """Matrix products of the forward pass, and of the backward pass where there is one."""
        return 6 if self.backward else 2

    def quadratic(self) -> float:
        """Operations of the products P P^T and A x."""
        return self.products * 2.0 * self.batch * self.nodes**2 * self.channels

    def linear(self) -> float:
        """Operations of the products P^T x and P (P^T x)."""
        return self.products * 2.0 * self.batch * self.nodes * self.channels**2

    def least(self) -> float:
        """Operations of the cheaper of the two where both are possible."""
        if self.weighting in LINEAR:
            return min(self.quadratic(), self.linear())
        return self.quadratic()


def make_case(name: str, setting: Setting, device: torch.device, seed: int) -> Case:
    """One way to compute one setting."""
    work = setting.linear() if name == "lowrank" else setting.quadratic()
    if name in ("auto", "floor"):
        work = setting.least()
    scale, size = 1.0, 0
    if name == "floor":
        size = max(1, round((work / 2) ** (1 / 3)))
        if size > LARGEST_FLOOR[device.type]:
            size = LARGEST_FLOOR[device.type]
            scale = work / (2.0 * size**3)
    return Case(
        name=name,
        setting=setting._asdict(),
        build=partial(_build, name, setting, device, seed, size),
        memory=expected_memory(name, setting),
        work=work,
        family=() if name == "floor" else (name, *setting[2:]),
        scale=scale,
        figures={"operations": work} | ({"scale": scale} if scale > 1 else {}),
    )


def expected_memory(name: str, setting: Setting) -> float:
    """Bytes that a case takes at its peak, roughly; it decides whether the case is begun."""
    size = 2 if setting.dtype == "bfloat16" else 4
    pairs = float(setting.batch * setting.nodes**2)
    nodes = float(setting.batch * setting.nodes * setting.channels * size)
    if name in EDGE_WISE:
        return pairs * (16 + (8 if setting.backward else 4) * setting.channels * size)
    if name in DENSE:
        return pairs * size * (5 if setting.backward else 3) + 8 * nodes
    return 0.0 if name == "floor" else 10 * nodes


def _build(name: str, setting: Setting, device: torch.device, seed: int, size: int) -> Run:
    """Make the inputs; what is returned runs once, with the gradient if that is asked for."""
    generator = torch.Generator().manual_seed(seed)
    dtype = getattr(torch, setting.dtype)
    if size:
        pair = torch.randn(2, size, size, generator=generator).to(device, dtype)
        return partial(torch.mm, pair[0], pair[1])
    shape = (setting.batch, setting.nodes, setting.channels)
    x = torch.randn(shape, generator=generator).to(device, dtype)
    propagate = propagation(name, setting, device)
    if not setting.backward:
        return partial(_forward, propagate, x)
    gradient = torch.randn(shape, generator=generator).to(device, dtype)
    return partial(_gradient, propagate, x.requires_grad_(), gradient)


def _forward(propagate: Propagate, x: Tensor) -> Tensor:
    with torch.no_grad():
        return propagate(x)


def _gradient(propagate: Propagate, x: Tensor, gradient: Tensor) -> Tensor:
    out = propagate(x)
    return torch.autograd.grad(out, x, gradient.view_as(out))[0]


def propagation(name: str, setting: Setting, device: torch.device) -> Propagate:
    """The function from nodes ``[B, N, d]`` to ``A(x) x``, of a case that is no floor.

    Nodes come back as ``[B, N, d]`` or ``[B N, d]``. ``dense_graph_conv`` adds the nodes
    themselves, and ``transformer_conv`` has scaled dot products in the place of cosines.
    """
    channels = setting.channels
    if name in BACK_ENDS:
        options = OPTIONS.get(setting.weighting, {"activation": setting.weighting})
        layer = CosineAdjacency(channels, None, **options).to(device)
        return lambda x: layer.matmul(x, x, backend=name)
    if name in EDGE_WISE:
        return _edge_wise(name, setting, device)
    weigh = WEIGHTINGS[setting.weighting]
    if name == "dense_graph_conv":
        layer = DenseGraphConv(channels, channels)
        layer.lin_rel, layer.lin_root = Identity(), Identity()
        return lambda x: layer(x, weigh(_cosine(x)))
    if name == "sdpa":
        return _attention
    plain: Propagate = lambda x: torch.bmm(weigh(_cosine(x)), x)  # noqa: E731
    if name != "dense_compiled":
        return plain
    torch.compiler.reset()  # else the compiler gives up on a function that it has seen too often
    compiled: Propagate = torch.compile(plain, dynamic=False)
    return compiled


def _edge_wise(name: str, setting: Setting, device: torch.device) -> Propagate:
    """PyG's layers on all pairs of nodes of each graph, by edges."""
    channels = setting.channels
    edges = complete_edges(setting.nodes, setting.batch, device)
    if name == "agnn_conv":
        agnn = AGNNConv(requires_grad=False, add_self_loops=False).to(device)
        return lambda x: agnn(x.reshape(-1, channels), edges)
    if name == "transformer_conv":
        transformer = TransformerConv(channels, channels, root_weight=False)
        transformer.lin_key = transformer.lin_query = transformer.lin_value = Identity()
        return lambda x: transformer(x.reshape(-1, channels), edges)
    graph = GraphConv(channels, channels)
    graph.lin_rel = Identity()
    weigh = WEIGHTINGS[setting.weighting]

    def propagate(x: Tensor) -> Tensor:
        x = x.reshape(-1, channels)
        unit = normalize(x, dim=-1)
        cosine = (unit[edges[0]] * unit[edges[1]]).sum(dim=-1)
        out: Tensor = graph((x, None), edges, weigh(cosine))
        return out

    return propagate


def complete_edges(nodes: int, batch: int, device: torch.device) -> Tensor:
    """Every pair of nodes inside each graph, sorted by target: ``[2, B N^2]``."""
    node = torch.arange(nodes, device=device)
    first = (torch.arange(batch, device=device) * nodes).view(-1, 1, 1)
    target = (first + node.view(1, -1, 1)).expand(batch, nodes, nodes)
    source = (first + node.view(1, 1, -1)).expand(batch, nodes, nodes)
    return torch.stack([source.reshape(-1), target.reshape(-1)])


def _cosine(x: Tensor) -> Tensor:
    unit = normalize(x, dim=-1)
    return torch.bmm(unit, unit.transpose(1, 2))


def _attention(x: Tensor) -> Tensor:
    unit = normalize(x, dim=-1)[:, None]
    return scaled_dot_product_attention(unit, unit, x[:, None], scale=1.0)[:, 0]


WEIGHTINGS: dict[str, Callable[[Tensor], Any]] = {
    "none": lambda cosine: cosine,
    "relu": torch.relu,
    "shift": lambda cosine: (1 + cosine) / 2,
    "softmax": partial(torch.softmax, dim=-1),
}
