"""The training loop in processes of its own: killed by the system, and two at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from gnnreloc.training import load_checkpoint

pytestmark = pytest.mark.slow

SCRIPT = """
import json, os, pathlib, signal, sys
import torch
from gnnreloc.datasets import synthetic
from gnnreloc.models import GraphRelocalizer
from gnnreloc.training import OptimizerOptions, Trainer

folder, options = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
kill_in, resume, dropout = (options.pop(name) for name in ("kill_in", "resume", "dropout"))
rank = int(os.environ.get("LOCAL_RANK", 0))
import gnnreloc.training.trainer as module
whole = module.compute_losses
if options.pop("poisoned") == rank:
    module.compute_losses = lambda *given, **more: {
        name: loss * float("nan") for name, loss in whole(*given, **more).items()
    }
if options.pop("broken") == rank:
    module.compute_losses = lambda *given, **more: {"broken": 1 / 0}
epochs_seen = 0

def validate(model):
    global epochs_seen
    epochs_seen += 1
    if epochs_seen == kill_in:
        os.kill(os.getpid(), signal.SIGKILL)
    return {}

corpus = synthetic(train_videos=6, validation_videos=2, test_videos=2)
# Each process draws other weights: those of the first must win.
torch.manual_seed(rank)
model = GraphRelocalizer(48, hidden_channels=16, timesteps=8, dropout=dropout)
# Losses of which two processes are one with twice the batch, in three optimisers.
optimizers = [
    OptimizerOptions(["adjacency"], {"ranking": 1.0, "sparsity": 0.5}, "adam", clip=None),
    OptimizerOptions(["regression"], {"sparsity": 1.0}, weight_decay=0.1),
    OptimizerOptions(["rest"], {"ranking": 1.0}, lr=1e-2, schedule="constant"),
]
trainer = Trainer(
    epochs=3, samples=8, list_length=6, device="cpu", optimizers=optimizers, **options
)
trainer.fit(model, corpus, folder=folder, resume=resume, validate=validate)
assert len((folder / "log.csv").read_text().splitlines()) == 4
assert epochs_seen == 0 or trainer.fabric.is_global_zero
torch.save(model.state_dict(), folder / f"rank{trainer.fabric.global_rank}.pt")
trainer.fabric.barrier()
"""


def train(folder: Path, *launcher: str, fails: str = "", **options: object) -> int:
    """Run the script, by a launcher if there is one; its exit status."""
    folder.mkdir(exist_ok=True)
    script = folder / "train.py"
    script.write_text(SCRIPT, encoding="utf-8")
    defaults = {"kill_in": 0, "resume": False, "dropout": 0.0, "batch_size": 4}
    arguments = json.dumps({"poisoned": -1, "broken": -1} | defaults | options)
    clean = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "MASTER_PORT")}
    done = subprocess.run(
        [sys.executable, *launcher, str(script), str(folder), arguments],
        env=clean | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if fails:
        assert done.returncode in (1, -signal.SIGKILL) and fails in done.stderr, done.stderr
    else:
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def test_sigkill_and_resume_is_uninterrupted(tmp_path: Path) -> None:
    through, killed = tmp_path / "through", tmp_path / "killed"
    assert train(through, dropout=0.3) == 0
    assert train(killed, dropout=0.3, kill_in=3) == -signal.SIGKILL
    assert len(load_checkpoint(killed / "checkpoint/last.pt")["rows"]) == 2
    assert train(killed, dropout=0.3, resume=True) == 0
    logs = [pd.read_csv(f / "log.csv").drop(columns="seconds") for f in (through, killed)]
    pd.testing.assert_frame_equal(*logs, check_exact=True)
    expected, resumed = (torch.load(f / "rank0.pt") for f in (through, killed))
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
FABRIC = ("-m", "lightning_fabric.cli", "--devices", "2", "--accelerator", "cpu")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process."""
    folder = tmp_path_factory.mktemp("one")
    assert train(folder, batch_size=4, precision="64-true") == 0
    return folder


@pytest.mark.parametrize("launcher", [(), TORCHRUN, FABRIC], ids=["own", "torchrun", "fabric"])
def test_two_processes_are_one_with_twice_the_batch(
    one: Path, tmp_path: Path, launcher: tuple[str, ...]
) -> None:
    two = tmp_path / "two"
    devices = {} if launcher else {"devices": 2}
    if launcher == FABRIC:
        pytest.importorskip("click", reason="the command line of Fabric is not installed")
    assert train(two, *launcher, batch_size=2, precision="64-true", **devices) == 0
    expected = torch.load(one / "rank0.pt")
    first, second = (torch.load(two / f"rank{rank}.pt") for rank in (0, 1))
    for name in expected:
        assert bool(first[name].isfinite().all())
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(first[name], expected[name], atol=1e-6), name
    logs = [pd.read_csv(folder / "log.csv").drop(columns="seconds") for folder in (one, two)]
    pd.testing.assert_frame_equal(*logs, rtol=1e-6)
    assert len(logs[1]) == 3
    assert len(list(two.glob("events.out.tfevents.*"))) == 1


def test_two_processes_killed_and_resumed_are_uninterrupted(tmp_path: Path) -> None:
    through, killed = tmp_path / "through", tmp_path / "killed"
    two = {"dropout": 0.3, "batch_size": 2, "devices": 2}
    assert train(through, **two) == 0
    assert train(killed, kill_in=3, **two) == -signal.SIGKILL
    assert len(load_checkpoint(killed / "checkpoint/last.pt")["rows"]) == 2
    assert train(killed, resume=True, **two) == 0
    expected, resumed = (torch.load(f / "rank0.pt") for f in (through, killed))
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_what_one_process_cannot_train_on_ends_both(tmp_path: Path) -> None:
    told = "epoch 1, step 1: the ranking loss is nan"
    train(tmp_path / "run", fails=told, poisoned=1, batch_size=2, devices=2)
    assert not (tmp_path / "run/checkpoint/last.pt").exists()


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("launcher", [(), TORCHRUN], ids=["own", "torchrun"])
def test_a_process_that_fails_alone_ends_both(
    tmp_path: Path, launcher: tuple[str, ...], rank: int
) -> None:
    devices = {} if launcher else {"devices": 2}
    train(tmp_path / "run", *launcher, fails="ZeroDivisionError", broken=rank, **devices)


def test_another_number_of_processes_was_started(tmp_path: Path) -> None:
    told = "devices: found 3, and 2 processes were started"
    train(tmp_path / "run", *TORCHRUN, fails=told, devices=3)
