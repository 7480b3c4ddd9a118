"""Bad input: one line on standard error that names the culprit, status 2, nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

RUN = Path(__file__).parents[2] / "experiments" / "run.py"

# Files that a case may name; "empty" is a folder.
FILES = {
    "binary": b"\xff\xfe\x00",
    "unclosed.yaml": b"graph: [dynamic",
    "list.yaml": b"- dynamic",
    "unknown.yaml": b"grap: khop",
    "inner.yaml": b"model: {timestep: 4}",
    "typed.yaml": b"layers: many",
    "kinds.yaml": b"dataset: [fir]",
    "nothing.yaml": b"",
    "group.yaml": b"training: []",
    "number.yaml": b"model: 3",
    "hops.yaml": b"hops: 12",
    "metrics.json": b'{"system": "khop", "config": {"layers": 1}}',
}


@pytest.fixture
def folder(script):
    """The working folder, with an empty folder and the files in it."""
    Path("empty").mkdir()
    for name, content in FILES.items():
        Path(name).write_bytes(content)
    yield Path()
    assert {path.name for path in Path().iterdir()} - {"fir"} == {"empty", *FILES}


def assert_refused(status, err, culprits):
    assert status == 2, err
    assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1
    for culprit in culprits:
        assert culprit in err


@pytest.mark.parametrize(
    ("arguments", "culprits"),
    [
        ("--root empty", ("--root empty", "synthetic")),
        ("--graph dynamics", ("--graph", "dynamics", "hybrid")),
        ("--encoder gru", ("--encoder", "gru", "'bilstm'")),
        ("--model.activation tanh", ("--model.activation", "tanh", "'softmax'")),
        ("--layer 2", ("--layer 2", "did you mean --layers?")),
        ("--grpah khop", ("--grpah khop", "did you mean --graph?")),
        ("--recip paper", ("--recip paper", "did you mean --recipe?")),
        ("--model.timestep 4", ("did you mean --model.timesteps?",)),
        ("--nonsense 4", ("unrecognized arguments: --nonsense 4\n",)),
        ("dynamic", ("unrecognized arguments: dynamic\n",)),
        ("--model.timesteps 0", ("timesteps", "at least 1", "0")),
        ("--layers 0", ("layers", "at least 1", "0")),
        ("--graph khop --hops 0", ("'k'", "at least 1", "0")),
        ("--graph khop --hops 1 two", ("--hops", "int", "two")),
        ("--epochs 0", ("epochs", "at least 1", "0")),
        ("--epochs 1.5", ("--epochs", "int", "1.5")),
        ("--training.samples 0", ("samples", "at least 1", "0")),
        ("--training.batch_size 0", ("batch_size", "at least 1", "0")),
        ("--evaluation.queries 0", ("queries", "at least 1", "0")),
        ("--data.test_videos 0", ("test_videos", "0")),
        ("--data.noise -1", ("noise", "at least 0", "-1")),
        ("--data.noise nan", ("--data.noise", "nan")),
        ("--model.dropout 2", ("dropout", "2")),
        ("--model.temperature 0", ("temperature", "0")),
        ("--seed -1", ("--seed", "-1")),
        ("--split -1", ("--split", "-1")),
        ("--graph khop --hops 1 99999999999999999999", ("--hops", "99999999999999999999")),
        ("--model.timesteps 99999999999999999999", ("--model.timesteps", "99999999999999999999")),
        ("--training.samples 99999999999999999999", ("--training.samples", "below 4294967296")),
        ("--device nonsense", ("device", "'nonsense'")),
        ("--out binary", ("--out binary",)),
        ("--out binary/below", ("--out binary/below",)),
    ],
)
def test_bad_option_gives_one_line(script, folder, arguments, culprits):
    where = [] if "--out" in arguments else ["--out", "new"]
    outcome = script.tiny(*where, *arguments.split())
    assert_refused(outcome.status, outcome.err, culprits)


@pytest.mark.parametrize(
    ("arguments", "culprits"),
    [
        ("--dataset fir", ("fir needs --root",)),
        ("--dataset bandai --root nowhere", ("nowhere/", "--root")),
        ("--dataset bandai --root empty", ("empty/", "missing")),
        ("--dataset fir --root empty", ("empty/", "missing")),
        ("--dataset fir --root binary", ("binary/", "missing")),
        ("--dataset fir --data.noise 1", ("--data.noise 1",)),
        ("--dataset thumos", ("'thumos'", "synthetic, bandai, fir")),
        ("--dataset", ("--dataset", "expected one argument")),
        ("--recipe mine", ("'mine'", "paper, ", "tuned")),
        ("--config nowhere.yaml", ("nowhere.yaml", "No such file")),
        ("--config empty", ("empty", "directory")),
        ("--config binary", ("binary",)),
        ("--config unclosed.yaml", ("unclosed.yaml",)),
        ("--config list.yaml", ("list.yaml", "list")),
        ("--config unknown.yaml", ("'grap'",)),
        ("--config inner.yaml", ("'timestep'", "model")),
        ("--config typed.yaml", ("--layers", "many")),
        ("--config kinds.yaml", ("unknown data set", "fir")),
        ("--config nothing.yaml", ("nothing.yaml", "found nothing")),
        ("--config group.yaml", ("group.yaml", "training", "found list")),
        ("--config number.yaml", ("number.yaml", "model", "found int")),
        ("--config hops.yaml", ("hops.yaml", "hops", "a list")),
        ("--config metrics.json", ("metrics.json", "config", "found dict")),
        ("--recipe=", ("unknown recipe ''",)),
        ("--dataset=", ("unknown data set ''",)),
    ],
)
def test_bad_data_set_or_file_gives_one_line(script, folder, arguments, culprits):
    outcome = script.call("--out", "new", *arguments.split())
    assert_refused(outcome.status, outcome.err, culprits)


def nan_in_features(videos, features):
    features["v03"][7, 5] = np.nan


def moment_ends_before_it_starts(videos, features):
    videos["v03"]["segments"][1] = {"seconds": [9.0, 4.0], "label": "sit"}


def empty_reference(videos, features):
    features["v03"] = features["v03"][:0]


def reference_without_features(videos, features):
    del features["v03"]


@pytest.mark.parametrize(
    ("change", "culprits"),
    [
        (nan_in_features, ("'v03'", "row 7", "channel 5", "nan")),
        (moment_ends_before_it_starts, ("segments.json", "'v03'", "9.0", "4.0", "before end")),
        (empty_reference, ("'v03'", "empty", "[0, 8]")),
        (reference_without_features, ("'v03'", "no features")),
    ],
)
def test_bad_data_gives_one_line(script, folder, fir_root, change, culprits):
    outcome = script.call("--dataset", "fir", "--root", fir_root(change), "--out", "new")
    assert_refused(outcome.status, outcome.err, culprits)


def test_folder_without_permission_gives_one_line(script, folder):
    Path("empty").chmod(0o500)
    try:
        if os.access("empty", os.W_OK):
            pytest.skip("this user may write everywhere")
        outcome = script.tiny("--out", "empty/new")
    finally:
        Path("empty").chmod(0o700)
    assert_refused(outcome.status, outcome.err, ("--out empty/new", "Permission denied"))


@pytest.mark.parametrize("name", ["log.csv", "predictions.csv", "metrics.json", "checkpoint"])
def test_something_in_the_way_gives_one_line(script, name):
    way = Path("mine") / name
    if name == "checkpoint":
        way.parent.mkdir()
        way.touch()
    else:
        way.mkdir(parents=True)
    outcome = script.tiny("--epochs", "1", "--out", "mine")
    assert outcome.status == 1
    assert outcome.err.startswith("error: ") and outcome.err.count("\n") == 1
    assert str(way) in outcome.err


def test_divergence_gives_one_line(script):
    options = ("--training.optimizers", "[{lr: 1e30}]")
    outcome = script.tiny("--epochs", "1", "--out", "mine", *options)
    assert outcome.status == 1
    assert outcome.err.startswith("error: the model gives NaN: ")
    assert outcome.err.endswith("the last checkpoint is untouched\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ("--model.timesteps 0", "timesteps"),
        ("--dataset fir --root nowhere", "nowhere"),
        ("--graph dynamics", "dynamics"),
    ],
)
def test_command_line_gives_one_line(tmp_path, arguments, culprit):
    done = subprocess.run(
        [sys.executable, RUN, *arguments.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert_refused(done.returncode, done.stderr, (culprit,))
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
