"""Killed and resumed runs end as uninterrupted ones; foreign checkpoints are refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor

from gnnreloc.data import Corpus
from gnnreloc.errors import InputError
from gnnreloc.models import GraphRelocalizer
from gnnreloc.training import OptimizerOptions, Trainer, load_checkpoint

PAPER = yaml.safe_load(
    (Path(__file__).parents[2] / "experiments/recipes/paper.yaml").read_text(encoding="utf-8")
)
PAPER_TRAINING = {
    **{key: PAPER["training"][key] for key in ("sampling", "negatives", "margin", "beta")},
    "optimizers": [OptimizerOptions(**option) for option in PAPER["training"]["optimizers"]],
}


def build(**options: Any) -> GraphRelocalizer:
    torch.manual_seed(1)
    return GraphRelocalizer(48, **{"hidden_channels": 16, "timesteps": 8} | options)


def trainer(**options: Any) -> Trainer:
    small = {"epochs": 3, "samples": 8, "batch_size": 4, "list_length": 6, "device": "cpu"}
    return Trainer(**small | options)


def numbers(log: pd.DataFrame) -> pd.DataFrame:
    return log.drop(columns="seconds")


def weights(model: GraphRelocalizer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_equal(one: object, other: object) -> None:
    """Bitwise equality of nested plain data and tensors, but for the times taken."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, Mapping) and isinstance(other, Mapping):
        assert one.keys() == other.keys()
        for key in one.keys() - {"seconds"}:
            assert_equal(one[key], other[key])
    elif isinstance(one, list) and isinstance(other, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    else:
        assert one == other


class Killed(Exception):
    """Stands in for a signal."""


def killer(at: int) -> Any:
    """A validation that fails in its n-th call, after the epoch's steps, before its checkpoint."""
    calls = 0

    def validate(model: GraphRelocalizer) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Killed
        return {"norm": sum(float(value.norm()) for value in model.state_dict().values())}

    return validate


@pytest.mark.parametrize("epoch", [1, 2, 3])
@pytest.mark.parametrize(
    ("model_options", "options"),
    [
        ({"dropout": 0.3}, {}),
        ({"dropout": 0.3, "graph": "hybrid", "hops": (1, 2), "backend": "edge"}, {}),
        ({**PAPER["model"], "hidden_channels": 16, "timesteps": 8}, PAPER_TRAINING),
    ],
    ids=["tuned", "edges", "paper"],
)
def test_killed_and_resumed_is_uninterrupted(
    tiny_corpus: Corpus,
    tmp_path: Path,
    model_options: dict[str, Any],
    options: dict[str, Any],
    epoch: int,
) -> None:
    through, killed = tmp_path / "through", tmp_path / "killed"
    expected = build(**model_options)
    log = trainer(**options).fit(expected, tiny_corpus, folder=through, validate=killer(0))
    with pytest.raises(Killed):
        trainer(**options).fit(
            build(**model_options), tiny_corpus, folder=killed, validate=killer(epoch)
        )
    assert (killed / "checkpoint/last.pt").exists() == (epoch > 1)
    torch.manual_seed(99)
    model = GraphRelocalizer(48, **{"hidden_channels": 16, "timesteps": 8} | model_options)
    if epoch == 1:  # nothing was saved: a resumed run begins with its own initial weights
        model = build(**model_options)
    resumed = trainer(**options).fit(
        model, tiny_corpus, folder=killed, validate=killer(0), resume=True
    )
    pd.testing.assert_frame_equal(numbers(resumed), numbers(log), check_exact=True)
    pd.testing.assert_frame_equal(pd.read_csv(killed / "log.csv"), resumed)
    assert_equal(weights(model), weights(expected))
    assert_equal(*(load_checkpoint(f / "checkpoint/last.pt") for f in (through, killed)))


def test_a_finished_run_is_not_trained_again(tiny_corpus: Corpus, tmp_path: Path) -> None:
    model, other = build(), build(dropout=0.5)
    log = trainer().fit(model, tiny_corpus, folder=tmp_path)
    again = trainer().fit(other, tiny_corpus, folder=tmp_path, resume=True)
    pd.testing.assert_frame_equal(again, log)
    assert_equal(weights(other), weights(model))


def test_without_resume_a_run_begins_anew(tiny_corpus: Corpus, tmp_path: Path) -> None:
    log = trainer().fit(build(), tiny_corpus, folder=tmp_path)
    again = trainer(epochs=2).fit(build(), tiny_corpus, folder=tmp_path)
    assert len(again) == 2 and len(log) == 3
    assert again["ranking"][0] == log["ranking"][0]


@pytest.mark.parametrize(
    ("options", "identity", "message"),
    [
        ({"epochs": 4}, {}, "its trainer.epochs is 3, this run's is 4"),
        ({"seed": 1}, {}, "its trainer.seed is 0, this run's is 1"),
        ({"precision": "64-true"}, {}, "its trainer.precision is '32-true'"),
        ({"beta": 0.5}, {}, "its trainer.beta is 0.1, this run's is 0.5"),
        (
            {"optimizers": [OptimizerOptions(lr=0.5, clip=None)]},
            {},
            r"its trainer.optimizers.0.lr is 0\.\d+, this run's is 0.5",
        ),
        ({}, {"dataset": "fir"}, "its dataset is 'synthetic', this run's is 'fir'"),
        ({}, {"model": {"hops": [1, 2]}}, r"its model.hops is \[1\], this run's is \[1, 2\]"),
        ({}, {"split": 1}, "its split is None, this run's is 1"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    tiny_corpus: Corpus,
    tmp_path: Path,
    options: dict[str, Any],
    identity: dict[str, Any],
    message: str,
) -> None:
    path = tmp_path / "checkpoint/last.pt"
    known = {"dataset": "synthetic", "model": {"hops": [1]}}
    trainer().fit(build(), tiny_corpus, folder=tmp_path, identity=known)
    before = path.read_bytes()
    with pytest.raises(InputError, match=f"checkpoint {path} is of another run: {message}"):
        trainer(**options).fit(
            build(), tiny_corpus, folder=tmp_path, resume=True, identity=known | identity
        )
    assert path.read_bytes() == before


@pytest.mark.parametrize("entry", ["identity", "random", "rows", "optimizers", "schedulers"])
def test_a_checkpoint_with_a_wrong_entry_is_refused(
    tiny_corpus: Corpus, tmp_path: Path, entry: str
) -> None:
    trainer().fit(build(), tiny_corpus, folder=tmp_path)
    path = tmp_path / "checkpoint/last.pt"
    content = load_checkpoint(path)
    for change in ({**content, entry: 3}, {key: content[key] for key in content if key != entry}):
        torch.save(change, path)
        with pytest.raises(InputError, match=f"checkpoint {path} is of another "):
            trainer().fit(build(), tiny_corpus, folder=tmp_path, resume=True)


def test_a_checkpoint_of_another_model_is_refused(tiny_corpus: Corpus, tmp_path: Path) -> None:
    trainer().fit(build(), tiny_corpus, folder=tmp_path)
    for options in ({"hidden_channels": 8}, {"graph": "identity"}, {"layers": 2}):
        with pytest.raises(InputError, match="last.pt is of another model: "):
            trainer().fit(build(**options), tiny_corpus, folder=tmp_path, resume=True)
    path = tmp_path / "checkpoint/last.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=f"checkpoint {path} cannot be read"):
        trainer().fit(build(), tiny_corpus, folder=tmp_path, resume=True)
