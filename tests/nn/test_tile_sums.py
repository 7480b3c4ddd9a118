"""Sums over tiles against dense matrices in float64, and as operators of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gnnreloc.nn import CosineAdjacency, tile_loop
from gnnreloc.nn.tile_loop import TileRule, loop_backward, loop_forward
from gnnreloc.nn.tile_sums import tile_sums

#: Small tiles, so that small graphs cross their borders.
SMALL = mock.patch.object(tile_loop, "TILE", (4, 8))
RULES = st.builds(
    TileRule,
    st.sampled_from(["none", "relu", "shift", "exp"]),
    st.sampled_from(["all", "cross", "intra"]),
    st.sampled_from([None, -0.3, 0.0, 0.6]),
    st.booleans(),
    st.booleans(),
)
#: Of sums, of row sums alone, and of both: the others have no gradient then.
GOALS: list[Callable[[Tensor, Tensor], Tensor]] = [
    lambda sums, sizes: sums.sin().sum(),
    lambda sums, sizes: sizes.sin().sum(),
    lambda sums, sizes: sums.sin().sum() + sizes.sin().sum(),
]


class Inputs(NamedTuple):
    query: Tensor
    key: Tensor
    value: Tensor
    query_code: Tensor | None
    key_code: Tensor | None


def draw(sizes: tuple[int, int, int], *, codes: bool, scale: float = 1.0, seed: int = 0) -> Inputs:
    """Graphs of n rows and m columns in float64, with groups 0 and 1 and padding -1."""
    graphs, n, m = sizes
    random = torch.Generator().manual_seed(seed)
    shapes = ((graphs, n, 3), (graphs, m, 3), (graphs, m, 2))
    nodes = [torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes]
    nodes[0] *= scale
    code = [torch.randint(-1, 2, (graphs, k), generator=random).int() for k in (n, m)]
    return Inputs(*(x.requires_grad_() for x in nodes), *(code if codes else (None, None)))


def kept(inputs: Inputs, rule: TileRule) -> Tensor:
    """Truth values [G, n, m], entry by entry."""
    score = (inputs.query @ inputs.key.mT).detach()
    keep = torch.ones_like(score, dtype=torch.bool)
    for graph, row, column in keep.nonzero().tolist():
        s = float(score[graph, row, column])
        least = {"relu": max(s, 0.0), "shift": (1 + s) / 2}.get(rule.activation, s)
        wanted = rule.threshold is None or least >= rule.threshold
        wanted = wanted and not (rule.skip_diagonal and row == column)
        if inputs.query_code is not None and inputs.key_code is not None:
            own, other = int(inputs.query_code[graph, row]), int(inputs.key_code[graph, column])
            fits = {"all": True, "cross": own != other, "intra": own == other}[rule.support]
            wanted = wanted and own >= 0 and other >= 0 and fits
        keep[graph, row, column] = wanted
    return keep


def dense(inputs: Inputs, rule: TileRule, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Sums and row sums from the whole matrix; autograd goes through it."""
    score = inputs.query @ inputs.key.mT
    keep = kept(inputs, rule)
    if rule.activation == "exp":
        weight = torch.where(keep, score - offset.unsqueeze(-1), -torch.inf).exp()
    else:
        named = {"none": score, "relu": score.relu(), "shift": (1 + score) / 2}
        weight = torch.where(keep, named[rule.activation], 0.0)
    used = weight.abs() if rule.absolute else weight
    return used @ inputs.value, weight.abs().sum(dim=-1)


def compare(inputs: Inputs, rule: TileRule) -> Tensor:
    """Values, and the gradients of either result and of both, to 1e-9; the offset."""
    sums, sizes, offset = tile_sums(*inputs, rule)
    assert not offset.requires_grad
    expected = dense(inputs, rule, offset)
    for one, other in zip((sums, sizes), expected, strict=True):
        assert one.shape == other.shape
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)
    for goal in GOALS:
        found, wanted = (
            torch.autograd.grad(goal(*out), inputs[:3], retain_graph=True, allow_unused=True)
            for out in ((sums, sizes), expected)
        )
        for x, left, right in zip(inputs[:3], found, wanted, strict=True):
            left, right = (torch.zeros_like(x) if g is None else g for g in (left, right))
            assert torch.allclose(left, right, rtol=1e-8, atol=1e-8)
    return offset


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    RULES,
    st.tuples(st.integers(1, 5), st.integers(0, 10), st.integers(0, 18)),
    st.booleans(),
    st.sampled_from([0.3, 1.0, 30.0]),
    st.integers(0, 1000),
)
def test_every_rule_and_size(
    rule: TileRule, sizes: tuple[int, int, int], codes: bool, scale: float, seed: int
) -> None:
    codes = codes or rule.support != "all"
    with SMALL:
        compare(draw(sizes, codes=codes, scale=scale, seed=seed), rule)


