"""Linear weights, a chunk of nodes at a time: the same numbers and gradients as by the matrices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnreloc.nn import CosineAdjacency, streamed_sums

OPTIONS = st.fixed_dictionaries(
    {
        "activation": st.sampled_from(["none", "shift"]),
        "normalization": st.sampled_from(["none", "row", "sym"]),
        "add_self_loops": st.booleans(),
        "heads": st.sampled_from([1, 2]),
        "out_channels": st.sampled_from([None, 3]),
        "temperature": st.sampled_from([1.0, 2.5]),
        "learn_temperature": st.booleans(),
    }
)
#: Chunks of a node of one head, of a few nodes, of a graph or two.
CHUNKS = st.sampled_from([1, 8, 17, 48])


def build(choice: dict[str, Any]) -> CosineAdjacency:
    """A layer whose weights are linear in the cosines."""
    options = dict(choice)
    if options["activation"] == "none" or options["learn_temperature"]:
        options["normalization"] = "none"
    return CosineAdjacency(4, **options).double()


def has_sparsity(layer: CosineAdjacency) -> bool:
    return layer.activation == "shift" and not layer.learn_temperature


def derived(result: Any, inputs: list[Tensor]) -> list[Tensor]:
    """Gradients of a random combination of all numbers of a result."""
    results = result if isinstance(result, tuple) else (result,)
    generator = torch.Generator().manual_seed(1)
    goals = [
        (r * torch.randn(r.shape, generator=generator, dtype=torch.float64)).sum() for r in results
    ]
    goal = torch.stack(goals).sum()
    return list(torch.autograd.grad(goal, inputs, allow_unused=True, materialize_grads=True))


@pytest.fixture
def count_of_streams(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that sums were streamed."""
    calls: list[int] = []
    plain = streamed_sums._StreamedSums.apply

    def counted(*inputs: Any) -> Any:
        calls.append(1)
        return plain(*inputs)

    monkeypatch.setattr(streamed_sums._StreamedSums, "apply", counted)
    return calls


@settings(deadline=None, max_examples=120)
@given(OPTIONS, CHUNKS, st.booleans(), st.booleans(), st.integers(0, 10_000))
def test_chunks_are_the_matrix(
    choice: dict[str, Any], chunk: int, bipartite: bool, padded: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = build({**choice, "add_self_loops": choice["add_self_loops"] and not bipartite})
    nodes = [torch.randn(3, n, 4, dtype=torch.float64) for n in (5, 7)]
    nodes[0][1, 2] = 0.0  # has no direction
    masks = tuple(torch.rand(3, n) < 0.7 for n in (5, 7))
    h = torch.randn(3, 5, 3, dtype=torch.float64, requires_grad=True)
    leaves = [x.requires_grad_() for x in (nodes if bipartite else nodes[:1])]
    x: Any = tuple(leaves) if bipartite else leaves[0]
    mask: Any = (masks if bipartite else masks[0]) if padded else None
    inputs = [h, *leaves, *layer.parameters()]
    options = {"return_sparsity": has_sparsity(layer)}

    expected = layer.matmul(x, h, mask, backend="dense", **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed_sums, "CHUNK", chunk)
        found = layer.matmul(x, h, mask, backend="lowrank", **options)
        gradients = derived(found, inputs)
    pairs = zip(found, expected, strict=True) if options["return_sparsity"] else [(found, expected)]
    for one, other in pairs:
        assert torch.allclose(one, other, atol=1e-10)
    for one, other in zip(gradients, derived(expected, inputs), strict=True):
        assert torch.allclose(one, other, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(OPTIONS, st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(0, 10_000))
def test_ragged_graphs_in_chunks(choice: dict[str, Any], sizes: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    layer = build(choice)
    x = torch.randn(sum(sizes), 4, dtype=torch.float64, requires_grad=True)
    batch = torch.repeat_interleave(torch.tensor(sizes))
    options: dict[str, Any] = {"batch": batch, "batch_size": len(sizes)}
    expected = layer.matmul(x, x, backend="edge", **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed_sums, "CHUNK", 8)
        found = layer.matmul(x, x, backend="lowrank", **options)
        assert torch.allclose(found, expected, atol=1e-10)
        if sum(sizes) > 0:
            gradient = derived(found, [x])[0]
            assert torch.allclose(gradient, derived(expected, [x])[0], atol=1e-9)


@pytest.mark.parametrize("wanted", ["sending", "receiving", "values"])
def test_only_the_gradients_that_are_asked_for(
    wanted: str, monkeypatch: pytest.MonkeyPatch, count_of_streams: list[int]
) -> None:
    torch.manual_seed(0)
    layer = CosineAdjacency(4, activation="shift", normalization="row").double()
    tensors = {
        "sending": torch.randn(1, 6, 4, dtype=torch.float64),
        "receiving": torch.randn(1, 5, 4, dtype=torch.float64),
        "values": torch.randn(1, 6, 2, dtype=torch.float64),
    }
    tensors[wanted].requires_grad_()

    def product(backend: str) -> Any:
        nodes = (tensors["sending"], tensors["receiving"])
        return layer.matmul(nodes, tensors["values"], backend=backend)

    expected = derived(product("dense"), [tensors[wanted]])[0]
    monkeypatch.setattr(streamed_sums, "CHUNK", 8)
    assert torch.allclose(derived(product("lowrank"), [tensors[wanted]])[0], expected)
    assert len(count_of_streams) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"learn_temperature": True, "temperature": 0.6, "add_self_loops": True},
        {"activation": "shift", "learn_temperature": True, "add_self_loops": True},
        {"activation": "shift", "normalization": "row", "add_self_loops": True},
        {"activation": "shift", "normalization": "sym", "temperature": 2.0},
    ],
)
def test_first_and_second_derivatives(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, count_of_streams: list[int]
) -> None:
    monkeypatch.setattr(streamed_sums, "CHUNK", 8)
    torch.manual_seed(0)
    layer = CosineAdjacency(3, None, **options).double()
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    h = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    temperature = [p.detach().clone().requires_grad_() for p in layer.parameters()]

    def product(x: Tensor, h: Tensor, *temperature: Tensor) -> Any:
        values = dict(zip(["layer.log_temperature"], temperature, strict=False))
        return torch.func.functional_call(Product(layer), values, (x, h))

    assert torch.autograd.gradcheck(product, (x, h, *temperature))
    assert torch.autograd.gradgradcheck(product, (x, h, *temperature))
    assert count_of_streams


