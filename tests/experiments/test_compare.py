"""The command that fills the tables: what it runs, keeps, tells and writes."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pandas as pd
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
STUB = Path(__file__).with_name("stub_run.py")
NAMES = ("compare", "gather", "grid", "render", "scheduler", "tables")
FILES = (".csv", ".md", ".png", ".tex", "_classes.csv", "_differences.csv")
START = f"import sys; sys.path.insert(0, {str(EXPERIMENTS)!r}); import compare; from pathlib "
START += "import Path; sys.exit(compare.main(sys.argv[2:], Path(sys.argv[1])))"


class Outcome(NamedTuple):
    """What a call came to: exit status and both streams."""

    status: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture(scope="module")
def module() -> Iterator[ModuleType]:
    """The script; its neighbours are found by their names only while it is loaded."""
    sys.path.insert(0, str(EXPERIMENTS))
    try:
        yield importlib.import_module("compare")
    finally:
        sys.path.remove(str(EXPERIMENTS))
        for name in NAMES:
            sys.modules.pop(name, None)


@pytest.fixture
def compare(
    module: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Calls the command with a stub for run.py that does what it is told, system by system."""
    monkeypatch.chdir(tmp_path)

    def compare(*arguments: object, stub: dict[str, str] | None = None) -> Outcome:
        monkeypatch.setenv("STUB", json.dumps(stub or {}))
        status = module.main([str(argument) for argument in arguments], STUB)
        return Outcome(status, *capsys.readouterr())

    return compare


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def lines_of(text: str) -> list[str]:
    """The lines on cells."""
    return [line for line in text.splitlines() if line.startswith("[")]


def test_fills_the_tables_and_runs_nothing_twice(compare, tmp_path):
    grid = ("--systems", "sst", "chance", "dynamic_tuned", "--splits", "0", "1", "--seeds", 0, 1)
    outcome = compare(*grid, "--out", "out")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("12 runs, 0 of them finished before\n")
    lines = lines_of(outcome.out)
    assert [line.split("]")[0] for line in lines] == [f"[{n}/12" for n in range(1, 13)]
    pattern = r"\[\d+/12\] \w+ split \d seed \d: R@1 \.5 = \d\.\d{3}, \d+ s(; less .* left)?"
    assert all(re.fullmatch(pattern, line) for line in lines)
    assert {path.name for path in (tmp_path / "out").glob("*")} == {
        "synthetic",
        *(f"synthetic{ending}" for ending in FILES),
    }
    table = pd.read_csv(tmp_path / "out" / "synthetic.csv")
    assert len(table) == 12
    assert set(table["system"]) == {"sst", "chance", "dynamic_tuned"}
    assert "Dynamic adjacency, tuned recipe" in outcome.out

    before = contents(tmp_path / "out" / "synthetic")
    again = compare(*grid, "--out", "out", "--protocol", "filtered", "--refinement", "off")
    assert again.status == 0 and lines_of(again.out) == []
    assert "12 runs, 12 of them finished before" in again.out
    assert "LEAKS THE TRUTH" in again.out
    assert contents(tmp_path / "out" / "synthetic") == before
    for ending in FILES:
        assert (tmp_path / "out" / f"synthetic_filtered_unrefined{ending}").is_file()


def test_tables_hold_what_earlier_calls_ran(compare, tmp_path):
    compare("--systems", "identity", "--out", "out")
    outcome = compare("--systems", "complete", "--out", "out")
    assert outcome.out.startswith("1 runs, 0 of them")
    assert set(pd.read_csv(tmp_path / "out" / "synthetic.csv")["system"]) == {
        "identity",
        "complete",
    }


def test_all_systems_are_those_of_the_tables(compare, tmp_path):
    outcome = compare("--out", "out", "--jobs", "4")
    table = pd.read_csv(tmp_path / "out" / "synthetic.csv")
    assert outcome.status == 0 and len(table) == 27
    assert {"chance", "khop_n3_k123", "khop_cnn_n2_k123", "dynamic_paper"} < set(table["system"])
    recipes = table.set_index("system")["recipe"]
    assert recipes["dynamic_paper"] == "paper" and recipes["hybrid_tuned"] == "tuned"
    assert recipes[["chance", "oracle", "training_free", "frame_level"]].isna().all()


