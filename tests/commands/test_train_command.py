"""``gnnreloc train`` as it is called: output, exit status, errors in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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


def test_labels_after_none(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after, other = (str(tmp_path / name) for name in ("before", "after", "other"))
    assert train(mine, Path(before), "--unlabelled", "--system", "khop_n1_k1") == 0
    capsys.readouterr()
    assert train(mine, Path(after), "--init", before) == 0
    assert capsys.readouterr().out.startswith("trained khop_n1_k1 on ")
    assert load_model(after).trained["init"] == before
    assert train(mine, Path(other), "--init", before, "--timesteps", "5") == 2
    error = capsys.readouterr().err
    assert error == f"error: initial model {before}: its timesteps is 4, this run's is 5\n"


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
        (["--init", "nowhere"], "nowhere is missing"),
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


TORCHRUN = ("torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "more"), [((), ("--devices", "2")), (TORCHRUN, ())], ids=["devices", "torchrun"]
)
def test_two_processes_save_one_model(
    mine: Path, tmp_path: Path, launcher: Sequence[str], more: Sequence[str]
) -> None:
    out = tmp_path / "run"
    line = [sys.executable, "-m", *launcher, "gnnreloc.cli", "train", "--data", str(mine)]
    done = subprocess.run(
        [*line, "--out", str(out), *TINY, *more],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.count(f"{out / 'model.safetensors'}") == 1
    assert load_model(out).trained["epochs"] == 2
    assert len(pd.read_csv(out / "log.csv")) == 2


@pytest.mark.slow
def test_ctrl_c_ends_two_processes_with_one_message(mine: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    line = [sys.executable, "-m", "gnnreloc", "train", "--data", str(mine), "--out", str(out)]
    with subprocess.Popen(
        [*line, *TINY, "--devices", "2", "--epochs", "500"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            last = time.monotonic() + 200
            while not (out / "checkpoint/last.pt").exists() and time.monotonic() < last:
                assert process.poll() is None
                time.sleep(0.1)
            os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to both
            _, error = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130 and error.count("error: ") == 1, error
    done = int(load_model(out).trained["epochs"])
    assert f"after {done} of 500 epochs; give the same command with --resume" in error
