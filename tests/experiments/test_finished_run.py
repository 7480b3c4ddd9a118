"""A finished run brought back from its folder gives the answers that it gave."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch
import yaml

from gnnreloc.data import evaluation_pairs
from gnnreloc.errors import InputError
from gnnreloc.evaluation import evaluate
from gnnreloc.training import load_checkpoint, save_checkpoint


@pytest.fixture(scope="session")
def finished_run(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["finished_run"]


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished[0], tmp_path / "copied"))


def test_predictions_come_again(finished_run, finished):
    folder = finished[0]
    config, corpus, model = finished_run.load_run(folder)
    assert config.model.timesteps == 6 and not model.training
    pairs = evaluation_pairs(corpus, "test", **vars(config.evaluation))
    again = evaluate(model, corpus, pairs).predictions
    before = pd.read_csv(folder / "predictions.csv")
    pd.testing.assert_frame_equal(again, before, check_dtype=False, rtol=1e-9)


def test_weights_are_those_of_the_checkpoint(finished_run, copied):
    path = copied / "checkpoint" / "last.pt"
    content = load_checkpoint(path)
    del content["gnnreloc_checkpoint"]
    content["model"]["score_head.out.bias"] = torch.tensor([17.0])
    save_checkpoint(path, content)
    assert finished_run.load_run(copied).model.score_head.out.bias.tolist() == [17.0]


def test_untrained_system_from_data_that_were_moved(finished_run, script, fir_root, tmp_path):
    root = fir_root()
    outcome = script.call(
        *("--system", "longest_proposal", "--dataset", "fir", "--root", root, "--out", "mine"),
        *("--evaluation.queries", "3"),
    )
    assert outcome.err == "" and outcome.status == 0
    moved = root.rename(tmp_path / "moved")
    with pytest.raises(InputError, match="fir"):
        finished_run.load_run("mine")
    config, corpus, model = finished_run.load_run("mine", moved)
    assert (config.system, config.root, corpus.name) == ("longest_proposal", str(moved), "fir")
    assert not model.reads_query


@pytest.mark.parametrize("missing", ["config.yaml", "metrics.json", "checkpoint/last.pt"])
def test_missing_file_is_named(finished_run, copied, missing):
    (copied / missing).unlink()
    with pytest.raises(InputError, match=rf"copied.*{missing}"):
        finished_run.load_run(copied)


def test_folder_that_is_not_there(finished_run, tmp_path):
    with pytest.raises(InputError, match="nowhere holds no finished run"):
        finished_run.load_run(tmp_path / "nowhere")


def test_root_of_generated_data_is_refused(finished_run, finished):
    with pytest.raises(InputError, match="--dataset synthetic is generated"):
        finished_run.load_run(finished[0], "somewhere")


def test_checkpoint_of_another_model_is_refused(finished_run, copied):
    path = copied / "config.yaml"
    options = yaml.safe_load(path.read_text(encoding="utf-8"))
    options["model"]["hidden_channels"] = 12
    path.write_text(yaml.safe_dump(options), encoding="utf-8")
    with pytest.raises(InputError, match=r"last\.pt is of another model") as caught:
        finished_run.load_run(copied)
    assert "\n" not in str(caught.value)
