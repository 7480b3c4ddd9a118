"""The command that fills the tables, interrupted and killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
STUB = Path(__file__).with_name("stub_run.py")
# A shell starts what runs in its background with interrupts ignored: not so here.
START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
START += f"import sys; sys.path.insert(0, {str(EXPERIMENTS)!r}); import compare; from pathlib "
START += "import Path; sys.exit(compare.main(sys.argv[2:], Path(sys.argv[1])))"
TINY = [
    *("--data.train_videos", "6", "--data.validation_videos", "4", "--data.test_videos", "4"),
    *("--evaluation.queries", "4", "--training.samples", "8", "--model.timesteps", "6"),
    *("--model.hidden_channels", "8"),
]


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_interrupt_stops_the_cells_and_says_how_to_go_on(compare, tmp_path):
    environment = os.environ | {"STUB": json.dumps({"sst": "hang", "identity": "hang"})}
    grid = ["--systems", "sst", "identity", "complete", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(STUB), *grid],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    marks = [
        tmp_path / f"out/synthetic/{name}-split0-seed0/process" for name in ("sst", "identity")
    ]
    wait_for(lambda: all(mark.exists() and mark.read_text() for mark in marks))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "\ninterrupted; the same command goes on where it stopped\n"
    for mark in marks:
        with pytest.raises(ProcessLookupError):
            os.kill(int(mark.read_text()), 0)
    again = compare(*grid)
    assert again.status == 0 and again.out.startswith("3 runs, 0 of them finished before\n")


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_to_the_same_tables(tmp_path):
    systems = ["longest_proposal", "dynamic_tuned"]
    grid = ["--systems", *systems, "--seeds", "0", "1", "--epochs", "2", "--jobs", "2"]

    def start(out: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            str(EXPERIMENTS / "compare.py"),
            *grid,
            "--out",
            out,
            "--",
            *TINY,
        ]
        return subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    whole = start("whole")
    out, err = whole.communicate(timeout=300)
    assert (whole.returncode, err) == (0, ""), out

    killed = start("killed")
    runs = tmp_path / "killed" / "synthetic"
    begun = runs / "dynamic_tuned-split0-seed0" / "config.yaml"
    wait_for(begun.exists, seconds=200)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    left = [int(pid) for pid in (runs / ".lock").read_text().split()[1:]]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not (tmp_path / "killed" / "synthetic.csv").exists()

    # A process that is killed lets go of the lock a moment later.
    for _ in range(20):
        resumed = start("killed")
        out, err = resumed.communicate(timeout=300)
        if "in use" not in err:
            break
        time.sleep(0.5)
    assert (resumed.returncode, err) == (0, ""), out
    assert re.match(r"3 runs, [01] of them finished before", out)
    log = (begun.parent / "log.txt").read_text(encoding="utf-8")
    assert sum(line.endswith("--resume") for line in log.splitlines()) == 1
    for ending in (".csv", "_classes.csv", "_differences.csv"):
        tables: list[Any] = [
            pd.read_csv(tmp_path / name / f"synthetic{ending}") for name in ("whole", "killed")
        ]
        first, second = (table.drop(columns="train_seconds", errors="ignore") for table in tables)
        pd.testing.assert_frame_equal(first, second)
    for ending in (".md", ".tex"):
        texts = [
            (tmp_path / name / f"synthetic{ending}").read_text() for name in ("whole", "killed")
        ]
        assert texts[0] == texts[1]