@pytest.mark.parametrize("n", [3, 4, 5, 8, 9])
@pytest.mark.parametrize("m", [7, 8, 9, 16, 17])
def test_borders_of_tiles(n: int, m: int) -> None:
    with SMALL:
        compare(draw((2, n, m), codes=False), TileRule("none"))
        compare(draw((2, n, m), codes=True), TileRule("exp", "cross", skip_diagonal=True))


def test_by_hand() -> None:
    query = torch.tensor([[[2.0], [-1.0]]])
    key = torch.tensor([[[1.0], [-3.0], [0.5]]])
    value = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [10.0, 10.0]]])
    # Scores [[2, -6, 1], [-1, 3, -0.5]].
    sums, sizes, offset = tile_sums(query, key, value, rule=TileRule("none"))
    assert sums.tolist() == [[[12.0, 4.0], [-6.0, -2.0]]]
    assert sizes.tolist() == [[9.0, 4.5]]
    assert offset.tolist() == [[0.0, 0.0]]
    sums = tile_sums(query, key, value, rule=TileRule("none", absolute=True))[0]
    assert sums.tolist() == [[[12.0, 16.0], [6.0, 8.0]]]
    sums, sizes, _ = tile_sums(query, key, value, rule=TileRule("relu", skip_diagonal=True))
    assert sums.tolist() == [[[10.0, 10.0], [0.0, 0.0]]]
    assert sizes.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_scores_take_the_online_softmax(dtype: torch.dtype) -> None:
    """Scores to some thousands: the exponential of none of them fits into the type."""
    inputs = draw((2, 9, 17), codes=True, scale=1000.0)
    rule = TileRule("exp", "cross")
    with SMALL:
        offset = compare(inputs, rule)
        single = [x if x is None or not x.is_floating_point() else x.to(dtype) for x in inputs]
        sums, sizes, _ = tile_sums(*single, rule)
    score = (inputs.query @ inputs.key.mT).detach().masked_fill(~kept(inputs, rule), -torch.inf)
    top = score.amax(dim=-1)
    assert top.max() > 710
    empty = top == -torch.inf
    assert empty.any() and not empty.all()
    assert torch.allclose(offset, top.masked_fill(empty, 0.0))
    assert sums.isfinite().all() and (sizes >= 1)[~empty].all() and (sizes == 0)[empty].all()
    softmax = score.softmax(dim=-1).nan_to_num(0.0) @ inputs.value.detach()
    found = sums / torch.where(sizes > 0, sizes, 1.0).unsqueeze(-1)
    assert torch.allclose(found.double(), softmax, atol=1e-3 if dtype == torch.float32 else 1e-9)


def test_small_scores_need_no_offset() -> None:
    with SMALL:
        assert (compare(draw((2, 9, 17), codes=True), TileRule("exp")) == 0).all()


@pytest.mark.parametrize("activation", ["none", "relu", "shift", "exp"])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_rows_without_entries_are_zero(activation: str, scale: float) -> None:
    inputs = draw((2, 5, 9), codes=True, scale=scale)
    padding = torch.full_like(inputs.query_code, -1)
    with SMALL:
        results = tile_sums(*inputs[:3], padding, inputs.key_code, TileRule(activation))
        grads = torch.autograd.grad(results[0].sum() + results[1].sum(), inputs[:3])
    assert all(bool((x == 0).all()) for x in (*results, *grads))


@pytest.mark.parametrize("sizes", [(0, 4, 5), (2, 0, 5), (2, 4, 0)])
@pytest.mark.parametrize("activation", ["none", "exp"])
def test_no_nodes(sizes: tuple[int, int, int], activation: str) -> None:
    compare(draw(sizes, codes=True), TileRule(activation))


