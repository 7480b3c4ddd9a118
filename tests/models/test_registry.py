"""Systems by name."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from gnnreloc.data import Features
from gnnreloc.errors import InputError
from gnnreloc.models import (
    GraphRelocalizer,
    Oracle,
    Relocalizer,
    create_model,
    list_models,
    model_builder,
)

GRAPHS = ("dynamic", "khop", "complete", "identity", "hybrid")
SMALL = {"in_channels": 4, "hidden_channels": 8, "timesteps": 3}


def options(name: str) -> dict[str, Any]:
    """What a system needs beside its name, and what makes it small."""
    known = inspect.signature(model_builder(name)[0]).parameters
    return {option: value for option, value in SMALL.items() if option in known}


def test_every_row_of_the_tables_has_a_name_and_a_line() -> None:
    content_free = {"chance", "random_proposal", "longest_proposal", "whole_reference", "oracle"}
    published = {"frame_level", "video_level", "sst", "cross_gated_bilinear", "aft_srm"}
    fixed = {f"khop_n{n}_k{k}" for n in (1, 2, 3) for k in ("1", "12", "123")}
    fixed |= {"khop_cnn_n1_k1", "khop_cnn_n2_k123"}
    ours = {"training_free", "frozen_phi", *GRAPHS}
    assert content_free | published | fixed | ours == set(list_models())
    lines = list(list_models().values())
    assert all(lines) and len(set(lines)) == len(lines)


@pytest.mark.parametrize("name", sorted(list_models()))
def test_every_system_localizes(name: str) -> None:
    torch.manual_seed(0)
    system = create_model(name, **options(name))
    assert isinstance(system, Relocalizer)
    proposals = torch.tensor([[0.0, 2.0], [1.0, 5.0], [3.0, 9.0]], dtype=torch.float64)
    if isinstance(system, Oracle):
        system.targets = proposals[1:2]
    moments = system.localize(
        Features(torch.randn(5, 4), step=0.5), Features(torch.randn(20, 4), step=0.5), proposals
    )
    assert len(moments) == len(moments.segments) == len(moments.candidates) >= 1
    assert moments.segments.dtype == torch.float64
    assert bool((moments.scores[:-1] >= moments.scores[1:]).all())
    assert moments.segments.min() >= 0.0 and moments.segments.max() <= 10.0


@pytest.mark.parametrize("name", GRAPHS)
def test_the_name_is_the_graph(name: str) -> None:
    model = create_model(name, **SMALL)
    assert isinstance(model, GraphRelocalizer)
    assert model.graph == name


def test_a_row_of_the_table_is_its_graph() -> None:
    model = create_model("khop_n2_k12", **SMALL)
    assert isinstance(model, GraphRelocalizer)
    assert (model.graph, model.hops, len(model.convolutions)) == ("khop", (1, 2), 2)
    assert model.encoder.kind == "bilstm"
    other = create_model("khop_cnn_n2_k123", **SMALL)
    assert isinstance(other, GraphRelocalizer)
    assert (other.hops, other.encoder.kind) == ((1, 2, 3), "cnn")


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("khop_n2_k12", {**SMALL, "layers": 3}, "'khop_n2_k12' is made with layers 2"),
        ("dynamik", {}, "unknown model 'dynamik'; known are: chance, "),
        ("chance", {"speed": 3}, "model 'chance': .*speed"),
        ("khop", {}, "model 'khop': .*in_channels"),
        ("khop", {**SMALL, "hops": (0,)}, "model 'khop': 'k' must be at least 1"),
        ("khop", {**SMALL, "hops": (10**20,)}, "model 'khop': .*int too big"),
        ("dynamic", {**SMALL, "timesteps": 0}, "model 'dynamic': timesteps: at least 1"),
        ("dynamic", {**SMALL, "in_channels": -1}, "model 'dynamic': in_channels: at least 1"),
        ("dynamic", {**SMALL, "encoder": "gru"}, "model 'dynamic': .*lstm, bilstm, cnn"),
    ],
)
def test_bad_input(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        create_model(name, **given)
