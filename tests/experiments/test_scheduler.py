"""Cells side by side: failures, resumption, cores, and the lock of the folder."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gnnreloc.errors import InputError

STUB = Path(__file__).with_name("stub_run.py")


@pytest.fixture
def run(modules: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs systems, by what they do, on split 0 with seed 0; gives the outcomes by system."""

    def run(behaviours: dict[str, str | None], jobs: int = 2) -> dict[str, Any]:
        monkeypatch.setenv("STUB", json.dumps(behaviours))
        cells = modules["grid"].plan(behaviours, [0], [0], folder=tmp_path, options={})
        scheduler = modules["scheduler"]
        with scheduler.lock_folder(tmp_path) as lock:
            outcomes = list(scheduler.run_cells(cells, script=STUB, jobs=jobs, lock=lock))
        return {outcome.cell.system: outcome for outcome in outcomes}

    return run


def test_the_failure_of_one_cell_takes_no_other(run, tmp_path):
    outcomes = run({"sst": "fail", "aft_srm": "kill", "complete": "nothing", "identity": None})
    assert {name: outcome.failure for name, outcome in outcomes.items()} == {
        "sst": "no sst today",
        "aft_srm": "killed by SIGKILL (out of memory?)",
        "complete": "it ended without metrics.json and predictions.csv",
        "identity": None,
    }
    assert list(outcomes["sst"].tail)[-2:] == ["Traceback ...", "error: no sst today"]
    log = (tmp_path / "sst-split0-seed0" / "log.txt").read_text(encoding="utf-8")
    assert log.startswith("$ ") and log.endswith("error: no sst today\n")
    assert "--system sst --split 0 --seed 0 --only_metrics true --out" in log


def test_a_failure_is_told_from_the_last_attempt(run):
    assert run({"sst": "fail"})["sst"].failure == "no sst today"
    assert run({"sst": "kill"})["sst"].failure == "killed by SIGKILL (out of memory?)"
    assert run({"sst": None})["sst"].failure is None


def test_a_begun_run_is_resumed(run, tmp_path):
    first = run({"sst": "begin"})["sst"]
    assert first.failure is not None
    assert run({"sst": "begin"})["sst"].failure is None
    commands = (tmp_path / "sst-split0-seed0" / "log.txt").read_text().splitlines()
    commands = [line for line in commands if line.startswith("$ ")]
    assert [line.endswith("--resume") for line in commands] == [False, True]


def test_cells_run_side_by_side_and_share_the_cores(run, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)))
    outcomes = run({"sst": "meet", "aft_srm": "meet"}, jobs=2)
    assert [outcome.failure for outcome in outcomes.values()] == [None, None]
    for name in outcomes:
        assert "threads 3\n" in (tmp_path / f"{name}-split0-seed0" / "log.txt").read_text()


def test_a_cell_that_cannot_start_is_a_failed_one(run, tmp_path):
    (tmp_path / "sst-split0-seed0").write_text("a file in the way")
    outcomes = run({"sst": None, "identity": None})
    assert outcomes["sst"].failure.startswith("not started: ")
    assert outcomes["identity"].failure is None


def test_what_ends_the_caller_ends_the_cells_and_frees_the_folder(modules, tmp_path, monkeypatch):
    scheduler = modules["scheduler"]
    monkeypatch.setenv("STUB", json.dumps({"sst": "hang", "identity": None}))
    cells = modules["grid"].plan(["identity", "sst"], [0], [0], folder=tmp_path, options={})
    mark = tmp_path / "sst-split0-seed0" / "process"
    with scheduler.lock_folder(tmp_path) as lock:
        outcomes = scheduler.run_cells(cells, script=STUB, jobs=2, lock=lock)
        assert next(outcomes).cell.system == "identity"
        deadline = time.monotonic() + 20
        while not (mark.exists() and mark.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        process = int(mark.read_text())
        os.kill(process, 0)
        # The lock is held by the cell too: who comes later is told whom to wait for.
        with pytest.raises(InputError, match=rf"in use by .*{process}"):
            scheduler.lock_folder(tmp_path).__enter__()
        outcomes.close()
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
    with scheduler.lock_folder(tmp_path):
        pass


def test_a_cell_that_is_left_behind_keeps_the_folder(modules, tmp_path, monkeypatch):
    scheduler = modules["scheduler"]
    monkeypatch.setenv("STUB", json.dumps({"sst": "hang"}))
    cells = modules["grid"].plan(["sst"], [0], [0], folder=tmp_path, options={})
    with scheduler.lock_folder(tmp_path) as lock:
        left = scheduler._Running(cells[0], STUB, "1", lock)
    try:
        with pytest.raises(InputError, match="in use"):
            scheduler.lock_folder(tmp_path).__enter__()
    finally:
        left.process.send_signal(signal.SIGKILL)
        left.process.wait()
    with scheduler.lock_folder(tmp_path):
        pass
