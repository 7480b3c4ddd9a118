"""The file of results: its schema, its environment, and what is said of a bad one."""

from __future__ import annotations

import copy
import doctest
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from gnnreloc.errors import InputError

MEASURED: dict[str, Any] = {
    "case": "dense",
    "setting": {"nodes": 80, "backward": True, "weighting": "none"},
    "status": "measured",
    "reason": None,
    "seconds": {"median": 0.5, "iqr": 0.1, "blocks": 3, "runs": 6},
    "memory": {"above": 10, "total": 20},
    "figures": {"operations": 7.0},
}
SKIPPED: dict[str, Any] = {
    **MEASURED,
    **{"status": "skipped", "reason": "too large", "seconds": None, "memory": None},
}


@pytest.fixture
def record(scripts: dict[str, ModuleType]) -> ModuleType:
    return scripts["record"]


@pytest.fixture
def write(record: ModuleType, tmp_path: Path) -> Callable[..., Path]:
    """Writes results; the file."""

    def write(*results: dict[str, Any], checks: list[dict[str, Any]] | None = None) -> Path:
        path = tmp_path / "folder" / "results.json"
        record.write_results(
            path,
            "adjacency",
            started=record.environment(torch.device("cpu")),
            options={"seed": 0},
            results=results,
            checks=checks or [],
        )
        return path

    return write


def test_results_come_back(record: ModuleType, write: Callable[..., Path]) -> None:
    checks = [record.check("ratio", 1.5, "at most", 1.3), record.check("x", 2.0, "at least", 2.0)]
    path = write(MEASURED, SKIPPED, checks=checks)
    document = record.read_results(path)
    assert document["results"] == [MEASURED, SKIPPED]
    assert [check["holds"] for check in document["checks"]] == [False, True]
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum('"case"' in line for line in lines) == 2  # one line a result, for the diffs


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda row: row.pop("seconds"), "'seconds' is a required property"),
        (lambda row: row.update(seconds=None), "None is not of type 'object'"),
        (lambda row: row["seconds"].update(median=0.0), "0.0"),
        (lambda row: row.update(reason="slow"), "'slow' is not of type 'null'"),
        (lambda row: row.update(extra=1), "extra"),
        (lambda row: row["setting"].update(nodes=[80]), r"\[80\]"),
        (lambda row: row.update(status="skipped"), "type"),
    ],
)
def test_results_against_the_schema_are_refused(
    write: Callable[..., Path], tmp_path: Path, change: Callable[..., Any], complaint: str
) -> None:
    row = copy.deepcopy(MEASURED)
    change(row)
    with pytest.raises(InputError, match=rf"results\.json: \$\.results\[0\].*{complaint}"):
        write(row)
    assert not (tmp_path / "folder").exists()


def test_a_file_that_is_none_is_named(record: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with pytest.raises(InputError, match=r"results\.json: No such file"):
        record.read_results(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"results\.json is no JSON"):
        record.read_results(path)
    path.write_text(json.dumps({"schema": 2}), encoding="utf-8")
    with pytest.raises(InputError, match=r"results\.json: \$"):
        record.read_results(path)


def test_commit_tells_a_changed_tree(record: ModuleType, tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        person = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(tmp_path), *person, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert record.commit(tmp_path / "missing") == "unknown"
    git("init", "-q")
    (tmp_path / "file").write_text("1", encoding="utf-8")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    (tmp_path / "untracked").write_text("1", encoding="utf-8")
    head = git("rev-parse", "HEAD")
    assert record.commit(tmp_path) == head
    (tmp_path / "file").write_text("2", encoding="utf-8")
    assert record.commit(tmp_path) == f"{head}+dirty"


@pytest.mark.parametrize("script", ["adjacency", "training_step", "loader", "search"])
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--threads", 0), "--threads must be at least 1, got 0"),
        (("--seed", -1), "--seed must be from 0 to 4294967295, got -1"),
        (("--out", "results.csv"), "--out must end in .json, got results.csv"),
        (("--device", "tpu"), "--device must be cpu or cuda, got 'tpu'"),
        (("--seconds", "fast", "--workers", "many", "--proposals", "few"), "argument --"),
        (("--quik",), "unrecognized arguments: --quik"),
    ],
)
def test_bad_options_are_told_in_one_line(
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    script: str,
    arguments: tuple[object, ...],
    complaint: str,
) -> None:
    assert call(script, "--quick", *arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(f"error: {complaint}") and error.count("\n") == 1


def test_bad_options_of_one_script(
    call: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = tmp_path / "missing.json"
    for script, arguments, complaint in (
        ("adjacency", ("--wait", 0), "--wait must be above 0, got 0.0"),
        ("adjacency", ("--plot", missing), f"{missing}: No such file or directory"),
        ("training_step", ("--workers", 2, -1), "--workers must be at least 0, got -1"),
        ("loader", ("--workers", -3), "--workers must be at least 0, got -3"),
        ("search", ("--proposals", 5, 0), "--proposals must be at least 1, got 0"),
    ):
        assert call(script, *arguments) == 2
        assert capsys.readouterr().err == f"error: {complaint}\n"


def test_examples_in_docstrings(scripts: dict[str, ModuleType]) -> None:
    found = {name: doctest.testmod(module) for name, module in scripts.items()}
    assert {name for name, result in found.items() if result.attempted} == {"common", "record"}
    assert not [name for name, result in found.items() if result.failed]