class LargestTensor(TorchDispatchMode):
    """Notes how many numbers the largest tensor holds that any operator returns."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, Tensor):
                size = tensor.untyped_storage().nbytes() // tensor.element_size()
                self.numbers = max(self.numbers, size)
        return out


@pytest.mark.parametrize("activation", ["none", "relu", "exp"])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_nothing_of_the_size_of_the_matrix_is_made(activation: str, scale: float) -> None:
    rule = TileRule(activation, "cross", 0.1, skip_diagonal=True)
    for n in (40, 160):
        inputs = [
            None if x is None else x.detach() for x in draw((1, n, n), codes=True, scale=scale)
        ]
        query, key, value, *codes = inputs
        grads = torch.ones(1, n, 2, dtype=torch.float64), torch.ones(1, n, dtype=torch.float64)
        with SMALL, LargestTensor() as largest:
            offset = loop_forward(query, key, value, tuple(codes), rule)[2]
            loop_backward(*grads, offset, query, key, value, tuple(codes), rule)
        # Two tiles, or the nodes with their 3 channels.
        assert largest.numbers == max(2 * 4 * 8, n * 3)


@pytest.mark.parametrize("codes", [False, True])
def test_operators_keep_the_rules_of_torch(codes: bool) -> None:
    inputs = draw((2, 5, 9), codes=codes)
    leaves = [x.detach().float().requires_grad_() for x in inputs[:3]]
    rule = TileRule("exp", "all", 0.2, skip_diagonal=True)
    torch.library.opcheck(torch.ops.gnnreloc.tile_sums.default, (*leaves, *inputs[3:], *rule))
    plain = [x.detach() for x in leaves]
    sums, sizes, offset = torch.ones(2, 5, 2), torch.ones(2, 5), torch.zeros(2, 5)
    for grads in ((sums, sizes), (None, sizes), (sums, None)):
        torch.library.opcheck(
            torch.ops.gnnreloc.tile_sums_backward.default,
            (*grads, offset, *plain, *inputs[3:], *rule),
        )


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("compiler", ["eager", "aot_eager"])
@pytest.mark.parametrize(
    "options",
    [
        {"activation": "softmax", "learn_temperature": True, "heads": 2},
        {"activation": "relu", "normalization": "sym", "support": "cross", "threshold": 0.1},
        {"normalization": "row", "add_self_loops": True},
    ],
)
def test_blocked_products_compile_in_one_graph(compiler: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, 6, **options)
    x, h = (torch.randn(2, 9, c, requires_grad=True) for c in (4, 3))
    inputs = [x, h, *layer.parameters()]
    calls: dict[str, Any] = {
        "group": torch.arange(9) < 4,
        "mask": torch.arange(9).expand(2, -1) < torch.tensor([[9], [7]]),
        "backend": "blocked",
        "return_sparsity": True,
    }

    def results(product: Any) -> list[Tensor]:
        out, sparsity = product(x, h, **calls)
        goal = out.sin().sum() + sparsity
        return [out, sparsity, *torch.autograd.grad(goal, inputs)]

    compiled = torch.compile(layer.matmul, fullgraph=True, backend=compiler)
    for one, other in zip(results(compiled), results(layer.matmul), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "softmax"])
def test_blocked_products_under_autocast(activation: str) -> None:
    """Cosines stay in float32, so all that differs is the rounding of phi's output."""
    torch.manual_seed(0)
    layer = CosineAdjacency(8, 6, activation=activation, temperature=0.2)
    x = torch.randn(2, 9, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer.matmul(x, x, backend="blocked")
        same = layer.matmul(x, x, backend="dense")
        out.square().sum().backward()
    assert out.dtype == same.dtype == torch.float32
    assert torch.allclose(out, same, atol=1e-5)
    exact = layer.matmul(x, x, backend="dense")
    assert 0 < (out - exact).abs().max() < 0.05 * exact.abs().max()
    assert layer.phi is not None and layer.phi.weight.grad is not None
    assert layer.phi.weight.grad.isfinite().all() and layer.phi.weight.grad.norm() > 0
