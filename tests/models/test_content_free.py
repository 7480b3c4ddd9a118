"""Systems that do not look at the query."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gnnreloc.data import Features
from gnnreloc.data.overlap import temporal_iou
from gnnreloc.errors import InputError
from gnnreloc.models import (
    Chance,
    LongestProposal,
    Oracle,
    RandomProposal,
    Relocalizer,
    WholeReference,
)

QUERY = Features(torch.zeros(3, 2), step=0.5)
REFERENCE = Features(torch.zeros(20, 2), step=0.5)
PROPOSALS = torch.tensor([[1.0, 3.0], [0.0, 7.0], [2.0, 4.0], [5.0, 10.0]], dtype=torch.float64)


def shares_of_first_places(system: Relocalizer, draws: int) -> Tensor:
    """How often each proposal is ranked first, ``[m]``."""
    firsts = [system.localize(QUERY, REFERENCE, PROPOSALS).segments[0] for _ in range(draws)]
    return (torch.stack(firsts).unsqueeze(1) == PROPOSALS).all(dim=2).double().mean(dim=0)


def test_chance_stays_in_the_reference() -> None:
    system = Chance(seed=1)
    assert system.repeats > 1
    cuts = torch.cat([system.localize(QUERY, REFERENCE).segments for _ in range(200)])
    assert cuts.shape == (1000, 2)
    assert bool((cuts[:, 0] <= cuts[:, 1]).all())
    assert cuts.min() >= 0.0 and cuts.max() <= REFERENCE.duration


def test_chance_cuts_at_two_uniform_points() -> None:
    system = Chance()
    cuts = torch.cat([system.localize(QUERY, REFERENCE).segments for _ in range(1000)])
    start, end = (cuts / REFERENCE.duration).unbind(dim=1)
    # The smaller and the larger of two uniform numbers have the means 1/3 and 2/3, variance 1/18.
    for points, mean in ((start, 1 / 3), (end, 2 / 3)):
        assert points.mean().item() == pytest.approx(mean, abs=0.02)
        assert points.var().item() == pytest.approx(1 / 18, abs=0.005)


def test_chance_holds_in_a_video_that_starts_late() -> None:
    late = Features(torch.zeros(4, 2), step=0.5, offset=6.0)
    assert WholeReference().localize(QUERY, late).segments.tolist() == [[0.0, 8.0]]
    assert Chance().localize(QUERY, late).segments.max() <= 8.0


@pytest.mark.parametrize("system", [Chance, RandomProposal])
def test_seeds(system: type[Chance] | type[RandomProposal]) -> None:
    def draws(seed: int) -> list[list[list[float]]]:
        made = system(seed=seed)
        return [made.localize(QUERY, REFERENCE, PROPOSALS).segments.tolist() for _ in range(8)]

    assert draws(3) == draws(3)
    assert draws(3) != draws(4)


def test_random_proposal_gives_each_the_same_chance() -> None:
    system = RandomProposal()
    assert system.repeats > 1
    moments = system.localize(QUERY, REFERENCE, PROPOSALS)
    assert sorted(moments.segments.tolist()) == sorted(PROPOSALS.tolist())
    # Four standard deviations of a share of 1/4 in 1000 draws are 0.055.
    assert shares_of_first_places(system, 1000).tolist() == pytest.approx([0.25] * 4, abs=0.055)


def test_longest_proposal() -> None:
    moments = LongestProposal().localize(QUERY, REFERENCE, PROPOSALS)
    assert moments.segments.tolist() == [[0.0, 7.0], [5.0, 10.0], [1.0, 3.0], [2.0, 4.0]]
    assert moments.scores.tolist() == [7.0, 5.0, 2.0, 2.0]


def test_whole_reference() -> None:
    system = WholeReference()
    moments = system.localize(QUERY, REFERENCE)
    assert moments.segments.tolist() == [[0.0, 10.0]]
    assert torch.equal(moments.segments, system.localize(QUERY, REFERENCE, PROPOSALS).segments)


def test_oracle_ranks_by_the_nearest_truth() -> None:
    system = Oracle()
    with pytest.raises(InputError, match="set `targets` first"):
        system.localize(QUERY, REFERENCE, PROPOSALS)
    system.targets = torch.tensor([[2.0, 4.0], [4.0, 10.0]], dtype=torch.float64)
    moments = system.localize(QUERY, REFERENCE, PROPOSALS)
    # tIoU with the nearer one: 1/3, 3/10, 1, 5/6.
    assert moments.segments.tolist() == [[2.0, 4.0], [5.0, 10.0], [1.0, 3.0], [0.0, 7.0]]
    expected = temporal_iou(moments.segments, system.targets).amax(dim=1)
    assert torch.equal(moments.scores, expected)


@pytest.mark.parametrize("system", [RandomProposal(), LongestProposal(), Oracle()])
def test_proposals_are_needed(system: Relocalizer) -> None:
    for proposals in (None, torch.empty(0, 2, dtype=torch.float64)):
        with pytest.raises(InputError, match="no proposals"):
            system.localize(QUERY, REFERENCE, proposals)
