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
epochs_seen = 0

def validate(model):
    global epochs_seen
    epochs_seen += 1
    if epochs_seen == kill_in:
        os.kill(os.getpid(), signal.SIGKILL)
    return {}

corpus = synthetic(train_videos=6, validation_videos=2, test_videos=2)
# Each process draws other weights: those of the first must win.
torch.manual_seed(int(os.environ.get("LOCAL_RANK", 0)))
model = GraphRelocalizer(48, hidden_channels=16, timesteps=8, dropout=dropout)
optimizers = [OptimizerOptions(losses={"ranking": 1.0})]
trainer = Trainer(
    epochs=3, samples=8, list_length=6, device="cpu", optimizers=optimizers, **options
)
trainer.fit(model, corpus, folder=folder, resume=resume, validate=validate)
torch.save(model.state_dict(), folder / f"rank{trainer.fabric.global_rank}.pt")
trainer.fabric.barrier()
"""


def train(folder: Path, **options: object) -> int:
    """Run the script; its exit status."""
    folder.mkdir(exist_ok=True)
    script = folder / "train.py"
    script.write_text(SCRIPT, encoding="utf-8")
    defaults = {"kill_in": 0, "resume": False, "dropout": 0.0, "batch_size": 4}
    arguments = json.dumps(defaults | options)
    clean = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "MASTER_PORT")}
    done = subprocess.run(
        [sys.executable, str(script), str(folder), arguments],
        env=clean | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
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


def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    train(one, batch_size=4, precision="64-true")
    train(two, batch_size=2, precision="64-true", devices=2)
    expected = torch.load(one / "rank0.pt")
    first, second = (torch.load(two / f"rank{rank}.pt") for rank in (0, 1))
    for name in expected:
        assert bool(first[name].isfinite().all())
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(first[name], expected[name], atol=1e-6), name
    assert len(pd.read_csv(two / "log.csv")) == 3
    assert len(list(two.glob("events.out.tfevents.*"))) == 1
