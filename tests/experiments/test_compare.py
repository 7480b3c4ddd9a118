"""The command that fills the tables: what it runs, keeps, tells and writes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

FILES = (".csv", ".md", ".png", ".tex", "_classes.csv", "_differences.csv")


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
    assert outcome.status == 0 and len(table) == 28
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


def test_a_second_command_on_the_same_folder_is_refused(compare, modules):
    folder = Path("out/synthetic")
    with modules["compare"].lock_folder(folder):
        outcome = compare("--systems", "sst", "--out", "out")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {folder} is in use by another compare.py")
    assert compare("--systems", "sst", "--out", "out").status == 0


def test_time_left_is_that_of_the_same_system_or_else_of_all(modules):
    time_left = modules["compare"].time_left
    spent = {"chance": [10.0], "sst": [100.0, 140.0]}
    # 120 for sst, and the mean of all three, 83.3, for the unknown one.
    assert time_left(["sst", "identity"], spent, jobs=1) == "; about 3 min left"
    assert time_left(["sst"] * 60, spent, jobs=2) == "; about 1.0 h left"
    assert time_left(["chance"], spent, jobs=1) == "; less than a minute left"
    assert time_left([], spent, jobs=1) == time_left(["sst"], {}, jobs=1) == ""