def test_a_failed_cell_is_reported_and_tried_again(compare, tmp_path):
    grid = ("--systems", "identity", "sst", "complete", "--out", "out", "--against", "identity")
    outcome = compare(*grid, stub={"sst": "fail", "complete": "kill"})
    assert outcome.status == 1
    assert len(lines_of(outcome.out)) == 3
    assert "FAILED sst split 0 seed 0: no sst today" in outcome.out
    assert "    Traceback ...\n    error: no sst today\n" in outcome.out
    told = outcome.out.split("written: ")[1].splitlines()
    reasons = {"sst": "no sst today", "complete": "killed by SIGKILL (out of memory?)"}
    assert {line for line in told if line.startswith("failed: ")} == {
        f"failed: {name} split 0 seed 0: {reason} (out/synthetic/{name}-split0-seed0)"
        for name, reason in reasons.items()
    }
    assert "2 of 3 runs failed; the same command tries them again" in told
    assert pd.read_csv(tmp_path / "out" / "synthetic.csv")["system"].tolist() == ["identity"]

    again = compare(*grid)
    assert again.status == 0 and len(lines_of(again.out)) == 2
    assert len(pd.read_csv(tmp_path / "out" / "synthetic.csv")) == 3


def test_nothing_finished_writes_no_tables(compare, tmp_path):
    assert compare("--systems", "sst", "--out", "out", stub={"sst": "fail"}).status == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["synthetic"]


def test_options_reach_every_call(compare, tmp_path):
    grid = ("--systems", "chance", "sst", "--epochs", "3", "--proposals", "windows", "--out", "out")
    assert compare(*grid, "--", "--evaluation.queries", 4, "--training.lr=1").status == 0
    asked = {
        name: json.loads((tmp_path / f"out/synthetic/{name}-split0-seed0/options.json").read_text())
        for name in ("chance", "sst")
    }
    common = {"dataset": ["synthetic"], "proposals": ["windows"], "evaluation.queries": ["4"]}
    own = {"split": ["0"], "seed": ["0"]}
    assert asked["chance"] == common | own | {"system": ["chance"]}
    trained = {"epochs": ["3"], "training.lr": ["1"]}
    assert asked["sst"] == common | own | trained | {"system": ["sst"]}


def test_runs_with_other_options_are_neither_taken_nor_touched(compare, tmp_path):
    assert compare("--systems", "sst", "--epochs", "2", "--out", "out").status == 0
    before = contents(tmp_path / "out")
    other = compare("--systems", "sst", "--out", "out")
    assert (other.status, other.out) == (2, "")
    assert re.fullmatch(
        r"error: out/synthetic/sst-split0-seed0 holds another run: its epochs is 2, asked for is "
        r"its default; choose another --out, or remove that folder\n",
        other.err,
    )
    neighbour = compare("--systems", "chance", "--out", "out", "--", "--evaluation.queries", "4")
    assert neighbour.status == 2
    assert "its evaluation.queries is 150, asked for is 4" in neighbour.err
    assert contents(tmp_path / "out") == before


def test_after_a_typo_the_command_is_given_again(compare):
    grid = ("--systems", "sst", "identity", "--out", "out", "--")
    typo = compare(*grid, "--evaluation.querys", "4", stub={"sst": "fail", "identity": "fail"})
    assert typo.status == 1
    again = compare(*grid, "--evaluation.queries", "4")
    assert (again.status, again.err) == (0, "")


def test_a_default_may_be_given_or_left_out(compare):
    grid = ("--systems", "chance", "sst", "--out", "out")
    default = ("--", "--evaluation.references_per_query", "2")
    for first, second in ((grid, (*grid, *default)), ((*grid, *default), grid)):
        assert compare(*first).status == 0
        again = compare(*second)
        assert again.status == 0 and "2 runs, 2 of them finished before" in again.out
        shutil.rmtree("out")


def test_a_changed_recipe_is_told(compare, tmp_path):
    grid = ("--systems", "chance", "sst", "identity", "--out", "out", "--epochs", "1")
    outcome = compare(*grid, "--", "--training.samples", "8")
    told = "changed on the command line: epochs 1, training.samples 8 (all)."
    assert told in " ".join(outcome.out.split())
    table = pd.read_csv(tmp_path / "out" / "synthetic.csv", keep_default_na=False)
    recipes = dict(zip(table["system"], table["recipe"], strict=True))
    assert recipes == {"chance": "", "sst": "tuned*", "identity": "tuned*"}


