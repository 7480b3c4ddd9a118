"""Training that starts from a saved model."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gnnreloc.data import write_features
from gnnreloc.data.feature_store import DirectoryFeatureStore
from gnnreloc.data.scaled_features import FeatureScaling
from gnnreloc.errors import InputError
from gnnreloc.models import SavedModel, create_model, load_model, save_model
from gnnreloc.training import OptimizerOptions, Trainer
from gnnreloc.training.own_videos import InterruptedTrainingError, TrainedRun, train_on_folder

OPTIONS = {"hidden_channels": 8, "timesteps": 4}
STILL = [OptimizerOptions(lr=0.0)]


@pytest.fixture
def mine(write_own_videos: Callable[[Path], Path], tmp_path: Path) -> Path:
    return write_own_videos(tmp_path / "mine")


@pytest.fixture(autouse=True)
def few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short validations: what they say is not asked here."""
    monkeypatch.setattr("gnnreloc.training.own_videos.QUERIES", 3)
    monkeypatch.setattr("gnnreloc.training.own_videos.LAST_QUERIES", 8)


def save(folder: Path, channels: int = 48, backbone: str = "made-up") -> Path:
    """A model of other weights and another scaling than any run here would have."""
    torch.manual_seed(77)
    save_model(
        folder,
        create_model("khop_n1_k12", in_channels=channels, **OPTIONS),
        name="khop_n1_k12",
        options=OPTIONS,
        features={"backbone": backbone, "step": 0.25},
        scaling=FeatureScaling(torch.full((channels,), 0.5), torch.full((channels,), 3.0)),
    )
    return folder


def train(data: Path, out: Path, **options: Any) -> TrainedRun:
    small = {"epochs": 2, "samples": 4, "batch_size": 2, "list_length": 4, "device": "cpu"}
    trained = train_on_folder(data, out, **small | options)
    assert trained is not None
    return trained


def assert_same(one: SavedModel, other: SavedModel) -> None:
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert one.scaling is not None and other.scaling is not None
    assert torch.equal(one.scaling.mean, other.scaling.mean)
    assert torch.equal(one.scaling.deviation, other.scaling.deviation)


@pytest.mark.parametrize("unlabelled", [False, True])
def test_steps_of_length_nothing_leave_the_initial_model(
    mine: Path, tmp_path: Path, unlabelled: bool
) -> None:
    init = save(tmp_path / "init")
    trained = train(mine, tmp_path / "run", init=init, optimizers=STILL, unlabelled=unlabelled)
    after = load_model(trained.file)
    assert_same(after, load_model(init))
    assert trained.system == after.name == "khop_n1_k12" and after.options["timesteps"] == 4
    assert after.trained["init"] == str(init)
    # Without it the same run ends elsewhere: its own weights, its own scaling.
    fresh = train(mine, tmp_path / "fresh", optimizers=STILL, model_options=OPTIONS)
    with pytest.raises(AssertionError):
        assert_same(load_model(fresh.file), after)


def test_steps_move_it_and_a_killed_run_goes_on(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = save(tmp_path / "init")
    whole = train(mine, tmp_path / "whole", init=init / "model.safetensors")
    with pytest.raises(AssertionError):
        assert_same(load_model(whole.file), load_model(init))
    epoch = Trainer._epoch

    def stopped(self: Trainer, *arguments: Any) -> Any:
        if len(arguments[-1]) == 1:
            raise KeyboardInterrupt
        return epoch(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_epoch", stopped)
        with pytest.raises(InterruptedTrainingError):
            train(mine, tmp_path / "run", init=init)
    with pytest.raises(InputError, match="its init is .*, this run's is None"):
        train(mine, tmp_path / "run", resume=True, system="khop_n1_k12", model_options=OPTIONS)
    resumed = train(mine, tmp_path / "run", resume=True, init=init)
    assert_same(load_model(resumed.file), load_model(whole.file))


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"system": "dynamic"}, "its system is 'khop_n1_k12', this run's is 'dynamic'"),
        ({"model_options": {"timesteps": 5}}, "its timesteps is 4, this run's is 5"),
    ],
)
def test_another_system_or_size_is_refused(
    mine: Path, tmp_path: Path, options: dict[str, Any], culprit: str
) -> None:
    init = save(tmp_path / "init")
    with pytest.raises(InputError, match=re.escape(f"initial model {init}: {culprit}")):
        train(mine, tmp_path / "run", init=init, **options)
    assert not (tmp_path / "run").exists()


def test_other_features_are_refused(mine: Path, tmp_path: Path) -> None:
    wide, other = save(tmp_path / "wide", 49), save(tmp_path / "other", backbone="c3d")
    with pytest.raises(InputError, match=f"model {wide}: video .* 48 channels, .* trained on 49"):
        train(mine, tmp_path / "run", init=wide)
    with pytest.raises(InputError, match=f"model {other}: .* backbone 'made-up', .* on 'c3d'"):
        train(mine, tmp_path / "run", init=other)
    store = DirectoryFeatureStore(mine / "features")
    for video in store:  # no word of a backbone: taken on trust
        unnamed = replace(store[video], metadata={})
        write_features(mine / "features" / f"{video}.safetensors", unnamed)
    train(mine, tmp_path / "run", init=other)


def test_no_graph_or_nothing_to_start_from(mine: Path, tmp_path: Path) -> None:
    model = create_model("video_level", in_channels=48)
    save_model(tmp_path / "level", model, name="video_level")
    with pytest.raises(InputError, match="found 'video_level', wanted a graph model"):
        train(mine, tmp_path / "run", init=tmp_path / "level")
    with pytest.raises(InputError, match="none/model.safetensors is missing|none is missing"):
        train(mine, tmp_path / "run", init=tmp_path / "none")


def test_a_model_without_a_scaling_gets_raw_features(mine: Path, tmp_path: Path) -> None:
    model = create_model("dynamic", in_channels=48, **OPTIONS)
    init = save_model(tmp_path / "raw", model, name="dynamic", options=OPTIONS)
    trained = train(mine, tmp_path / "run", init=init)
    assert load_model(trained.file).scaling is None
    video = str(trained.corpus.moments["video"].iloc[0])
    own = DirectoryFeatureStore(mine / "features")[video]
    assert torch.equal(trained.corpus.features[video].values, own.values)
