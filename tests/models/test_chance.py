"""Random segments of the reference."""

from __future__ import annotations

import pytest
import torch

from gnnreloc.data import Features
from gnnreloc.models import Chance


def test_chance_stays_in_the_reference(query: Features, reference: Features) -> None:
    system = Chance(seed=1)
    assert system.repeats > 1
    cuts = torch.cat([system.localize(query, reference).segments for _ in range(200)])
    assert cuts.shape == (1000, 2)
    assert bool((cuts[:, 0] <= cuts[:, 1]).all())
    assert cuts.min() >= 0.0 and cuts.max() <= reference.duration


def test_chance_cuts_at_two_uniform_points(query: Features, reference: Features) -> None:
    system = Chance()
    cuts = torch.cat([system.localize(query, reference).segments for _ in range(1000)])
    start, end = (cuts / reference.duration).unbind(dim=1)
    # The smaller and the larger of two uniform numbers have the means 1/3 and 2/3, variance 1/18.
    for points, mean in ((start, 1 / 3), (end, 2 / 3)):
        assert points.mean().item() == pytest.approx(mean, abs=0.02)
        assert points.var().item() == pytest.approx(1 / 18, abs=0.005)


def test_chance_holds_in_a_video_that_starts_late(query: Features) -> None:
    late = Features(torch.zeros(4, 2), step=0.5, offset=6.0)
    assert Chance().localize(query, late).segments.max() <= 8.0


def test_seed_decides(query: Features, reference: Features) -> None:
    def draws(seed: int) -> list[list[list[float]]]:
        system = Chance(seed=seed)
        return [system.localize(query, reference).segments.tolist() for _ in range(8)]

    assert draws(3) == draws(3)
    assert draws(3) != draws(4)
