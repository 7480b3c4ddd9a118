"""The folder of a run: never overwritten, and taken up again after a crash."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from gnnreloc.training import load_checkpoint

RUN = Path(__file__).parents[2] / "experiments" / "run.py"
NAME = "runs/dynamic_tuned-synthetic-split0-seed0"


def read_metrics(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    del metrics["seconds"]
    return metrics


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def copy_run(finished, script):
    """Copies a finished run of `script.tiny`, which does not depend on the name of its folder."""
    return lambda folder: Path(shutil.copytree(finished[0], folder))


def test_default_folder_takes_a_new_name(script, copy_run):
    first, second = copy_run(NAME), copy_run(f"{NAME}-2")
    before = contents(first), contents(second)
    assert script.tiny().status == 0
    assert sorted(map(str, Path("runs").iterdir())) == [NAME, f"{NAME}-2", f"{NAME}-3"]
    assert (contents(first), contents(second)) == before
    assert read_metrics(Path(f"{NAME}-3")) == read_metrics(first)


def test_resume_without_out_goes_on_with_the_last_default_folder(script, copy_run):
    first, second = copy_run(NAME), copy_run(f"{NAME}-2")
    before = contents(first)
    (second / "metrics.json").unlink()
    assert script.tiny("--resume").status == 0
    assert sorted(Path("runs").iterdir()) == [first, second]
    assert contents(first) == before
    assert read_metrics(second) == read_metrics(first)


@pytest.mark.parametrize(
    ("arguments", "culprits"),
    [
        ([], ["--out mine", "--resume"]),
        (["--seed", "1"], ["--out mine", "--resume"]),
        (["--resume", "--seed", "1"], ["--resume", "mine", "seed is 0", "1"]),
        (["--resume", "--model.dropout", "0.3"], ["mine", "model.dropout is", "0.3"]),
    ],
    ids=str,
)
def test_folder_of_a_run_is_refused_and_stays_as_it_was(script, copy_run, arguments, culprits):
    before = contents(copy_run("mine"))
    outcome = script.tiny("--out", "mine", *arguments)
    assert outcome.status == 2
    assert outcome.err.startswith("error: ") and outcome.err.count("\n") == 1
    assert all(culprit in outcome.err for culprit in culprits)
    assert contents(Path("mine")) == before


def test_finished_run_resumed_gives_its_numbers_again(script, copy_run, finished):
    mine = copy_run("mine")
    for name in ("metrics.json", "predictions.csv"):
        (mine / name).unlink()
    outcome = script.tiny("--out", "mine", "--resume")
    assert (outcome.status, outcome.err) == (0, "")
    assert read_metrics(mine) == read_metrics(finished[0])
    table = (finished[0] / "predictions.csv").read_bytes()
    assert (mine / "predictions.csv").read_bytes() == table


def test_home_in_the_name_of_the_folder(script, monkeypatch):
    monkeypatch.setenv("HOME", str(Path("home").absolute()))
    assert script.tiny("--epochs", "1", "--out=~/mine").status == 0
    assert [path.name for path in Path().iterdir()] == ["home"]
    outcome = script.tiny("--epochs", "1", "--out=~/mine")
    assert outcome.status == 2 and "home/mine holds a run" in outcome.err


def test_resume_starts_at_the_beginning_where_there_is_nothing_yet(script, finished):
    assert script.tiny("--out", "new", "--resume").status == 0
    assert read_metrics(Path("new")) == read_metrics(finished[0])


@pytest.mark.parametrize("kind", ["garbage", "cut short", "of something else", "of another run"])
def test_wrong_checkpoint_is_refused_and_stays_as_it_was(script, copy_run, kind):
    mine = copy_run("mine")
    checkpoint = mine / "checkpoint" / "last.pt"
    if kind == "garbage":
        checkpoint.write_bytes(b"not a checkpoint")
    elif kind == "cut short":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    elif kind == "of something else":
        torch.save({"epoch": 3}, checkpoint)
    else:
        assert script.tiny("--epochs", "1", "--seed", "1", "--out", "other").status == 0
        shutil.copy("other/checkpoint/last.pt", checkpoint)
    before = contents(mine)
    outcome = script.tiny("--out", "mine", "--resume")
    assert outcome.status == 2
    assert outcome.err.startswith("error: checkpoint mine/checkpoint/last.pt ")
    assert outcome.err.count("\n") == 1
    assert ("another run" in outcome.err) == (kind == "of another run")
    assert contents(mine) == before


def test_refused_option_leaves_the_folder_free(script):
    # The first is refused before the folder is made, the others by the training itself.
    for option, value, culprit in (
        ("--layers", "0", "layers"),
        ("--training.list_length", "1", "list_length"),
        ("--training.optimizers", "[{parameters: [nothing]}]", "'nothing'"),
    ):
        outcome = script.tiny("--out", "mine", option, value)
        assert outcome.status == 2
        assert outcome.err.startswith("error: ") and culprit in outcome.err
        assert contents(Path()) == {}
    assert script.tiny("--epochs", "1", "--out", "mine").status == 0


def command(*arguments: str) -> list[str]:
    many = ("--epochs", "3", "--training.samples", "64", "--model.dropout", "0.2")
    data = ("--data.train_videos", "8", "--data.validation_videos", "4", "--data.test_videos", "4")
    return [sys.executable, str(RUN), *many, *data, "--evaluation.queries", "4", *arguments]


@pytest.mark.slow
def test_killed_run_resumed_gives_the_numbers_of_an_uninterrupted_one(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    first = command("--out", str(killed))
    process = subprocess.Popen(first, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (killed / "checkpoint" / "last.pt").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.1)  # into the second epoch
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "metrics.json").exists()
    assert len(load_checkpoint(killed / "checkpoint" / "last.pt")["rows"]) < 3

    for arguments in ([*first, "--resume"], command("--out", str(whole))):
        done = subprocess.run(
            arguments, env=environment, capture_output=True, text=True, check=True, timeout=300
        )
        assert done.stderr == ""
    assert read_metrics(killed) == read_metrics(whole)
    logs = [pd.read_csv(run / "log.csv").drop(columns="seconds") for run in (killed, whole)]
    pd.testing.assert_frame_equal(*logs, check_exact=True)
    for name in ("predictions.csv", "config.yaml", "figures/timelines.png"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.slow
def test_two_processes_write_one_run(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    out = tmp_path / "run"
    arguments = command("--device", "cpu", "--devices", "2", "--out", str(out))
    done = subprocess.run(
        arguments, env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.count(f"-> {out}") == 1
    assert done.stdout.count("metrics and predictions") == 1
    assert read_metrics(out)["config"]["training"]["devices"] == 2
    assert len(pd.read_csv(out / "log.csv")) == len(
        load_checkpoint(out / "checkpoint/last.pt")["rows"]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
