"""Scores of graph vectors."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch

from gnnreloc.nn import ScoreHead


def test_repr() -> None:
    assert str(ScoreHead(8, 4)) == "ScoreHead(8, 4, bounded=True)"


@pytest.mark.parametrize("bounded", [True, False])
def test_by_hand(bounded: bool) -> None:
    layer = ScoreHead(2, 2, bounded=bounded).double()
    with torch.no_grad():
        layer.hidden.weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
        layer.hidden.bias.copy_(torch.tensor([0.0, 1.0]))
        layer.out.weight.copy_(torch.tensor([[0.5, -1.0]]))
        layer.out.bias.fill_(0.25)
    score = layer(torch.tensor([[1.0, 3.0], [-2.0, -1.0]], dtype=torch.float64))
    # Hidden values (4, 0) and (0, 0).
    expected = [2.25, 0.25]
    assert score.tolist() == pytest.approx(
        [math.tanh(v) for v in expected] if bounded else expected
    )


def test_gradcheck_and_dropout() -> None:
    torch.manual_seed(0)
    layer = ScoreHead(3, 16, dropout=0.5).double()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    assert torch.autograd.gradcheck(layer, (x,))


def test_copies_keep_the_weights() -> None:
    layer, x = ScoreHead(3, 4), torch.randn(5, 3)
    fresh = ScoreHead(3, 4)
    fresh.load_state_dict(layer.state_dict())
    for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), fresh):
        assert torch.equal(other(x), layer(x))
    layer.reset_parameters()
    assert not torch.equal(layer(x), fresh(x))