def test_a_damaged_cell_is_run_again_and_keeps_no_other_from_the_tables(compare, tmp_path):
    grid = ("--systems", "sst", "identity", "chance", "--out", "out", "--against", "identity")
    assert compare(*grid).status == 0
    folder = tmp_path / "out" / "synthetic"
    (folder / "sst-split0-seed0" / "metrics.json").write_text("[]")
    (folder / "chance-split0-seed0" / "predictions.csv").write_text("a,b\n1,2\n")
    failing = compare(*grid, stub={"sst": "fail"})
    assert failing.status == 1 and "failed: sst split 0 seed 0: no sst today" in failing.out
    table = pd.read_csv(tmp_path / "out" / "synthetic.csv")
    assert table["system"].tolist() == ["chance", "identity"]
    again = compare(*grid)
    assert again.status == 0 and len(lines_of(again.out)) == 1


def test_what_cannot_stand_in_one_table_is_told_before_anything_is_run(compare, tmp_path):
    assert compare("--systems", "sst", "--out", "out").status == 0
    folder = tmp_path / "out" / "synthetic"
    shutil.copytree(folder / "sst-split0-seed0", folder / "sst-split0-seed0.bak")
    outcome = compare("--systems", "sst", "identity", "--out", "out")
    assert (outcome.status, outcome.out) == (2, "")
    assert "sst-split0-seed0.bak hold the same cell" in outcome.err
    assert not (folder / "identity-split0-seed0").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--systems", "dynamic_tune"],
            "unknown system 'dynamic_tune'; did you mean dynamic_tuned?",
        ),
        (["--against", "x"], "unknown system 'x'; known are: chance, frame_level"),
        (["--splits", "-1"], "--splits: wanted a whole number of at least 0, found '-1'"),
        (["--against", "all"], "unknown system 'all'"),
        (["--proposals", "windws"], "--proposals: invalid choice: 'windws'"),
        (["--jobs", "0"], "--jobs: wanted at least 1, found 0"),
        (["--dataset", "bandai"], "--dataset bandai needs --root"),
        (["--dataset", "bandai", "--root", "nowhere"], "--root nowhere is no folder"),
        (["--root", "."], "--dataset synthetic is generated: it has no --root"),
        (["--dataset", "kinetics"], "invalid choice: 'kinetics'"),
        (["--queries", "4"], "unrecognized arguments: --queries"),
        (["--", "--seed", "4"], "--seed behind -- : it is set by compare.py"),
        (["--", "4"], "'4' behind -- : wanted an option of run.py"),
    ],
)
def test_bad_input_is_told_in_one_line(compare, tmp_path, arguments, told):
    outcome = compare(*arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ") and told in outcome.err
    assert outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_second_command_on_the_same_folder_is_refused(compare, module):
    folder = Path("out/synthetic")
    with module.lock_folder(folder):
        outcome = compare("--systems", "sst", "--out", "out")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {folder} is in use by another compare.py")
    assert compare("--systems", "sst", "--out", "out").status == 0


def test_time_left_is_that_of_the_same_system_or_else_of_all(module):
    spent = {"chance": [10.0], "sst": [100.0, 140.0]}
    # 120 for sst, and the mean of all three, 83.3, for the unknown one.
    assert module.time_left(["sst", "identity"], spent, jobs=1) == "; about 3 min left"
    assert module.time_left(["sst"] * 60, spent, jobs=2) == "; about 1.0 h left"
    assert module.time_left(["chance"], spent, jobs=1) == "; less than a minute left"
    assert module.time_left([], spent, jobs=1) == module.time_left(["sst"], {}, jobs=1) == ""


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
    assert again.status == 0 and len(lines_of(again.out)) == 3


TINY = [
    *("--data.train_videos", "6", "--data.validation_videos", "4", "--data.test_videos", "4"),
    *("--evaluation.queries", "4", "--training.samples", "8", "--model.timesteps", "6"),
    *("--model.hidden_channels", "8"),
]


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
