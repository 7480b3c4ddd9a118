"""``gnnreloc train`` as it is called: output, exit status, errors in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gnnreloc.cli import main
from gnnreloc.models import load_model
from gnnreloc.training import Trainer

QUICK = "--epochs 2 --samples 4 --batch-size 2 --list-length 4 --device cpu".split()
TINY = [*QUICK, "--timesteps", "4", "--hidden-channels", "8"]


@pytest.fixture(autouse=True)
def few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short validations: what they say is not asked here."""
    monkeypatch.setattr("gnnreloc.training.own_videos.QUERIES", 3)
    monkeypatch.setattr("gnnreloc.training.own_videos.LAST_QUERIES", 8)


@pytest.fixture
def mine(write_own_videos: Callable[[Path], Path], tmp_path: Path) -> Path:
    return write_own_videos(tmp_path / "mine")


def train(data: Path, out: Path, *more: str) -> int:
    return main(["train", "--data", str(data), "--out", str(out), *TINY, *more])


def unsplit(mine: Path) -> Path:
    table = pd.read_csv(mine / "moments.csv").drop(columns="subset")
    table.to_csv(mine / "moments.csv", index=False)
    return mine


def test_it_says_what_was_trained_and_what_that_gained(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(mine, tmp_path / "run", "--seed", "3") == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert captured.err == "" and len(lines) == 5
    table = pd.read_csv(mine / "moments.csv").query("subset == 'train'")
    counts = f"{len(table)} moments of {table['label'].nunique()} classes in 6 videos"
    assert lines[0] == f"trained dynamic on {counts}: {tmp_path / 'run' / 'model.safetensors'}"
    assert lines[1] == "held back: as the column 'subset' of moments.csv says"
    assert lines[2].endswith("of test: actions never trained on")
    assert lines[3].split()[0] == "training-free" and lines[4].split()[0] == "trained"
    loaded = load_model(tmp_path / "run")
    assert loaded.options["timesteps"] == 4 and loaded.trained["seed"] == 3


def test_unlabelled(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine / "moments.csv").unlink()
    assert train(mine, tmp_path / "run", "--unlabelled", "--hold-out", "0") == 0
    out = capsys.readouterr().out
    assert out.startswith("trained dynamic on 14 videos: ")
    assert "what training gained was not measured: nothing was held back" in out
    assert load_model(tmp_path / "run").trained["unlabelled"]


@pytest.mark.filterwarnings("default")
def test_a_fall_back_is_told_in_one_line(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(unsplit(mine) / "moments.csv")
    table["label"] = [f"action {row % 3}" for row in table.index]
    table.to_csv(mine / "moments.csv", index=False)
    assert train(mine, tmp_path / "run") == 0
    captured = capsys.readouterr()
    [line] = [line for line in captured.err.splitlines() if line]
    assert line.startswith("warning: ") and "held back are videos, not classes (3 classes" in line
    assert "held back: by video: " in captured.out and "seen in training" in captured.out


def test_videos_on_demand_and_resume(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--divide", "videos", "--hold-out", "0.3", "--shortest", "3", "--longest", "9"]
    assert train(unsplit(mine), tmp_path / "run", *options) == 0
    first = capsys.readouterr().out
    windows = load_model(tmp_path / "run").windows
    assert windows[0] == 3.0 and windows[-1] == 9.0
    assert train(mine, tmp_path / "run", *options) == 2
    assert capsys.readouterr().err.endswith("holds a run: resume it, or give another folder\n")
    assert train(mine, tmp_path / "run", *options, "--resume") == 0
    assert capsys.readouterr().out == first


def test_ctrl_c_says_how_to_go_on(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Trainer._epoch

    def stopped(self: Trainer, *arguments: Any) -> Any:
        if len(arguments[-1]) == 1:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    monkeypatch.setattr(Trainer, "_epoch", stopped)
    assert train(mine, tmp_path / "run") == 130
    error = capsys.readouterr().err
    assert error.startswith("error: interrupted; ") and error.count("\n") == 1
    assert "after 1 of 2 epochs; give the same command with --resume to go on" in error
    assert load_model(tmp_path / "run").trained["epochs"] == 1


def test_a_loss_that_is_not_finite(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> Any:
        raise FloatingPointError("epoch 1, step 1: loss 'ranking' is nan")

    monkeypatch.setattr(Trainer, "_epoch", broken)
    assert train(mine, tmp_path / "run") == 1
    assert "step 1: loss 'ranking' is nan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "culprit"),
    [
        (["--system", "oracle"], "oracle"),
        (["--hold-out", "1"], "validation_share"),
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--timesteps", "0"], "timesteps"),
        (["--seed", "-1"], "seed must be at least 0"),
        (["--features", "nowhere"], "nowhere: found nothing"),
        (["--moments", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["--device", "abacus"], "device 'abacus'"),
        (["--unlabelled", "--moments", "x.csv"], "--moments has no meaning with --unlabelled"),
        (["--unlabelled", "--divide", "videos"], "--divide has no meaning with --unlabelled"),
        (["--divide", "halves"], "argument --divide: invalid choice: 'halves'"),
        (["--lenght", "3"], "unrecognized arguments: --lenght 3"),
    ],
)
def test_bad_usage_is_told_in_one_line(
    mine: Path,
    tmp_path: Path,
    more: Sequence[str],
    culprit: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        status: object = train(mine, tmp_path / "run", *more)
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    assert status == 2 and captured.out == ""
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert culprit in captured.err
    assert not (tmp_path / "run").exists()


def test_as_a_process_it_shows_no_bars_in_a_pipe(mine: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gnnreloc", "train", "--data", mine, "--out", tmp_path / "run"]
        + TINY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert len(done.stdout.splitlines()) == 5
