"""Scores from clips that were encoded before are those of the pair graphs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gnnreloc.data import Features
from gnnreloc.errors import InputError
from gnnreloc.models import GraphRelocalizer, PairNetwork, clip_scoring, create_model
from gnnreloc.models.clip_scoring import ClipScorer
from gnnreloc.models.encoded_proposals import EncodedProposals

CHANNELS = 5


def build(**options: Any) -> GraphRelocalizer:
    torch.manual_seed(2)
    known: dict[str, Any] = {"timesteps": 7, "hidden_channels": 8, "edge_heads": 2}
    model = create_model("dynamic", in_channels=CHANNELS, **(known | options))
    assert isinstance(model, GraphRelocalizer)
    return model.eval()


def clips(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    start, length = torch.rand(2, count, 1, generator=generator, dtype=torch.float64)
    return torch.cat([30 * start, 30 * start + 0.5 + 9 * length], dim=1)


def video(rows: int, seed: int) -> Features:
    return Features(torch.randn(rows, CHANNELS, generator=torch.Generator().manual_seed(seed)), 0.5)


QUERY, REFERENCE = video(9, 0), video(80, 1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resampling": "pool"},
        {"resampling": "nearest", "context": 0.0},
        {"edge_heads": 0},
        {"edge_heads": 3, "timesteps": 13, "hidden_channels": 12},
        {"compare_lengths": False, "pooling": "mean"},
        {"activation": "relu", "normalization": "row", "learn_temperature": False},
        {"activation": "none", "temperature": 1.0},
        {"activation": "shift", "top_k": 2},
        {"project_input": False, "encoder": "lstm", "bounded_score": True},
        {"encoder": "cnn", "rounds": 3},
        {"refine": False},
    ],
)
def test_scores_are_those_of_the_pair_graphs(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_scoring, "CLIPS", 4)
    monkeypatch.setattr(clip_scoring, "ENCODED", 7)
    model = build(**options)
    assert ClipScorer.fits(model)
    # Wide scores: a head that has just been drawn says nearly the same of all.
    with torch.no_grad():
        model.score_head.out.weight.mul_(10)
    proposals = clips(17)
    fast = model.encode(REFERENCE, proposals)
    assert isinstance(fast, EncodedProposals)
    for query in (QUERY, video(31, 5)):
        wanted = PairNetwork.localize(model, query, REFERENCE, proposals)
        assert wanted.scores.std() > 0.003
        for found in (fast.localize(query), model.localize(query, REFERENCE, proposals)):
            # Equal scores may change places: compared by candidate.
            for moments in (found, wanted):
                assert bool((moments.scores.diff() <= 0).all())
            order, other = by_candidate(found.candidates), by_candidate(wanted.candidates)
            assert torch.equal(found.candidates[order], wanted.candidates[other])
            assert torch.allclose(found.scores[order], wanted.scores[other], atol=1e-5, rtol=1e-5)
            assert torch.allclose(found.segments[order], wanted.segments[other], atol=1e-4)


def by_candidate(candidates: torch.Tensor) -> torch.Tensor:
    return candidates[:, 0].argsort()


def test_a_query_without_direction_scores_as_in_a_pair_graph() -> None:
    model = build()
    query = Features(torch.zeros(4, CHANNELS), 0.5)
    wanted = PairNetwork.localize(model, query, REFERENCE, clips(6))
    found = model.localize(query, REFERENCE, clips(6))
    assert torch.allclose(found.as_tensor(), wanted.as_tensor(), atol=1e-5)


@pytest.mark.parametrize(
    ("system", "options"),
    [
        ("dynamic", {"backend": "edge"}),
        ("dynamic", {"layers": 2}),
        ("dynamic", {"support": "all"}),
        ("dynamic", {"convolution": "aggregate"}),
        ("dynamic", {"normalization": "sym", "activation": "relu"}),
        ("khop_n1_k1", {}),
        ("complete", {}),
        ("hybrid", {}),
    ],
)
def test_other_kinds_are_asked_in_pair_graphs(system: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    known = {"timesteps": 5, "hidden_channels": 8}
    model = create_model(system, in_channels=CHANNELS, **(known | options))
    assert isinstance(model, GraphRelocalizer) and not ClipScorer.fits(model)
    with pytest.raises(ValueError, match="one learned graph"):
        ClipScorer(model)
    encoded = model.encode(REFERENCE, clips(4))
    wanted = model.localize(QUERY, REFERENCE, clips(4))
    assert torch.equal(encoded.localize(QUERY).as_tensor(), wanted.as_tensor())


@pytest.mark.parametrize("name", ["training_free", "whole_reference"])
def test_every_system_can_be_asked_many_times(name: str) -> None:
    system = create_model(name)
    encoded = system.encode(REFERENCE, clips(4))
    wanted = system.localize(QUERY, REFERENCE, clips(4))
    assert torch.equal(encoded.localize(QUERY).as_tensor(), wanted.as_tensor())


def test_encoding_does_not_change_the_mode() -> None:
    model = build(dropout=0.5).train()
    encoded = model.encode(REFERENCE, clips(4))
    first, second = encoded.localize(QUERY), encoded.localize(QUERY)
    assert model.training and not first.scores.requires_grad
    assert torch.equal(first.as_tensor(), second.as_tensor())
    assert torch.allclose(
        first.as_tensor(), model.eval().localize(QUERY, REFERENCE, clips(4)).as_tensor()
    )


def test_bad_input() -> None:
    model = build()
    wide = Features(torch.zeros(3, CHANNELS + 1), 1.0)
    with pytest.raises(InputError, match="reference has 6 feature channels, .* made for 5"):
        model.encode(wide, clips(3))
    with pytest.raises(InputError, match="query has 6 feature channels, .* made for 5"):
        model.encode(REFERENCE, clips(3)).localize(wide)
    with pytest.raises(InputError, match="no proposals"):
        model.encode(REFERENCE)
