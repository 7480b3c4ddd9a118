"""Training on one's own videos: what is saved, interrupted, resumed and refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from gnnreloc.data import Features, evaluation_pairs
from gnnreloc.data.feature_store import DirectoryFeatureStore
from gnnreloc.errors import InputError
from gnnreloc.evaluation.protocol import evaluate
from gnnreloc.models import load_model
from gnnreloc.search.engine import training_free_system
from gnnreloc.training import Trainer
from gnnreloc.training.own_videos import (
    InterruptedTrainingError,
    TrainedRun,
    graph_systems,
    train_on_folder,
)

SMALL = {"samples": 4, "batch_size": 2, "list_length": 4, "device": "cpu"}


@pytest.fixture
def mine(write_own_videos: Callable[[Path], Path], tmp_path: Path) -> Path:
    return write_own_videos(tmp_path / "mine")


@pytest.fixture(autouse=True)
def few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short validations: what they say is not asked here."""
    monkeypatch.setattr("gnnreloc.training.own_videos.QUERIES", 3)
    monkeypatch.setattr("gnnreloc.training.own_videos.LAST_QUERIES", 8)


def train(data: Path, out: Path, **options: Any) -> TrainedRun:
    small = {"epochs": 2, "model_options": {"hidden_channels": 8, "timesteps": 4}, **SMALL}
    trained = train_on_folder(data, out, **small | options)
    assert trained is not None
    return trained


