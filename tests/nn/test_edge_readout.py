"""The readout of edges: shapes, batches, and that it tells a diagonal from noise."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

from gnnreloc.nn import EdgeReadout


@pytest.mark.parametrize("rows", [1, 2, 3, 6, 24, 80])
@pytest.mark.parametrize("columns", [1, 5, 24])
def test_shapes(rows: int, columns: int) -> None:
    readout = EdgeReadout(3, 7)
    assert readout(torch.randn(4, 3, rows, columns)).shape == (4, 7)
    assert str(readout) == "EdgeReadout(3, 7)"


def test_graphs_do_not_meet() -> None:
    torch.manual_seed(0)
    readout, weight = EdgeReadout(2, 5).eval(), torch.randn(6, 2, 24, 24)
    order = torch.randperm(6)
    together = readout(weight)
    torch.testing.assert_close(readout(weight[order]), together[order])
    torch.testing.assert_close(torch.cat([readout(one[None]) for one in weight]), together)


def test_by_hand() -> None:
    """With one path through the middle of each kernel the largest weight of all comes out."""
    readout = EdgeReadout(1, 1, hidden_channels=1)
    with torch.no_grad():
        for parameter in readout.parameters():
            parameter.zero_()
        for convolution in readout.convolutions:
            assert isinstance(convolution.weight, Tensor)
            middle = convolution.weight.size(-1) // 2
            convolution.weight[0, 0, middle, middle] = 1.0
        readout.out.weight[0, :36] = 1.0
    weight = torch.zeros(1, 1, 24, 24)
    weight[0, 0, 3, 5], weight[0, 0, 2, 5], weight[0, 0, 20, 20] = 0.75, 0.5, 2.0
    weight[0, 0, 10, 10] = -4.0  # rectified
    # The first two share one of the 6 x 6 cells of four timesteps: the larger stays.
    assert readout(weight).item() == pytest.approx(2.75)


def test_dropout_in_training_alone() -> None:
    torch.manual_seed(0)
    readout, weight = EdgeReadout(1, 64, dropout=0.5), torch.randn(2, 1, 8, 8)
    assert not torch.equal(readout(weight), readout(weight))
    readout.eval()
    assert torch.equal(readout(weight), readout(weight))


def test_reset_and_copies() -> None:
    readout, weight = EdgeReadout(2, 3), torch.randn(1, 2, 9, 9)
    wanted = readout(weight)
    for twin in (copy.deepcopy(readout), pickle.loads(pickle.dumps(readout))):
        assert torch.equal(twin(weight), wanted)
    before = {name: value.clone() for name, value in readout.state_dict().items()}
    readout.reset_parameters()
    assert all(not torch.equal(before[name], value) for name, value in readout.named_parameters())


def test_it_learns_to_tell_a_diagonal() -> None:
    torch.manual_seed(0)
    readout = EdgeReadout(1, 16)
    head = torch.nn.Linear(16, 1)
    optimizer = torch.optim.Adam([*readout.parameters(), *head.parameters()], lr=3e-3)
    loss = torch.nn.BCEWithLogitsLoss()

    def draw() -> tuple[Tensor, Tensor]:
        label = torch.arange(32) % 2
        line = torch.eye(24).expand(32, 24, 24)
        weight = torch.where(label.view(-1, 1, 1) == 1, line, line.flip(-1))
        return (weight + 0.3 * torch.randn(32, 24, 24)).unsqueeze(1), label.float()

    for _ in range(40):
        weight, label = draw()
        optimizer.zero_grad()
        loss(head(readout(weight)).squeeze(1), label).backward()
        optimizer.step()
    weight, label = draw()
    assert bool(((head(readout(weight)).squeeze(1) > 0) == (label == 1)).all())
