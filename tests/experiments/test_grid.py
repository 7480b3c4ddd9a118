"""The cells of a comparison, and how they run side by side."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gnnreloc.errors import InputError

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
STUB = Path(__file__).with_name("stub_run.py")
NAMES = ("grid", "gather", "scheduler")


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    """The modules; they are found by their names only while they are loaded."""
    sys.path.insert(0, str(EXPERIMENTS))
    try:
        yield {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(EXPERIMENTS))
        for name in NAMES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def grid(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["grid"]


@pytest.fixture(scope="module")
def read_metrics(modules: dict[str, ModuleType]) -> Any:
    return modules["gather"].read_metrics


@pytest.fixture(scope="module")
def stub() -> ModuleType:
    location = importlib.util.spec_from_file_location("stub_run", STUB)
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


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


def plan(grid: ModuleType, systems: list[str], **options: Any) -> list[Any]:
    given: dict[str, Any] = {"splits": [0], "seeds": [0], "options": {}, "folder": Path("runs")}
    cells: list[Any] = grid.plan(systems, **(given | options))
    return cells


def test_cells_go_split_by_split_and_the_cheap_ones_first(grid):
    cells = plan(grid, ["sst", "chance", "oracle", "identity"], splits=[2, 0], seeds=[4, 3])
    assert [(cell.split, cell.system, cell.seed) for cell in cells] == [
        (split, *cell)
        for split in (2, 0)
        for cell in (
            # Nothing in the oracle is random: one seed will do.
            *(("chance", 4), ("chance", 3), ("oracle", 4), ("sst", 4), ("sst", 3)),
            *(("identity", 4), ("identity", 3)),
        )
    ]
    assert cells[0].folder == Path("runs/chance-split2-seed4")
    assert len({cell.folder for cell in cells}) == len(cells)


def test_proposals_that_depend_on_the_seed_are_worth_every_seed(grid):
    assert len(plan(grid, ["oracle"], seeds=[0, 1], seeded_proposals=True)) == 2


def test_names_twice_are_one_cell(grid):
    assert len(plan(grid, ["chance", "chance"], splits=[1, 1], seeds=[0, 0])) == 1


def test_options_of_training_go_to_what_is_trained(grid):
    options = {
        **{"dataset": ["fir"], "epochs": ["2"], "training.samples": ["8"], "device": ["cpu"]},
        **{"model.timesteps": ["6"], "data.step": ["1", "2"]},
    }
    chance, paper = plan(grid, ["chance", "dynamic_paper"], options=options, splits=[3], seeds=[7])
    own = {"system": ["chance"], "split": ["3"], "seed": ["7"]}
    assert chance.options == own | {"dataset": ["fir"], "data.step": ["1", "2"]}
    assert paper.options == own | {"system": ["dynamic"], "recipe": ["paper"]} | options


def test_a_run_is_finished_when_all_its_files_are_whole(read_metrics, stub, tmp_path):
    folder = tmp_path / "run"
    assert read_metrics(folder) is None
    for name in ("config.yaml", "metrics.json", "predictions.csv"):
        stub.write_run(folder, "sst", 0, 0, {"tiou": [0.5] * 4})
        assert read_metrics(folder)["pairs"] == 4
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).unlink()
        assert read_metrics(folder) is None
        if name != "config.yaml":
            (folder / name).write_text(text[: len(text) // 2], encoding="utf-8")
            assert read_metrics(folder) is None


def test_a_run_of_an_older_version_is_not_finished(read_metrics, stub, tmp_path):
    stub.write_run(tmp_path, "sst", 0, 0, {"tiou": [0.5]})
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    del metrics["filtered"]
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    assert read_metrics(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda metrics: metrics.clear(),
        lambda metrics: metrics.pop("system"),
        lambda metrics: metrics.pop("wrong_class_query"),
        lambda metrics: metrics.update(recipe=3),
        lambda metrics: metrics.update(pairs="4"),
        lambda metrics: metrics.update(seconds={"evaluate": 1.0}),
        lambda metrics: metrics.update(seconds=[1.0]),
        lambda metrics: metrics.update(r1=[0.5]),
        lambda metrics: metrics["r1"].pop("0.85"),
        lambda metrics: metrics["r5"].update({"0.5": "x"}),
        lambda metrics: metrics.update(miou=math.nan),
        lambda metrics: metrics["unrefined"].pop("r1_mean"),
        lambda metrics: metrics["filtered"]["unrefined"].pop("r5"),
        lambda metrics: metrics.update(config=None),
    ],
)
def test_a_run_without_a_figure_of_the_tables_is_not_finished(read_metrics, stub, tmp_path, change):
    stub.write_run(tmp_path, "sst", 0, 0, {"tiou": [0.5] * 4})
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    change(metrics)
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    assert read_metrics(tmp_path) is None


@pytest.mark.parametrize("text", ["[]", "null", "3", '"a"', ""])
def test_metrics_of_another_kind_are_none(read_metrics, stub, tmp_path, text):
    stub.write_run(tmp_path, "sst", 0, 0, {"tiou": [0.5] * 4})
    (tmp_path / "metrics.json").write_text(text, encoding="utf-8")
    assert read_metrics(tmp_path) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tiou_filtered,", "other,"),
        ("query_start", "other"),
        ("label", "other"),
        ("0.5,", "x,"),
        ("0.5,", ","),
        ("v00,", "v00,1,2,3,4,"),
        ("v00", "\0"),
    ],
)
def test_damaged_predictions_are_none(read_metrics, stub, tmp_path, old, new):
    stub.write_run(tmp_path, "sst", 0, 0, {"tiou": [0.5] * 4})
    path = tmp_path / "predictions.csv"
    assert read_metrics(tmp_path) is not None and old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert (read_metrics(tmp_path) is None) == (new != "\0")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"epochs": ["2"]}, {"epochs": ["3"]}, "its epochs is 2, asked for is 3"),
        ({"epochs": ["2"]}, {}, "its epochs is 2, asked for is its default"),
        ({}, {"data.hops": ["1", "2"]}, "its data.hops is its default, asked for is 1 2"),
        ({"root": ["a"], "device": ["cpu"]}, {"root": ["b"]}, None),
        ({"data.features": ["a"]}, {"data.features": ["b"]}, None),
        # Given as they would be anyway: by the recipe, by the code, in the file of the run.
        ({}, {"epochs": ["40"]}, None),
        ({"epochs": ["40"]}, {}, None),
        ({}, {"evaluation.references_per_query": ["2"], "proposals": ["dataset"]}, None),
        ({"evaluation.references_per_query": ["2"], "training.samples": ["320"]}, {}, None),
        ({}, {"epochs": ["41"]}, "its epochs is 40, asked for is 41"),
        ({}, {"data.list": ["1", "2"], "data.none": ["null"]}, None),
        ({}, {"data.list": ["1", "3"]}, "its data.list is 1 2, asked for is 1 3"),
    ],
)
def test_a_folder_keeps_the_options_of_its_run(grid, tmp_path, before, after, told):
    (first,) = plan(grid, ["sst"], options=before, folder=tmp_path)
    (second,) = plan(grid, ["sst"], options=after, folder=tmp_path)
    grid.check_options(first)
    grid.write_options(first)
    grid.check_options(second)  # nothing was begun with them
    (first.folder / "config.yaml").write_text("{data: {list: [1, 2], none: null}}")
    grid.check_options(first)
    if told is None:
        grid.check_options(second)
    else:
        with pytest.raises(InputError, match=f"sst-split0-seed0 holds another run: {told}"):
            grid.check_options(second)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"training.lr": ["1e-3"], "data.noise": ["1"], "data.flip": ["True"]}, None),
        ({"evaluation.queries": ["5"]}, "its evaluation.queries is 4, asked for is 5"),
        ({"data.flip": ["false"]}, "its data.flip is True, asked for is false"),
        ({"data.noise": ["none"]}, "its data.noise is 1.0, asked for is none"),
        ({"dataset": ["fir"]}, "its dataset is bandai, asked for is fir"),
        ({"data.new": ["5"], "training.lr.x": ["1"]}, None),
    ],
)
def test_a_run_made_by_hand_counts_when_its_config_agrees(grid, tmp_path, options, told):
    (cell,) = plan(grid, ["dynamic_tuned"], options=options, folder=tmp_path)
    cell.folder.mkdir()
    (cell.folder / "config.yaml").write_text(
        "{system: dynamic, recipe: tuned, split: 0, seed: 0, dataset: bandai,"
        " training: {lr: 0.001}, data: {noise: 1.0, flip: true}, evaluation: {queries: 4}}"
    )
    if told is None:
        grid.check_options(cell)
    else:
        with pytest.raises(InputError, match=told):
            grid.check_options(cell)


def test_neighbours_must_have_been_asked_the_same(grid, tmp_path):
    for name, options in (
        ("sst", {"evaluation.queries": ["4"], "epochs": ["2"]}),
        ("chance", {"evaluation.queries": ["4"]}),
    ):
        (cell,) = plan(grid, [name], options=options, folder=tmp_path)
        grid.write_options(cell)
        grid.check_neighbours(tmp_path, {"data.a": ["1"]})  # nothing was begun
    for place in tmp_path.iterdir():
        (place / "checkpoint").mkdir()
    asked = {"evaluation.queries": ["4"], "evaluation.references_per_query": ["2"]}
    grid.check_neighbours(tmp_path, asked | {"data.features": ["elsewhere"]})
    grid.check_neighbours(tmp_path, {"evaluation.queries": ["4"], "epochs": ["9"]})
    for asked, told in (({}, "is 4, asked for is its default"), ({"data.a": ["1"]}, "its data.a")):
        with pytest.raises(InputError, match=told):
            grid.check_neighbours(tmp_path, asked)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("options.json", ""),
        ("options.json", "[]"),
        ("options.json", '{"epochs": 1}'),
        ("config.yaml", "a: [1"),
        ("config.yaml", "[1]"),
        ("config.yaml", ""),
    ],
)
def test_a_damaged_file_of_options_is_named(grid, tmp_path, name, text):
    (cell,) = plan(grid, ["sst"], options={"data.a": ["1"]}, folder=tmp_path)
    grid.write_options(cell)
    (cell.folder / "config.yaml").write_text("{}")
    (cell.folder / name).write_text(text)
    for check in (
        lambda: grid.check_options(cell),
        lambda: grid.check_neighbours(tmp_path, {"data.a": ["1"]}),
    ):
        with pytest.raises(InputError, match=rf"sst-split0-seed0/{name} is damaged: ") as caught:
            check()
        assert "\n" not in str(caught.value)


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