def assert_same_weights(one: Path, other: Path) -> None:
    ours, theirs = (load_model(path).model.state_dict() for path in (one, other))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def interrupt(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Ctrl-C in the middle of an epoch (from 1), once."""
    whole = Trainer._epoch

    def stopped(self: Trainer, *arguments: Any) -> Any:
        if len(arguments[-1]) + 1 == epoch:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    monkeypatch.setattr(Trainer, "_epoch", stopped)


def test_the_saved_model_gives_the_figures_from_raw_features(mine: Path, tmp_path: Path) -> None:
    trained = train(mine, tmp_path / "run")
    assert len(trained.log) == 2 and trained.file == tmp_path / "run" / "model.safetensors"
    loaded = load_model(tmp_path / "run")
    assert loaded.name == "dynamic" and loaded.options["timesteps"] == 4
    assert loaded.features == {"backbone": "made-up", "step": 0.25}
    assert loaded.windows == tuple(trained.corpus.settings["windows"])
    assert loaded.trained["epochs"] == 2 and not loaded.trained["unlabelled"]
    # The features anew from the disk, prepared by what was saved.
    store = DirectoryFeatureStore(mine / "features")
    features: dict[str, Features] = {v: loaded.prepare(store[v], v) for v in store}
    corpus = trained.corpus
    pairs = evaluation_pairs(corpus, "test", queries=8, references_per_query=1)
    asked = evaluate(loaded.model, replace(corpus, features=features), pairs).summary
    assert trained.figures["trained"] == {"r1_0.5": asked["r1"]["0.5"], "miou": asked["miou"]}
    # What is found without a model: by "gnnreloc localize", from features as they are.
    free = evaluate(training_free_system(), replace(corpus, features=dict(store)), pairs).summary
    assert trained.figures["training-free"]["miou"] == free["miou"]
    video = next(iter(store))
    torch.testing.assert_close(loaded.propose(store[video]), corpus.proposals[video])


def test_nothing_of_held_back_videos_is_trained_on(mine: Path, tmp_path: Path) -> None:
    """Other features of the test videos: the same weights, and the same scaling."""
    one = train(mine, tmp_path / "one")
    for path in sorted((mine / "features").glob("test-*")):
        path.write_bytes(next((mine / "features").glob("validation-*")).read_bytes())
    table = pd.read_csv(mine / "moments.csv")
    table[table["subset"] != "test"].to_csv(mine / "moments.csv", index=False)
    other = train(mine, tmp_path / "other")
    assert_same_weights(one.file, other.file)
    scalings = [load_model(run.file).scaling for run in (one, other)]
    assert scalings[0] is not None and scalings[1] is not None
    assert torch.equal(scalings[0].mean, scalings[1].mean)
    assert one.judged_on.endswith("of test: actions never trained on")
    assert "of validation" in other.judged_on


@pytest.mark.parametrize("unlabelled", [False, True])
def test_interrupted_and_resumed_is_uninterrupted(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unlabelled: bool
) -> None:
    options: dict[str, Any] = {"unlabelled": unlabelled, "epochs": 3}
    whole = train(mine, tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(InterruptedTrainingError, match="after 1 of 3 epochs; .*--resume"):
            train(mine, tmp_path / "run", **options)
    left = load_model(tmp_path / "run")
    assert left.trained["epochs"] == 1 and left.trained["of"] == 3
    with pytest.raises(InputError, match="run holds a run: resume it"):
        train(mine, tmp_path / "run", **options)
    resumed = train(mine, tmp_path / "run", resume=True, **options)
    assert_same_weights(whole.file, resumed.file)
    assert resumed.figures == whole.figures
    assert load_model(resumed.file).trained["epochs"] == 3


def test_interrupted_in_the_first_epoch(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        with pytest.raises(InterruptedTrainingError, match="before the first epoch"):
            train(mine, tmp_path / "run")
    train(mine, tmp_path / "run")  # the folder is free


def test_other_data_and_options_are_not_resumed(mine: Path, tmp_path: Path) -> None:
    train(mine, tmp_path / "run")
    other = {"hidden_channels": 8, "timesteps": 5}
    with pytest.raises(InputError, match=r"its model.timesteps is 4, this run's is 5"):
        train(mine, tmp_path / "run", resume=True, model_options=other)
    with pytest.raises(InputError, match=r"its trainer.epochs is 2, this run's is 4"):
        train(mine, tmp_path / "run", resume=True, epochs=4)
    with pytest.raises(InputError, match=r"its trainer.sampling is 'lists', .* 'crops'"):
        train(mine, tmp_path / "run", resume=True, unlabelled=True)
    table = pd.read_csv(mine / "moments.csv")
    table.loc[table["subset"] == "test", "start"] += 0.25
    table.to_csv(mine / "moments.csv", index=False)
    with pytest.raises(InputError, match=r"its data.checksum is \d+"):
        train(mine, tmp_path / "run", resume=True)


def test_unlabelled_training_reads_no_table(mine: Path, tmp_path: Path) -> None:
    (mine / "moments.csv").write_text("no table")
    trained = train(mine, tmp_path / "run", unlabelled=True)
    assert "crops of 2 held-back videos" in trained.judged_on
    assert trained.figures["trained"].keys() == {"crops_0.5", "crops_miou"}
    loaded = load_model(trained.file)
    assert loaded.trained["unlabelled"] and len(loaded.windows) == 6


def test_without_anything_held_back_nothing_is_measured(mine: Path, tmp_path: Path) -> None:
    table = pd.read_csv(mine / "moments.csv").drop(columns="subset")
    table.to_csv(mine / "moments.csv", index=False)
    nothing = {"validation_share": 0.0, "test_share": 0.0}
    trained = train(mine, tmp_path / "run", data_options=nothing)
    assert trained.figures == {} and trained.judged_on == "nothing was held back"
    assert "validation_miou" not in trained.log


def test_the_system_must_be_a_graph(mine: Path, tmp_path: Path) -> None:
    assert {"dynamic", "khop_n1_k1", "hybrid"} <= set(graph_systems())
    with pytest.raises(InputError, match="found 'video_level', wanted a graph model: .*dynamic"):
        train(mine, tmp_path / "run", system="video_level", model_options={})
    with pytest.raises(InputError, match="unknown model 'none'"):
        train(mine, tmp_path / "run", system="none")
    trained = train(mine, tmp_path / "run", system="khop_n1_k12")
    assert load_model(trained.file).name == "khop_n1_k12"
