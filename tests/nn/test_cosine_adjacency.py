"""The learned adjacency: worked by hand, contract, numerical edge cases."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import DenseGraphConv, GCNConv, GraphConv
from torch_geometric.utils import to_dense_adj

from gnnreloc.nn import CosineAdjacency, CrossAdjacency, block_edges

# Directions of 0, 90 and atan(3/4) degrees: all cosines are exact.
NODES = torch.tensor([[2.0, 0.0], [0.0, 5.0], [4.0, 3.0]], dtype=torch.float64)
COSINES = torch.tensor([[1.0, 0.0, 0.8], [0.0, 1.0, 0.6], [0.8, 0.6, 1.0]], dtype=torch.float64)


def test_repr() -> None:
    assert str(CosineAdjacency(16, 8)) == (
        "CosineAdjacency(16, 8, heads=1, activation=none, normalization=none)"
    )
    assert str(CosineAdjacency(16, heads=2, activation="softmax")) == (
        "CosineAdjacency(16, None, heads=2, activation=softmax, normalization=none)"
    )


def test_shapes() -> None:
    layer = CosineAdjacency(5, 4)
    edge_index, weight = layer(torch.randn(6, 5))
    assert edge_index.shape == (2, 36)
    assert weight.shape == (36,)
    assert layer.dense(torch.randn(2, 6, 5)).shape == (2, 6, 6)
    assert layer.dense((torch.randn(2, 6, 5), torch.randn(2, 3, 5))).shape == (2, 3, 6)

    layer = CosineAdjacency(6, heads=3)
    edge_index, weight = layer((torch.randn(6, 6), torch.randn(4, 6)))
    assert edge_index.shape == (2, 24)
    assert weight.shape == (24, 3)
    assert layer.dense(torch.randn(2, 6, 6)).shape == (2, 3, 6, 6)
    assert layer.matmul(torch.randn(2, 6, 6), torch.randn(2, 6, 7)).shape == (2, 3, 6, 7)


def test_cosines_by_hand() -> None:
    layer = CosineAdjacency(2)
    assert torch.allclose(layer.dense(NODES.unsqueeze(0))[0], COSINES, atol=1e-15)
    edge_index, weight = layer(NODES)
    assert torch.equal(edge_index, block_edges([3]))
    assert torch.allclose(weight.view(3, 3), COSINES, atol=1e-15)


def test_projection_by_hand() -> None:
    layer = CosineAdjacency(2, 2).double()
    assert layer.phi is not None
    with torch.no_grad():
        layer.phi.weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        layer.phi.bias.copy_(torch.tensor([0.0, 2.0]))
    # phi gives (0, 4), (5, 2) and (3, 6).
    expected = torch.eye(3, dtype=torch.float64)
    expected[0, 1] = expected[1, 0] = 2 / 29**0.5
    expected[0, 2] = expected[2, 0] = 2 / 5**0.5
    expected[1, 2] = expected[2, 1] = 27 / (29 * 45) ** 0.5
    assert torch.allclose(layer.dense(NODES.unsqueeze(0))[0], expected)


def test_heads_without_projection_share_the_channels() -> None:
    x = torch.cat([NODES, NODES.flip(0)], dim=-1)
    adjacency = CosineAdjacency(4, heads=2).dense(x.unsqueeze(0))[0]
    assert torch.allclose(adjacency, torch.stack([COSINES, COSINES.flip(0, 1)]))


def test_temperature_divides() -> None:
    x = NODES.unsqueeze(0)
    assert torch.allclose(CosineAdjacency(2, temperature=0.5).dense(x)[0], 2 * COSINES)
    shifted = CosineAdjacency(2, temperature=2.0, activation="shift").dense(x)[0]
    assert torch.allclose(shifted, 0.5 + COSINES / 4)

    layer = CosineAdjacency(2, temperature=0.5, learn_temperature=True).double()
    adjacency = layer.dense(x)[0]
    assert torch.allclose(adjacency, 2 * COSINES)
    adjacency.sum().backward()
    assert layer.log_temperature is not None and layer.log_temperature.grad is not None
    # d/dlog(t) of sum(cos) / t is the negative of the sum.
    assert layer.log_temperature.grad.item() == pytest.approx(-2 * COSINES.sum().item())


def test_support_drops_or_zeroes_edges() -> None:
    group = torch.tensor([True, True, False])
    layer = CosineAdjacency(2, support="cross")
    edge_index, weight = layer(NODES, group=group)
    assert edge_index.tolist() == [[2, 2, 0, 1], [0, 1, 2, 2]]
    assert torch.allclose(weight, torch.tensor([0.8, 0.6, 0.8, 0.6], dtype=torch.float64))

    given = torch.tensor([[0, 2], [1, 1]])
    edge_index, weight = layer(NODES, given, group=group)
    assert edge_index is given
    assert weight.tolist() == pytest.approx([0.0, 0.6])

    looped = CosineAdjacency(2, support="cross", add_self_loops=True)
    edge_index, weight = looped(NODES, group=group)
    assert edge_index.tolist() == [[0, 2, 1, 2, 0, 1, 2], [0, 0, 1, 1, 2, 2, 2]]
    assert weight.tolist() == pytest.approx([1.0, 0.8, 1.0, 0.6, 0.8, 0.6, 1.0])


def test_padding_is_exactly_zero_and_changes_nothing() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    for activation in ("none", "shift", "softmax"):
        layer = CosineAdjacency(4, 3, activation=activation, add_self_loops=True).double()
        adjacency = layer.dense(x, mask)
        assert torch.allclose(adjacency[1:, :3, :3], layer.dense(x[1:, :3]))
        assert (adjacency[1, 3:] == 0).all() and (adjacency[1, :, 3:] == 0).all()

        layer.add_self_loops = False
        h = torch.randn(2, 5, 6, dtype=torch.float64)
        product = layer.matmul(x, h, mask)
        assert torch.allclose(product, layer.dense(x, mask) @ h)
        assert (product[1, 3:] == 0).all()


@pytest.mark.parametrize("activation", ["none", "shift", "softmax"])
@pytest.mark.parametrize("heads", [1, 2])
def test_matmul_is_the_product(activation: str, heads: int) -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, 3, heads=heads, activation=activation, temperature=0.3).double()
    x, h = torch.randn(2, 5, 4).double(), torch.randn(2, 5, 6).double()
    expected = layer.dense(x) @ (h if heads == 1 else h.unsqueeze(1))
    assert torch.allclose(layer.matmul(x, h), expected)

    nodes = (x, torch.randn(2, 3, 4).double())
    expected = layer.dense(nodes) @ (h if heads == 1 else h.unsqueeze(1))
    assert torch.allclose(layer.matmul(nodes, h), expected)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"activation": "softmax", "learn_temperature": True, "temperature": 0.3},
        {"activation": "relu", "normalization": "sym"},
        {"activation": "shift", "normalization": "row", "top_k": 2},
    ],
    ids=lambda options: str(options["activation"]),
)
def test_both_ways_is_dense_twice(options: dict[str, Any], heads: int) -> None:
    layer = CosineAdjacency(4, 3, heads=heads, support="cross", **options)
    pair = (torch.randn(2, 3, 4), torch.randn(2, 5, 4))
    there, back = layer.both_ways(pair)
    plain = CosineAdjacency(4, 3, heads=heads, **options)
    plain.load_state_dict(layer.state_dict())
    assert torch.allclose(there, plain.dense(pair), atol=1e-6)
    assert torch.allclose(back, plain.dense((pair[1], pair[0])), atol=1e-6)
    half = layer.bfloat16().both_ways((pair[0].bfloat16(), pair[1].bfloat16()))
    assert half[0].dtype == half[1].dtype == torch.bfloat16


def test_both_ways_in_one_matrix() -> None:
    """Two groups of nodes of one graph that is supported between them."""
    layer = CosineAdjacency(4, 3, activation="softmax", support="cross")
    one, other = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    there, back = layer.both_ways((one, other))
    group = torch.arange(8) < 3
    whole = layer.dense(torch.cat([one, other], dim=1), group=group)
    assert torch.allclose(CrossAdjacency(back, there).matrix(), whole, atol=1e-6)


@pytest.mark.parametrize("normalization", ["none", "row", "sym"])
def test_zero_node_has_zero_weights_and_finite_gradients(normalization: str) -> None:
    x = NODES.clone().float()
    x[1] = 0
    x.requires_grad_()
    layer = CosineAdjacency(2, normalization=normalization)
    adjacency = layer.dense(x.unsqueeze(0))[0]
    assert (adjacency[1] == 0).all() and (adjacency[:, 1] == 0).all()
    weight = layer(x)[1]
    assert torch.allclose(weight.view(3, 3), adjacency)
    (adjacency.sum() + weight.sum()).backward()
    assert x.grad is not None and x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("normalization", ["none", "row", "sym"])
def test_half_precision_is_finite_and_close(dtype: torch.dtype, normalization: str) -> None:
    torch.manual_seed(0)
    x = 1e-3 * torch.randn(1, 6, 8)
    x[0, 2] = 0
    layer = CosineAdjacency(8, normalization=normalization)
    half = x.to(dtype).requires_grad_()
    adjacency = layer.dense(half)
    weight = layer(half[0])[1]
    assert adjacency.dtype == weight.dtype == dtype
    expected = layer.dense(half.detach().float())
    assert torch.allclose(adjacency.float(), expected, atol=5e-3)
    assert torch.allclose(weight.float().view(1, 6, 6), expected, atol=5e-3)
    (adjacency.sum() + weight.sum()).backward()
    assert half.grad is not None and half.grad.isfinite().all()

    layer = CosineAdjacency(8, 4, normalization=normalization).to(dtype)
    assert layer.dense(x.to(dtype)).isfinite().all()
    assert layer(x[0].to(dtype))[1].isfinite().all()


def test_autocast_computes_cosines_in_single_precision() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 6, 8)
    layer = CosineAdjacency(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        adjacency = layer.dense(x)
        product = layer.matmul(x, x)
    assert adjacency.dtype == torch.float32
    assert torch.allclose(adjacency, layer.dense(x))
    assert torch.allclose(product, layer.dense(x) @ x, atol=1e-5)


def test_orientation_agrees_with_pyg() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 4)
    layer = CosineAdjacency(4, 3, normalization="row", top_k=2)
    adjacency = layer.dense(x.unsqueeze(0))
    edge_index, weight = layer(x)
    assert not torch.allclose(adjacency, adjacency.transpose(1, 2))

    sparse, dense = GraphConv(4, 5), DenseGraphConv(4, 5)
    dense.load_state_dict(sparse.state_dict())
    expected = sparse(x, edge_index, weight)
    assert torch.allclose(dense(x.unsqueeze(0), adjacency)[0], expected, atol=1e-6)
    assert torch.allclose(to_dense_adj(edge_index, edge_attr=weight), adjacency.transpose(1, 2))


def test_warned_negative_weights_break_gcn_conv() -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.1], [-1.0, -0.1]])
    edge_index = torch.tensor([[1, 2, 0], [0, 0, 1]])
    conv = GCNConv(2, 2)
    weight = CosineAdjacency(2)(x, edge_index)[1]
    assert conv(x, edge_index, weight).isnan().any()
    weight = CosineAdjacency(2, activation="shift")(x, edge_index)[1]
    assert conv(x, edge_index, weight).isfinite().all()


def test_shapes_without_data() -> None:
    with torch.device("meta"):
        layer = CosineAdjacency(4, 3, activation="softmax", top_k=2)
        assert layer.dense(torch.empty(2, 5, 4)).shape == (2, 5, 5)
        assert CosineAdjacency(4).matmul(torch.empty(2, 5, 4), torch.empty(2, 5, 7)).is_meta


def test_empty_graphs() -> None:
    layer = CosineAdjacency(2, 3, activation="softmax", top_k=1)
    edge_index, weight = layer(torch.randn(3, 2), torch.empty(2, 0, dtype=torch.long))
    assert edge_index.shape == (2, 0)
    assert weight.shape == (0,)
    edge_index, weight = layer(torch.empty(0, 2))
    assert edge_index.shape == (2, 0)


def test_pickle_copy_and_state_dict() -> None:
    x = torch.randn(2, 5, 4)
    layer = CosineAdjacency(4, 3, heads=2, learn_temperature=True)
    fresh = CosineAdjacency(4, 3, heads=2, learn_temperature=True)
    fresh.load_state_dict(layer.state_dict())
    for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), fresh):
        assert torch.equal(other.dense(x), layer.dense(x))
        assert torch.equal(other(x[0])[1], layer(x[0])[1])


def test_reset_parameters() -> None:
    layer = CosineAdjacency(4, 3, temperature=0.1, learn_temperature=True)
    assert layer.phi is not None and layer.log_temperature is not None
    before: Tensor = layer.phi.weight.detach().clone()
    torch.nn.init.zeros_(layer.log_temperature)
    layer.reset_parameters()
    assert not torch.equal(layer.phi.weight, before)
    assert layer.log_temperature.exp().item() == pytest.approx(0.1)
    assert CosineAdjacency(4, 3, bias=False).phi.bias is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"support": "both"}, "'support' must be one of all, cross, intra"),
        ({"heads": 0}, "'heads' must be positive"),
        ({"heads": 3}, "divide 'in_channels'"),
        ({"temperature": 0.0}, "'temperature' must be positive"),
        ({"eps": 0.0}, "'eps' must be positive"),
        ({"activation": "elu"}, "'activation' must be one of"),
    ],
)
def test_bad_options(options: dict[str, float | str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CosineAdjacency(4, **options)


def test_bad_input() -> None:
    layer = CosineAdjacency(2, add_self_loops=True)
    with pytest.raises(ValueError, match="no self-loops"):
        layer((NODES, NODES))
    with pytest.raises(ValueError, match="no self-loops"):
        layer.dense((NODES.unsqueeze(0), NODES.unsqueeze(0)))
    with pytest.raises(ValueError, match=r"shape \[B, N, C\] \(got \[3, 2\]\)"):
        layer.dense(NODES)
    with pytest.raises(ValueError, match="no self-loops"):
        layer.both_ways((NODES.unsqueeze(0), NODES.unsqueeze(0)))
    with pytest.raises(ValueError, match="'intra' joins no nodes of different"):
        CosineAdjacency(2, support="intra").both_ways((NODES.unsqueeze(0), NODES.unsqueeze(0)))
    with pytest.raises(ValueError, match=r"pair of nodes .* \(got \[\[3, 2\], \[1, 3, 2\]\]\)"):
        CosineAdjacency(2).both_ways((NODES, NODES.unsqueeze(0)))
    with pytest.raises(ValueError, match=r"shape \[N, C\] \(got \[1, 3, 2\]\)"):
        layer(NODES.unsqueeze(0))
    with pytest.raises(ValueError, match="needs the 'group'"):
        CosineAdjacency(2, support="intra")(NODES)
