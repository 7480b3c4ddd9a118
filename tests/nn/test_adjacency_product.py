"""Products of the learned adjacency: every back end gives the same numbers and gradients."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnreloc.nn import CosineAdjacency
from gnnreloc.nn.adjacency_input import BACKENDS

OPTIONS = st.fixed_dictionaries(
    {
        "weighting": st.sampled_from(
            [("softmax", "none"), *product(("none", "relu", "shift"), ("none", "row", "sym"))]
        ),
        "top_k": st.sampled_from([None, None, 1, 2, 20]),
        "threshold": st.sampled_from([None, None, -0.3, 0.2]),
        "add_self_loops": st.booleans(),
        "support": st.sampled_from(["all", "cross", "intra"]),
        "heads": st.sampled_from([1, 2]),
        "out_channels": st.sampled_from([None, 3]),
        "temperature": st.sampled_from([0.02, 0.4, 1.0, 2.0]),
        "learn_temperature": st.booleans(),
    }
)


def build(choice: dict[str, Any], **changes: Any) -> CosineAdjacency:
    options = {**choice, **changes}
    activation, normalization = options.pop("weighting")
    return CosineAdjacency(4, activation=activation, normalization=normalization, **options)


def by_matrix(
    layer: CosineAdjacency, x: Any, h: Tensor, mask: Any = None, group: Any = None
) -> tuple[Tensor, Tensor]:
    """Product and mean absolute weight from the matrices themselves."""
    matrix = layer.dense(x, mask, group)
    matrix = matrix.unsqueeze(1) if layer.heads == 1 else matrix
    out = matrix @ h.unsqueeze(1)
    pairs: Any = matrix.size(0) * matrix.size(2) * matrix.size(3)
    if mask is not None:
        sending, receiving = mask if isinstance(mask, tuple) else (mask, mask)
        pairs = (sending.sum(1) * receiving.sum(1)).sum()
    out = out.squeeze(1) if layer.heads == 1 else out
    return out, matrix.abs().sum() / (pairs * layer.heads)


def gradients(out: Tensor, sparsity: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    torch.manual_seed(1)
    goal = (out * torch.randn(out.shape, dtype=out.dtype)).sum() + 3 * sparsity
    found = torch.autograd.grad(goal, inputs, allow_unused=True)
    return [torch.zeros_like(i) if g is None else g for i, g in zip(inputs, found, strict=True)]


@settings(deadline=None, max_examples=80)
@given(OPTIONS, st.booleans(), st.booleans(), st.integers(0, 10_000))
def test_backends_agree(choice: dict[str, Any], bipartite: bool, padded: bool, seed: int) -> None:
    torch.manual_seed(seed)
    layer = build(choice, **({"add_self_loops": False} if bipartite else {})).double()
    nodes = [torch.randn(2, n, 4, dtype=torch.float64, requires_grad=True) for n in (5, 3)]
    groups = tuple(torch.rand(2, n) < 0.5 for n in (5, 3))
    masks = tuple(torch.rand(2, n) < 0.8 for n in (5, 3))
    h = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    x: Any = tuple(nodes) if bipartite else nodes[0]
    group: Any = groups if bipartite else groups[0]
    mask: Any = (masks if bipartite else masks[0]) if padded else None
    if padded:
        masks[0][:, 0] = masks[1][:, 0] = True
    inputs = [h, *(nodes if bipartite else nodes[:1]), *layer.parameters()]

    expected = by_matrix(layer, x, h, mask, group)
    wanted = gradients(*expected, inputs)
    ran = set()
    for backend in BACKENDS:
        try:
            found = layer.matmul(x, h, mask, group, backend=backend, return_sparsity=True)
        except ValueError as error:
            assert backend == "lowrank" and "linear in the cosines" in str(error)
            continue
        ran.add(backend)
        assert torch.allclose(found[0], expected[0], atol=1e-9)
        assert torch.allclose(found[1], expected[1], atol=1e-9)
        for one, other in zip(gradients(*found, inputs), wanted, strict=True):
            assert torch.allclose(one, other, atol=1e-8)
    assert ran >= {"auto", "edge", "dense", "blocked"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "shift", "normalization": "row"},
        {"activation": "shift", "normalization": "sym", "add_self_loops": True},
        {"activation": "shift", "add_self_loops": True, "temperature": 3.0},
    ],
)
def test_lowrank_where_weights_are_linear(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, 3, **options)
    x, h = torch.randn(2, 30, 4), torch.randn(2, 30, 5)
    mask = torch.rand(2, 30) < 0.7
    found = layer.matmul(x, h, mask, backend="lowrank")
    assert torch.allclose(found, layer.matmul(x, h, mask, backend="dense"), atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"normalization": "row"},
        {"activation": "relu"},
        {"activation": "shift", "temperature": 0.5, "normalization": "row"},
        {"activation": "shift", "learn_temperature": True, "normalization": "sym"},
        {"top_k": 2},
        {"threshold": 0.0},
    ],
)
def test_lowrank_is_refused_elsewhere(options: dict[str, Any]) -> None:
    layer = CosineAdjacency(4, **options)
    with pytest.raises(ValueError, match="'lowrank' needs weights that are linear"):
        layer.matmul(torch.randn(1, 5, 4), torch.randn(1, 5, 4), backend="lowrank")


@pytest.mark.parametrize("activation", ["none", "relu", "shift", "softmax"])
@pytest.mark.parametrize("normalization", ["none", "sym"])
def test_more_than_one_tile_in_single_precision(activation: str, normalization: str) -> None:
    """Rows and columns that fill no whole number of tiles; values and gradients to 1e-5."""
    if activation == "softmax":
        normalization = "none"
    torch.manual_seed(0)
    layer = CosineAdjacency(
        8, 6, activation=activation, normalization=normalization, temperature=0.5
    )
    x = torch.randn(1, 1100, 8, requires_grad=True)
    h = torch.randn(1, 1100, 4, requires_grad=True)
    inputs = [h, x, *layer.parameters()]
    scale = 1e-5 * (1 if activation == "softmax" or normalization == "sym" else 1100)
    expected = layer.matmul(x, h, backend="dense", return_sparsity=True)
    found = layer.matmul(x, h, backend="blocked", return_sparsity=True)
    assert torch.allclose(found[0], expected[0], atol=scale)
    assert torch.allclose(found[1], expected[1], atol=1e-6)
    for one, other in zip(gradients(*found, inputs), gradients(*expected, inputs), strict=True):
        assert (one - other).abs().max() <= 1e-5 * max(1.0, float(other.abs().max()))


@settings(deadline=None, max_examples=60)
@given(
    OPTIONS,
    st.lists(st.integers(0, 6), min_size=1, max_size=6),
    st.sampled_from(BACKENDS),
    st.integers(0, 10_000),
)
def test_ragged_graphs_are_a_loop(
    choice: dict[str, Any], sizes: list[int], backend: str, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = build(choice).double()
    graphs = [torch.randn(n, 4, dtype=torch.float64) for n in sizes]
    values = [torch.randn(n, 3, dtype=torch.float64) for n in sizes]
    groups = [torch.rand(n) < 0.5 for n in sizes]
    x, h = torch.cat(graphs).requires_grad_(), torch.cat(values)
    batch = torch.repeat_interleave(torch.tensor(sizes))
    options: dict[str, Any] = {"batch": batch, "batch_size": len(sizes), "group": torch.cat(groups)}
    try:
        out, sparsity = layer.matmul(x, h, backend=backend, return_sparsity=True, **options)
    except ValueError:
        assert backend == "lowrank"
        return
    parts, total = [], torch.zeros((), dtype=torch.float64)
    for nodes, value, group in zip(x.split(sizes), values, groups, strict=True):
        matrix = layer.dense(nodes.unsqueeze(0), group=group.unsqueeze(0)).view(
            layer.heads, len(nodes), len(nodes)
        )
        parts.append((matrix @ value).transpose(0, 1))
        total = total + matrix.abs().sum()
    expected = torch.cat(parts)
    expected = expected.squeeze(1) if layer.heads == 1 else expected
    assert out.shape == expected.shape
    assert torch.allclose(out, expected, atol=1e-9)
    pairs = sum(n * n for n in sizes) * layer.heads
    if pairs > 0:
        assert torch.allclose(sparsity, total / pairs, atol=1e-9)
        one = torch.autograd.grad(out.square().sum() + sparsity, x)[0]
        other = torch.autograd.grad(expected.square().sum() + total / pairs, x)[0]
        assert torch.allclose(one, other, atol=1e-7)


def test_ragged_bipartite_graphs() -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, 3, activation="softmax").double()
    sending, receiving = [3, 1, 4, 2], [2, 5, 0, 2]
    x = (torch.randn(10, 4).double(), torch.randn(9, 4).double())
    h = torch.randn(10, 6).double()
    batch = tuple(torch.repeat_interleave(torch.tensor(s)) for s in (sending, receiving))
    expected = torch.cat(
        [
            layer.dense((a.unsqueeze(0), b.unsqueeze(0)))[0] @ c
            for a, b, c in zip(
                x[0].split(sending), x[1].split(receiving), h.split(sending), strict=True
            )
        ]
    )
    for backend in ("auto", "edge", "dense", "blocked"):
        found = layer.matmul(x, h, batch=batch, batch_size=4, backend=backend)
        assert torch.allclose(found, expected)


@pytest.mark.parametrize("activation", ["none", "relu", "softmax"])
@pytest.mark.parametrize("normalization", ["none", "row"])
def test_sampled_sparsity_is_unbiased(activation: str, normalization: str) -> None:
    """All choices of one row out of four, each as likely as the others, average to the mean."""
    if activation == "softmax":
        normalization = "none"
    torch.manual_seed(0)
    layer = CosineAdjacency(3, activation=activation, normalization=normalization).double()
    x = torch.randn(1, 4, 3).double()
    exact = layer.matmul(x, x, return_sparsity=True)[1]
    found = {
        round(float(layer.matmul(x, x, return_sparsity=True, sparsity_rows=1)[1]), 12)
        for _ in range(200)
    }
    rows = layer.dense(x)[0].abs().mean(dim=-1)
    assert found == {round(float(row), 12) for row in rows}
    assert torch.allclose(rows.mean(), exact)
    assert torch.allclose(layer.matmul(x, x, return_sparsity=True, sparsity_rows=4)[1], exact)


def test_groups_may_be_any_numbers() -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, activation="relu", support="cross")
    x = torch.randn(2, 6, 4)
    for group in (torch.tensor([-5, 7, 7, 0, -5, 3]), torch.tensor([0.5, 1.5, 1.5, 2.0, 0.5, -1])):
        expected = layer.matmul(x, x, group=group, backend="dense")
        assert torch.allclose(layer.matmul(x, x, group=group, backend="blocked"), expected)


def test_equal_scores_take_the_lowest_columns() -> None:
    x = torch.tensor([[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 2).unsqueeze(0)
    h = torch.eye(8).unsqueeze(0)
    layer = CosineAdjacency(2, top_k=3)
    found = layer.matmul(x, h, backend="blocked")[0]
    assert found[:6].tolist() == [[1, 1, 1, 0, 0, 0, 0, 0]] * 6
    assert torch.equal(found, layer.dense(x)[0])


@pytest.mark.parametrize(
    ("x", "h", "options", "message"),
    [
        ((5, 4), (4, 3), {}, r"'h' needs one row for each sending node"),
        ((2, 5, 4), (5, 3), {}, r"'h' needs one row for each sending node"),
        ((5,), (5, 3), {}, r"nodes of shape \[N, C\] or \[B, N, C\]"),
        ((5, 4), (5, 3), {"backend": "fast"}, "'backend' must be one of auto, edge"),
        ((5, 4), (5, 3), {"mask": torch.ones(1, 5, dtype=torch.bool)}, "'mask' is for"),
        ((1, 5, 4), (1, 5, 3), {"batch_size": 1}, "'batch' and 'batch_size' are for"),
        ((5, 4), (5, 3), {"return_sparsity": True, "sparsity_rows": 0}, "'sparsity_rows' must"),
        ((5, 4), (5, 3), {"sparsity_rows": 2}, "'sparsity_rows' needs 'return_sparsity'"),
        (
            (2, 5, 4),
            (2, 5, 3),
            {"mask": torch.ones(5, dtype=torch.bool)},
            r"'mask' must be bool of",
        ),
        ((2, 5, 4), (2, 5, 3), {"mask": torch.ones(2, 5)}, r"'mask' must be bool of"),
    ],
)
def test_bad_input(
    x: tuple[int, ...], h: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CosineAdjacency(4).matmul(torch.zeros(x), torch.zeros(h), **options)


@pytest.mark.parametrize("backend", ["edge", "dense", "blocked"])
def test_groups_are_asked_for(backend: str) -> None:
    layer = CosineAdjacency(4, support="cross")
    with pytest.raises(ValueError, match="support 'cross' needs the 'group'"):
        layer.matmul(torch.zeros(1, 5, 4), torch.zeros(1, 5, 3), backend=backend)
