"""Rectified linear unit and dropout in one."""

from __future__ import annotations

import pytest
import torch

from gnnreloc.nn.rectified_dropout import RectifiedDropout, draw_kept, kept_scale


def test_repr() -> None:
    assert str(RectifiedDropout(0.25)) == "RectifiedDropout(p=0.25)"


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_a_probability_is_between_0_and_1(p: float) -> None:
    with pytest.raises(ValueError, match="'p' must be between 0 and 1"):
        RectifiedDropout(p)


def test_outside_of_training_it_is_the_rectified_linear_unit() -> None:
    x = torch.randn(4, 5)
    assert torch.equal(RectifiedDropout(0.5).eval()(x), x.relu())
    assert torch.equal(RectifiedDropout(0.0)(x), x.relu())


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(300, 1001), (99_999,)])
def test_the_share_of_dropped_values_and_the_mean(p: float, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.ones(shape)
    out = RectifiedDropout(p)(x)
    kept = out != 0
    deviation = (p * (1 - p) / x.numel()) ** 0.5
    assert abs(kept.double().mean().item() - (1 - p)) < 5 * deviation
    torch.testing.assert_close(
        out[kept], torch.full((int(kept.sum()),), 1 / (1 - p)), rtol=1e-3, atol=0
    )
    assert abs(out.double().mean().item() - 1) < 5 * deviation / (1 - p)
    assert RectifiedDropout(p)(-x).count_nonzero() == 0


def test_values_are_dropped_on_their_own() -> None:
    """Four values share a random word: none of the pairs in it hangs together."""
    torch.manual_seed(0)
    kept = draw_kept(torch.empty(100_000, 4), 0.5)
    correlation = torch.corrcoef(torch.cat([kept, kept.roll(1, 0)[:, :1]], dim=1).T)
    assert (correlation - torch.eye(5)).abs().max() < 0.02


def test_every_level_is_drawn() -> None:
    torch.manual_seed(0)
    x = torch.empty(400_000)
    for share in (2.0**-14, 1 - 2.0**-14):
        dropped = 1 - draw_kept(x, share).double().mean().item()
        assert abs(dropped - share) < 5 * (2.0**-14 / len(x)) ** 0.5


def test_probability_1_drops_all() -> None:
    x = torch.randn(7, requires_grad=True)
    out = RectifiedDropout(1.0)(x)
    assert out.tolist() == [0.0] * 7
    assert torch.autograd.grad(out.sum(), x)[0].tolist() == [0.0] * 7
    assert kept_scale(1.0) == 0.0 and kept_scale(0.0) == 1.0 and kept_scale(0.5) == 2.0


def test_the_gradient_is_that_of_the_kept_values() -> None:
    torch.manual_seed(0)
    x, factor = torch.randn(50, 7, requires_grad=True), torch.randn(50, 7)
    out = RectifiedDropout(0.25)(x)
    gradient = torch.autograd.grad(out, x, factor)[0]
    kept = (out != 0).float()
    torch.testing.assert_close(out, x.relu() * kept * kept_scale(0.25))
    torch.testing.assert_close(gradient, factor * kept * kept_scale(0.25))
    assert 0 < kept.sum() < (x > 0).sum()


def test_the_seed_decides() -> None:
    layer, x = RectifiedDropout(0.5), torch.ones(100)
    torch.manual_seed(1)
    first = layer(x)
    assert not torch.equal(layer(x), first)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types(dtype: torch.dtype) -> None:
    out = RectifiedDropout(0.5)(torch.ones(1000, dtype=dtype))
    assert out.dtype == dtype and sorted(out.unique().tolist()) == [0.0, 2.0]


def test_compiles_without_graph_break() -> None:
    torch.compiler.reset()
    layer = torch.compile(RectifiedDropout(0.5), fullgraph=True, backend="eager")
    out = layer(torch.ones(1000))
    assert sorted(out.unique().tolist()) == [0.0, 2.0]
