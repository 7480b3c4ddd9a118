"""Boundary offsets."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnnreloc.nn import RegressionHead, decode_offsets, encode_offsets

starts = st.floats(-100, 1000)
lengths = st.floats(1, 7)


def segments(*rows: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_repr() -> None:
    assert str(RegressionHead(8, 4)) == "RegressionHead(8, 4)"


def test_head_by_hand() -> None:
    layer = RegressionHead(1, 1).double()
    with torch.no_grad():
        layer.hidden.weight.fill_(2.0)
        layer.hidden.bias.fill_(1.0)
        layer.out.weight.copy_(torch.tensor([[1.0], [-0.5]]))
        layer.out.bias.copy_(torch.tensor([0.0, 10.0]))
    offsets = layer(torch.tensor([[3.0], [-1.0]], dtype=torch.float64))
    assert offsets.tolist() == [[7.0, 6.5], [0.0, 10.0]]


def test_offsets_by_hand() -> None:
    # Centres 5 and 4, lengths 2 and 4.
    offsets = encode_offsets(segments((4, 6)), segments((2, 6)))
    assert offsets[0].tolist() == pytest.approx([0.25, math.log(0.5)])
    moment = decode_offsets(segments((4, 6)), offsets)
    assert moment[0].tolist() == pytest.approx([2, 6])


@given(st.lists(st.tuples(starts, lengths, starts, lengths), min_size=1, max_size=5))
def test_decode_inverts_encode(rows: list[tuple[float, float, float, float]]) -> None:
    segment = segments(*((start, start + length) for start, length, _, _ in rows))
    target = segments(*((start, start + length) for _, _, start, length in rows))
    decoded = decode_offsets(segment, encode_offsets(segment, target))
    assert torch.allclose(decoded, target, atol=1e-9)


@given(starts, lengths, st.floats(-3, 3), st.floats(-2, 2))
def test_encode_inverts_decode(start: float, length: float, center: float, log: float) -> None:
    segment = segments((start, start + length))
    offsets = segments((center, log))
    encoded = encode_offsets(segment, decode_offsets(segment, offsets))
    assert torch.allclose(encoded, offsets, atol=1e-9)


@given(st.floats(-50, 50))
def test_lengths_change_by_a_bounded_factor(log: float) -> None:
    moment = decode_offsets(segments((10, 14)), segments((0.0, log)))[0]
    length = float(moment[1] - moment[0])
    assert 4 * math.exp(-2) - 1e-9 <= length <= 4 * math.exp(2) + 1e-9
    assert float(moment.mean()) == pytest.approx(12)


def test_gradcheck() -> None:
    torch.manual_seed(0)
    layer = RegressionHead(3, 8, dropout=0.5).double().eval()
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    segment = segments((4, 6), (1, 9))
    assert torch.autograd.gradcheck(lambda x: decode_offsets(segment, layer(x)), (x,))


def test_copies_keep_the_weights() -> None:
    layer, x = RegressionHead(3, 4), torch.randn(5, 3)
    fresh = RegressionHead(3, 4)
    fresh.load_state_dict(layer.state_dict())
    for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), fresh):
        assert torch.equal(other(x), layer(x))
    layer.reset_parameters()
    assert not torch.equal(layer(x), fresh(x))


@pytest.mark.parametrize("bad", [(3.0, 3.0), (3.0, 2.0), (math.nan, 2.0)])
def test_segments_must_have_a_length(bad: tuple[float, float]) -> None:
    good = segments((0, 1), (1, 2))
    wrong = segments((0, 1), bad)
    with pytest.raises(ValueError, match="Row 1 of 'segment' must end after its start"):
        encode_offsets(wrong, good)
    with pytest.raises(ValueError, match="Row 1 of 'target' must end after its start"):
        encode_offsets(good, wrong)
    with pytest.raises(ValueError, match="Row 1 of 'segment' must end after its start"):
        decode_offsets(wrong, good)
