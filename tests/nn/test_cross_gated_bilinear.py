"""Attention, cross gating and bilinear matching, step by step in NumPy."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnreloc.nn.cross_gated_bilinear import CrossGatedBilinearMatching

Array = NDArray[np.float64]


def build(*sizes: int, rank: int = 2) -> CrossGatedBilinearMatching:
    torch.manual_seed(0)
    return CrossGatedBilinearMatching(*sizes, rank=rank).double()


def clips(steps: int, batch: int = 2, channels: int = 3, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, steps, channels, generator=generator, dtype=torch.float64)


def sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def test_repr() -> None:
    assert str(build(3, 5)) == "CrossGatedBilinearMatching(3, 5, rank=2)"
    assert str(build(3)) == "CrossGatedBilinearMatching(3, 3, rank=2)"


def test_against_a_loop_over_steps() -> None:
    layer = build(3, 4)
    torch.nn.init.normal_(layer.bias)
    query, reference = clips(5), clips(7, seed=2)
    weights: dict[str, Array] = {name: p.detach().numpy() for name, p in layer.named_parameters()}
    attention, out = layer.attention(query, reference), layer(query, reference)
    assert out.shape == (2, 7, 4)
    for b in range(2):
        for i in range(7):
            r = reference[b, i].numpy()
            energy = np.array(
                [
                    weights["attend.weight"][0]
                    @ np.tanh(
                        weights["attend_query.weight"] @ q
                        + weights["attend_query.bias"]
                        + weights["attend_reference.weight"] @ r
                    )
                    for q in query[b].numpy()
                ]
            )
            share = np.exp(energy) / np.exp(energy).sum()
            assert attention[b, i].tolist() == pytest.approx(share.tolist())
            attended = sum(a * q for a, q in zip(share, query[b].numpy(), strict=True))
            by_reference = sigmoid(
                weights["gate_reference.weight"] @ r + weights["gate_reference.bias"]
            )
            by_query = sigmoid(weights["gate_query.weight"] @ attended + weights["gate_query.bias"])
            for c in range(4):
                factor = weights["factors.weight"][2 * c : 2 * c + 2].T  # F_c, [d, k]
                form = (attended * by_reference) @ factor @ factor.T @ (r * by_query)
                assert out[b, i, c].item() == pytest.approx(form + weights["bias"][c])


def test_padding_of_the_query_is_not_seen() -> None:
    layer = build(3)
    query, reference = clips(5), clips(4, seed=2)
    padded = torch.cat([query, torch.full((2, 3, 3), 100.0, dtype=torch.float64)], dim=1)
    mask = torch.arange(8).expand(2, 8) < torch.tensor([[5], [3]])
    out = layer(padded, reference, mask)
    assert torch.allclose(out[0], layer(query, reference)[0], atol=1e-12)
    assert torch.allclose(out[1], layer(query[:, :3], reference)[1], atol=1e-12)
    assert (layer.attention(padded, reference, mask)[1, :, 3:] == 0).all()


def test_query_order_does_not_matter_and_reference_order_is_kept() -> None:
    layer = build(3)
    query, reference = clips(6), clips(5, seed=2)
    out = layer(query, reference)
    assert torch.allclose(layer(query[:, torch.randperm(6)], reference), out, atol=1e-12)
    order = torch.randperm(5)
    assert torch.allclose(layer(query, reference[:, order]), out[:, order], atol=1e-12)


def test_gradients() -> None:
    layer = build(3, 2)
    query, reference = clips(4).requires_grad_(), clips(3, seed=2).requires_grad_()
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    names, weights = zip(*layer.named_parameters(), strict=True)

    def matches(query: Tensor, reference: Tensor, *values: Tensor) -> Tensor:
        given = dict(zip(names, values, strict=True))
        out: Tensor = torch.func.functional_call(layer, given, (query, reference, mask))
        return out

    assert torch.autograd.gradcheck(matches, (query, reference, *weights))


def test_zero_rows_stay_finite() -> None:
    layer = build(3)
    query = torch.zeros(1, 4, 3, dtype=torch.float64, requires_grad=True)
    out = layer(query, torch.zeros(1, 5, 3, dtype=torch.float64))
    out.sum().backward()
    assert out.isfinite().all()
    assert query.grad is not None and query.grad.isfinite().all()


def test_copies_keep_the_weights() -> None:
    layer = build(3)
    query, reference = clips(4), clips(5, seed=2)
    other = pickle.loads(pickle.dumps(layer))
    for twin in (other, copy.deepcopy(layer)):
        assert torch.equal(twin(query, reference), layer(query, reference))
    layer.reset_parameters()
    assert not torch.equal(other(query, reference), layer(query, reference))


@pytest.mark.parametrize(
    ("sizes", "rank", "name"),
    [((0,), 2, "in_channels"), ((3, 0), 2, "out_channels"), ((3,), 0, "rank")],
)
def test_bad_options(sizes: tuple[int, ...], rank: int, name: str) -> None:
    with pytest.raises(ValueError, match=rf"'{name}' must be at least 1 \(got 0\)"):
        build(*sizes, rank=rank)


def test_matches_begin_with_the_variance_of_the_clips() -> None:
    layer = build(64, 256, rank=8)
    torch.nn.init.constant_(layer.gate_query.bias, 100.0)  # open gates
    torch.nn.init.constant_(layer.gate_reference.bias, 100.0)
    query, reference = clips(1, batch=50, channels=64), clips(1, batch=50, channels=64, seed=2)
    assert layer(query, reference).var().item() == pytest.approx(1.0, rel=0.3)
