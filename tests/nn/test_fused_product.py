"""Products by the fused kernels through the layer: on a GPU, or in Triton's interpreter."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from gnnreloc.nn import CosineAdjacency, tile_sums
from gnnreloc.nn.tile_sums_triton import why_unavailable

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
pytestmark = pytest.mark.skipif(
    why_unavailable(DEVICE) is not None, reason=str(why_unavailable(DEVICE))
)


@pytest.fixture(autouse=True)
def kernels_only(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kernels on any device, where they can do it; the names of those that ran."""
    module: Any = sys.modules[tile_sums.__name__]
    ran: list[str] = []

    def is_fused(device: torch.device, dtype: torch.dtype, rule: Any) -> bool:
        fused = not rule.absolute and why_unavailable(device, dtype) is None
        ran.append("kernel" if fused else "loop")
        return fused

    monkeypatch.setattr(module, "_is_fused", is_fused)
    return ran


def product(
    layer: CosineAdjacency, x: Tensor, h: Tensor, backend: str, **options: Any
) -> list[Tensor]:
    """Product, sparsity, and gradients of all inputs."""
    inputs = [tensor.clone().requires_grad_() for tensor in (x, h)]
    out, sparsity = layer.matmul(*inputs, backend=backend, return_sparsity=True, **options)
    wanted = torch.linspace(-1, 1, out.numel(), device=out.device).view(out.shape)
    goal = (out.float() * wanted).sum() + 3 * sparsity
    return [out, sparsity, *torch.autograd.grad(goal, [*inputs, *layer.parameters()])]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "relu", "normalization": "row", "heads": 2},
        {"activation": "relu", "normalization": "sym", "add_self_loops": True},
        {"activation": "shift", "threshold": 0.3, "support": "cross"},
        {"activation": "softmax", "temperature": 0.2, "learn_temperature": True},
        {"activation": "softmax", "add_self_loops": True, "support": "cross", "heads": 2},
        {"normalization": "sym"},
    ],
)
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_kernels_give_the_product(
    options: dict[str, Any], padded: bool, dtype: torch.dtype, kernels_only: list[str]
) -> None:
    if DEVICE.type == "cpu" and dtype == torch.bfloat16:
        pytest.skip("Triton's interpreter does not multiply bfloat16")
    torch.manual_seed(0)
    layer = CosineAdjacency(8, 8, **options).to(DEVICE)
    x = torch.randn(2, 9, 8, device=DEVICE)
    h = torch.randn(2, 9, 6, device=DEVICE).to(dtype)
    group = torch.arange(9, device=DEVICE) < 4
    lengths = torch.tensor([[9], [7]], device=DEVICE)
    mask = torch.arange(9, device=DEVICE).expand(2, -1) < lengths if padded else None
    found = product(layer, x, h, "blocked", mask=mask, group=group)
    assert "kernel" in kernels_only
    wanted = product(layer, x, h, "dense", mask=mask, group=group)
    tolerance = {torch.float32: 2e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}[dtype]
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        scale = max(1.0, float(other.detach().abs().max()))
        assert float((one - other).detach().abs().max()) <= tolerance * scale


def test_operators_are_registered_rightly() -> None:
    nodes = torch.randn(9, 2, 8, device=DEVICE).transpose(0, 1)  # not contiguous
    value = torch.randn(2, 9, 4, device=DEVICE)
    rule = ("relu", "all", None, False, False)
    forward = (nodes.clone().transpose(0, 1).contiguous().transpose(0, 1), nodes, value)
    forward = tuple(tensor.requires_grad_() for tensor in forward)  # type: ignore[assignment]
    torch.library.opcheck(torch.ops.gnnreloc.tile_sums.default, (*forward, None, None, *rule))
    given = (torch.ones(2, 9, 4, device=DEVICE), None, torch.zeros(2, 9, device=DEVICE))
    inputs = tuple(tensor.detach() for tensor in forward)
    torch.library.opcheck(
        torch.ops.gnnreloc.tile_sums_backward.default, (*given, *inputs, None, None, *rule)
    )
