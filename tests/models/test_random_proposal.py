"""The proposals in random order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gnnreloc.data import Features
from gnnreloc.errors import InputError
from gnnreloc.models import RandomProposal


def test_each_proposal_has_the_same_chance(
    query: Features, reference: Features, proposals: Tensor
) -> None:
    system = RandomProposal()
    assert system.repeats > 1
    moments = system.localize(query, reference, proposals)
    assert sorted(moments.segments.tolist()) == sorted(proposals.tolist())
    firsts = [system.localize(query, reference, proposals).segments[0] for _ in range(1000)]
    shares = (torch.stack(firsts).unsqueeze(1) == proposals).all(dim=2).double().mean(dim=0)
    # Four standard deviations of a share of 1/4 in 1000 draws are 0.055.
    assert shares.tolist() == pytest.approx([0.25] * 4, abs=0.055)


def test_seed_decides(query: Features, reference: Features, proposals: Tensor) -> None:
    def draws(seed: int) -> list[list[list[float]]]:
        system = RandomProposal(seed=seed)
        return [system.localize(query, reference, proposals).segments.tolist() for _ in range(8)]

    assert draws(3) == draws(3)
    assert draws(3) != draws(4)


def test_proposals_are_needed(
    query: Features, reference: Features, no_proposals: Tensor | None
) -> None:
    with pytest.raises(InputError, match="no proposals"):
        RandomProposal().localize(query, reference, no_proposals)