def test_transforms_of_functions(
    monkeypatch: pytest.MonkeyPatch, count_of_streams: list[int]
) -> None:
    torch.manual_seed(0)
    layer, x = CosineAdjacency(3), torch.randn(1, 6, 3)
    tangent = torch.randn_like(x)

    def goal(x: Tensor) -> Tensor:
        return layer.matmul(x, x, backend="lowrank").square().sum()

    expected = torch.func.grad(goal)(x), torch.func.jvp(goal, (x,), (tangent,))[1]
    monkeypatch.setattr(streamed_sums, "CHUNK", 8)
    assert torch.allclose(torch.func.grad(goal)(x), expected[0], atol=1e-5)
    assert count_of_streams
    assert torch.allclose(torch.func.jvp(goal, (x,), (tangent,))[1], expected[1], atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, count_of_streams: list[int]
) -> None:
    """Sums are float32: rounded once, when they are done."""
    monkeypatch.setattr(streamed_sums, "CHUNK", 8)
    torch.manual_seed(0)
    layer = CosineAdjacency(4, activation="shift", normalization="row", add_self_loops=True)
    x, h = torch.randn(2, 30, 4).to(dtype), torch.randn(2, 30, 3).to(dtype)
    x.requires_grad_()
    h.requires_grad_()
    found = layer.matmul(x, h, backend="lowrank")
    assert found.dtype == dtype
    exact = layer.matmul(x.double(), h.double(), backend="dense")
    assert torch.allclose(found.double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-6)
    for one, other in zip(derived(found, [x, h]), derived(exact, [x, h]), strict=True):
        assert one.dtype == dtype
        assert torch.allclose(one.double(), other.double(), atol=0.02, rtol=0.02)
    assert count_of_streams


def test_autocast_keeps_single_precision(
    monkeypatch: pytest.MonkeyPatch, count_of_streams: list[int]
) -> None:
    torch.manual_seed(0)
    layer, x = CosineAdjacency(4), torch.randn(1, 40, 4, requires_grad=True)
    expected = derived(layer.matmul(x, x, backend="dense").double(), [x])[0]
    monkeypatch.setattr(streamed_sums, "CHUNK", 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer.matmul(x, x, backend="lowrank")
        assert out.dtype == torch.float32
        assert torch.allclose(derived(out.double(), [x])[0], expected, atol=1e-4)
    assert len(count_of_streams) == 1


def test_a_compiler_takes_the_plain_sums(
    monkeypatch: pytest.MonkeyPatch, count_of_streams: list[int]
) -> None:
    monkeypatch.setattr(streamed_sums, "CHUNK", 8)
    torch.compiler.reset()
    torch.manual_seed(0)
    layer, x = CosineAdjacency(4), torch.randn(1, 9, 4)

    def product(x: Tensor) -> Any:
        return layer.matmul(x, x, backend="lowrank")

    compiled = torch.compile(product, fullgraph=True, backend="aot_eager")
    found = compiled(x)
    assert not count_of_streams
    assert torch.allclose(found, product(x), atol=1e-6)
    assert len(count_of_streams) == 1
    torch.compiler.reset()


class Product(torch.nn.Module):
    """A module whose call is `matmul` by the back end ``"lowrank"``."""

    def __init__(self, layer: CosineAdjacency) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return self.layer.matmul(x, h, backend="lowrank")
