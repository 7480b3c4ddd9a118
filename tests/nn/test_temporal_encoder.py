"""Encoding along time."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from gnnreloc.nn import TemporalEncoder

KINDS = ["lstm", "bilstm", "cnn"]


def test_repr() -> None:
    assert str(TemporalEncoder(3, 8)) == "TemporalEncoder(3, 8, kind=lstm, num_layers=1)"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_shape_and_batch_is_loop(kind: str, num_layers: int) -> None:
    torch.manual_seed(0)
    layer = TemporalEncoder(3, 8, kind=kind, num_layers=num_layers, dropout=0.5).eval()
    x = torch.randn(4, 10, 3)
    out = layer(x)
    assert out.shape == (4, 10, 8)
    alone = torch.cat([layer(clip.unsqueeze(0)) for clip in x])
    assert torch.allclose(out, alone, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "num_layers", "reach"),
    [("lstm", 1, (5, 10)), ("bilstm", 1, (0, 10)), ("cnn", 1, (4, 7)), ("cnn", 2, (3, 8))],
)
def test_what_one_timestep_reaches(kind: str, num_layers: int, reach: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = TemporalEncoder(3, 64, kind=kind, num_layers=num_layers)
    x = torch.randn(1, 10, 3)
    changed = x.clone()
    changed[0, 5] += 1
    moved = (layer(x) != layer(changed)).any(dim=-1)[0]
    assert moved.nonzero().flatten().tolist() == list(range(*reach))


def test_cnn_by_hand() -> None:
    layer = TemporalEncoder(1, 1, kind="cnn").double()
    with torch.no_grad():
        for parameter, value in zip(layer.parameters(), ([[[1.0, 2.0, -1.0]]], [0.5]), strict=True):
            parameter.copy_(torch.tensor(value))
    out = layer(torch.tensor([[[1.0], [3.0], [9.0]]], dtype=torch.float64))
    # 2 - 3, 1 + 6 - 9 and 3 + 18, each plus a half, negatives cut off.
    assert out.flatten().tolist() == [0.0, 0.0, 21.5]


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_on_a_single_layer_in_training(kind: str) -> None:
    torch.manual_seed(0)
    layer = TemporalEncoder(3, 64, kind=kind, dropout=0.5)
    x = torch.randn(2, 10, 3)
    dropped = (layer(x) == 0).float().mean()
    kept = (layer.eval()(x) == 0).float().mean()
    assert dropped > kept + 0.1


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    for kind in KINDS:
        layer = TemporalEncoder(3, 8, kind=kind, num_layers=2)
        layer(torch.randn(2, 5, 3)).square().sum().backward()
        for name, parameter in layer.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_copies_keep_the_weights(kind: str) -> None:
    layer = TemporalEncoder(3, 8, kind=kind)
    x = torch.randn(2, 5, 3)
    fresh = TemporalEncoder(3, 8, kind=kind)
    fresh.load_state_dict(layer.state_dict())
    for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), fresh):
        assert torch.equal(other(x), layer(x))
    layer.reset_parameters()
    assert not torch.equal(layer(x), fresh(x))


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="'kind' must be one of lstm, bilstm, cnn"):
        TemporalEncoder(3, 8, kind="gru")
    with pytest.raises(ValueError, match=r"must be even for two directions \(got 7\)"):
        TemporalEncoder(3, 7, kind="bilstm")
    with pytest.raises(ValueError, match=r"'kernel_size' must be odd \(got 4\)"):
        TemporalEncoder(3, 8, kind="cnn", kernel_size=4)
    with pytest.raises(ValueError, match="'num_layers' must be at least 1"):
        TemporalEncoder(3, 8, num_layers=0)
