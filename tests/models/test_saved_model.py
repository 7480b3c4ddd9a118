"""Saved models: the same scores after loading, and errors for all that does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from gnnreloc.data import Features, FeatureScaling
from gnnreloc.errors import InputError
from gnnreloc.models import create_model, load_model, save_model
from gnnreloc.models.saved_model import FORMAT, KEY, all_options
from gnnreloc.models.trainable import TrainableRelocalizer

CHANNELS = 6


def build(name: str = "dynamic", **options: Any) -> TrainableRelocalizer:
    torch.manual_seed(3)
    model = create_model(name, in_channels=CHANNELS, **options)
    assert isinstance(model, TrainableRelocalizer)
    return model


def clip(rows: int, seed: int = 0, **metadata: Any) -> Features:
    values = torch.randn(rows, CHANNELS, generator=torch.Generator().manual_seed(seed))
    return Features(3.0 + 2.0 * values, step=0.5, metadata=metadata)


def rewrite(path: Path, **changes: Any) -> None:
    """Replace entries of the header's content; ``format`` is the version of the file."""
    tensors = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, framework="pt") as file:
        header = dict(file.metadata())
    content = json.loads(header["content"])
    header[KEY] = str(changes.pop("format", FORMAT))
    for name, value in changes.items():
        if value is None:
            del content[name]
        else:
            content[name] = value
    header["content"] = json.dumps(content)
    safetensors.torch.save_file(tensors, path, header)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    options = {"hidden_channels": 12, "timesteps": 6}
    return save_model(
        tmp_path / "run",
        build(**options),
        name="dynamic",
        options=options,
        features={"backbone": "efficientnet_lite0", "step": 0.5},
        scaling=FeatureScaling(torch.full((CHANNELS,), 3.0), torch.full((CHANNELS,), 2.0)),
        windows=(2.0, 4.0),
        trained={"epochs": 3},
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dynamic", {"hidden_channels": 12, "timesteps": 6}),
        ("khop_n2_k12", {"hidden_channels": 12, "timesteps": 6}),
        ("hybrid", {"hidden_channels": 12, "timesteps": 6, "hops": (1, 2), "backend": "edge"}),
        ("video_level", {}),
    ],
)
def test_the_same_scores_after_loading(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    model = build(name, **options).eval()
    save_model(tmp_path, model, name=name, options=options)
    before = torch.get_rng_state()
    loaded = load_model(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert loaded.name == name and loaded.scaling is None and not loaded.model.training
    proposals = torch.tensor([[0.0, 4.0], [3.0, 9.0], [5.0, 20.0]], dtype=torch.float64)
    question = clip(12), clip(40, seed=1), proposals
    one, other = model.localize(*question), loaded.model.localize(*question)
    assert torch.equal(one.scores, other.scores) and torch.equal(one.segments, other.segments)


def test_all_that_is_known_comes_back(saved: Path) -> None:
    for path in (saved, saved.parent, str(saved.parent)):
        loaded = load_model(path)
        assert loaded.features == {"backbone": "efficientnet_lite0", "step": 0.5}
        assert loaded.windows == (2.0, 4.0) and loaded.trained == {"epochs": 3}
        assert loaded.options["hidden_channels"] == 12
    # Defaults too, so that the file keeps its meaning when they change.
    assert loaded.options["rounds"] == 2 and loaded.options["encoder"] == "bilstm"
    assert "in_channels" not in loaded.options and "graph" not in loaded.options
    assert all_options("khop_n2_k12", {})["encoder"] == "bilstm"


def test_features_are_prepared_as_in_training(saved: Path) -> None:
    loaded = load_model(saved)
    raw = clip(7, backbone="efficientnet_lite0")
    prepared = loaded.prepare(raw, "v")
    np.testing.assert_allclose(prepared.values, (raw.values.numpy() - 3.0) / 2.0, rtol=1e-6)
    assert prepared.step == 0.5 and prepared.metadata == raw.metadata
    assert loaded.prepare(clip(7), "v").num_channels == CHANNELS  # of an unknown backbone


def test_features_that_do_not_fit_are_named(saved: Path) -> None:
    loaded = load_model(saved)
    with pytest.raises(InputError, match=r"'v': .* backbone 'c3d', .* on 'efficientnet_lite0'"):
        loaded.prepare(clip(7, backbone="c3d"), "v")
    with pytest.raises(InputError, match=r"'v': .* 5 channels, .* on 6 \(efficientnet_lite0\)"):
        loaded.prepare(Features(torch.zeros(4, 5), step=0.5), "v")


def test_candidates_are_windows_as_in_training(saved: Path, tmp_path: Path) -> None:
    video = Features(torch.zeros(10, CHANNELS), step=0.5)
    wanted = [[0, 2], [1, 3], [2, 4], [3, 5], [0, 4], [1, 5]]
    assert load_model(saved).propose(video).tolist() == wanted
    save_model(tmp_path, build(), name="dynamic")
    with pytest.raises(InputError, match="not trained on windows"):
        load_model(tmp_path).propose(video)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run.model\.safetensors is missing"):
        (tmp_path / "run").mkdir()
        load_model(tmp_path / "run")
    with pytest.raises(InputError, match="nowhere is missing"):
        load_model(tmp_path / "nowhere")


def test_damage_is_told(saved: Path) -> None:
    whole = saved.read_bytes()
    for damaged in (b"", whole[:100], whole[:-4], b"x" * 200):
        saved.write_bytes(damaged)
        with pytest.raises(InputError, match=f"{saved} is damaged or no saved model"):
            load_model(saved)
    flipped = bytearray(whole)
    flipped[-9] ^= 1
    saved.write_bytes(flipped)
    with pytest.raises(InputError, match="is damaged: the weights do not have their checksum"):
        load_model(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": FORMAT + 1}, rf"newer version .* format is {FORMAT + 1}, .* reads {FORMAT}"),
        ({"format": 0}, "is no model that gnnreloc train saved"),
        ({"format": "one"}, "is damaged or no saved model"),
        ({"model": None}, "is damaged: KeyError"),
        ({"windows": ["x"]}, "is damaged: ValueError"),
        ({"features": 3}, "is damaged: TypeError"),
        ({"model": "none"}, "unknown model 'none'"),
        ({"model": "training_free"}, "training_free"),
        ({"in_channels": 7}, "its weights are of another model: .*size mismatch"),
        ({"options": {"hidden_channels": 12, "later": 1}}, "model 'dynamic': .*later"),
        ({"sha256": "0"}, "the weights do not have their checksum"),
    ],
)
def test_a_header_that_does_not_fit_is_told(
    saved: Path, changes: dict[str, Any], message: str
) -> None:
    rewrite(saved, **changes)
    with pytest.raises(InputError, match=message) as caught:
        load_model(saved)
    assert str(saved) in str(caught.value) and "\n" not in str(caught.value)


def test_other_safetensors_are_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file({"features": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="is no model that gnnreloc train saved"):
        load_model(tmp_path)


def test_what_does_not_fit_into_json_leaves_the_old_file(saved: Path) -> None:
    before = saved.read_bytes()
    for features in ({"backbone": object()}, {"step": float("nan")}):
        with pytest.raises(InputError, match="does not fit into JSON"):
            save_model(saved.parent, build(), name="dynamic", features=features)
    with pytest.raises(InputError, match="unknown model 'none'"):
        save_model(saved.parent, build(), name="none")
    assert saved.read_bytes() == before and list(saved.parent.iterdir()) == [saved]
