"""Recipes changed one thing after the other: the lists, what is run, and the tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import torch

STUB = Path(__file__).with_name("stub_run.py")
LADDER = (
    *("tuned", "no_context", "first_answer", "whole_actions", "nodes_only", "lengths_unknown"),
    *(
        "paper_messages",
        "paper_edges",
        "paper_encoder",
        "paper_samples",
        "paper_optimizers",
        "paper",
    ),
)
TIMESTEPS = ("tuned", "timesteps_10", "timesteps_20", "timesteps_40", "timesteps_80")
TUNED = {"system": "dynamic", "recipe": "tuned"}


@pytest.fixture(scope="module")
def variations(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["variations"]


@pytest.fixture(scope="module")
def lists(variations: ModuleType) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = variations.read_lists()
    return found


@pytest.fixture
def vary(
    modules: dict[str, ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """Calls ``vary.py`` with a stub for run.py that does what it is told: status, both streams."""
    monkeypatch.chdir(tmp_path)

    def vary(*arguments: object, stub: str = "") -> tuple[int, str, str]:
        monkeypatch.setenv("STUB", json.dumps({"dynamic": stub}))
        status = modules["vary"].main([str(argument) for argument in arguments], STUB)
        return (status, *capsys.readouterr())

    return vary


@pytest.fixture
def made(stub: ModuleType, tmp_path: Path) -> Callable[..., Path]:
    """Writes a finished run of a variation with so many perfect moments among sixteen."""

    def made(variation: str, hits: int, split: int = 0, **config: Any) -> Path:
        folder = tmp_path / "out" / variation / "synthetic" / f"dynamic_tuned-split{split}-seed0"
        overlaps = {"tiou": [1.0] * hits + [0.6] * (16 - hits)}
        config = {"system": "dynamic", "split": split, "seed": 0, **config}
        stub.write_run(folder, "dynamic_tuned", split, 0, overlaps, config=config)
        return folder.parent

    return made


def test_a_variation_changes_what_it_names_and_nothing_else(variations, lists):
    tuned = variations.resolve(TUNED)
    for name, entries in lists.items():
        assert entries[0].options == {}
        resolved = [variations.resolve(TUNED | dict(entry.options)) for entry in entries]
        before = [0, *range(len(entries) - 1)] if name == "ladder" else [0] * len(entries)
        for number, (entry, options) in enumerate(zip(entries, resolved, strict=True)):
            old, known = entries[before[number]].options, resolved[before[number]]
            named = {key for key, value in entry.options.items() if old.get(key) != value}
            changed = {key for key, value in options.items() if known[key] != value}
            assert changed == named, entry.name
            assert options.keys() == tuned.keys()


def test_the_last_rung_is_the_recipe_of_the_paper(variations, lists):
    paper = variations.resolve(TUNED | {"recipe": "paper"})
    last = variations.resolve(TUNED | dict(lists["ladder"][-1].options))
    assert last.pop("recipe") == "tuned" and paper.pop("recipe") == "paper"
    assert last == paper
    assert tuple(entry.name for entry in lists["ladder"]) == LADDER


def test_one_name_is_one_variation(lists):
    options: dict[str, Any] = {}
    for entry in (entry for entries in lists.values() for entry in entries):
        assert options.setdefault(entry.name, entry.options) == entry.options
    for entries in lists.values():
        assert len({entry.name for entry in entries}) == len(entries)
        contents = [tuple(sorted(entry.options.items())) for entry in entries]
        assert len({*contents}) == len(contents)


def test_every_variation_can_be_trained(script, run_module, variations, lists):
    tiny = ("--data.train_videos", 6, "--data.validation_videos", 4, "--data.test_videos", 4)
    corpus = run_module.load_corpus(script.options(*tiny))
    every = {entry.name: entry.options for entries in lists.values() for entry in entries}
    for name, options in every.items():
        config = script.options(*tiny, *variations.words(options), "--training.samples", 1)
        config.epochs = 1
        plain = {"training": config.training.as_dict()}
        trainer = run_module.build_trainer(config, plain)
        with torch.random.fork_rng(devices=[]):
            log = trainer.fit(run_module.build_model(config, corpus), corpus, folder=name)
        assert len(log) == 1, name


def test_fills_the_tables_and_runs_nothing_twice(vary, tmp_path):
    grid = ("--list", "timesteps", "--splits", 0, 1, "--seeds", 0, "--out", "out")
    status, out, err = vary(*grid)
    assert (status, err) == (0, "")
    assert out.startswith("10 runs, 0 of them finished before\n")
    assert "[10/10] timesteps_80 split" in out
    table = pd.read_csv("out/synthetic_timesteps.csv", keep_default_na=False)
    assert table["variation"].tolist() == [name for name in TIMESTEPS for _ in range(2)]
    assert table["split"].tolist() == [0, 1] * 5
    assert table.columns[:4].tolist() == ["variation", "meaning", "options", "system"]
    assert table["options"].tolist()[:4] == ["", "", *["--model.timesteps 10"] * 2]
    assert table["meaning"].tolist()[::2] == ["the recipe as it is"] + [
        f"T = {number}" for number in (10, 20, 40, 80)
    ]
    assert table["recipe"].tolist() == ["tuned"] * 2 + ["tuned*"] * 8
    told = json.loads(
        Path("out/timesteps_20/synthetic/dynamic_tuned-split1-seed0/options.json").read_text()
    )
    assert told == {
        **{"system": ["dynamic"], "recipe": ["tuned"], "split": ["1"], "seed": ["0"]},
        **{"dataset": ["synthetic"], "model.timesteps": ["20"]},
    }
    status, out, _ = vary(*grid)
    assert status == 0 and out.startswith("10 runs, 10 of them finished before\n")


def test_changes_add_up_on_the_ladder_and_a_run_serves_two_lists(vary, tmp_path):
    few = ("--out", "out", "--only", "no_context")
    assert vary("--list", "ladder", *few, "paper")[0] == 0
    status, out, _ = vary("--list", "apart", *few, "lstm")
    assert status == 0 and out.startswith("3 runs, 2 of them finished before\n")
    told = {
        name: json.loads(
            Path(f"out/{name}/synthetic/dynamic_tuned-split0-seed0/options.json").read_text()
        )
        for name in ("no_context", "paper", "lstm")
    }
    own = {"system", "recipe", "split", "seed", "dataset"}
    assert told["no_context"].keys() - own == {"model.context"}
    assert told["lstm"].keys() - own == {"encoder"}
    assert told["paper"]["model.context"] == ["0"] and told["paper"]["epochs"] == ["64"]
    (optimizers,) = told["paper"]["training.optimizers"]
    assert [each["losses"] for each in json.loads(optimizers)] == [
        *({"triplet": 1.0}, {"sparsity": 1.0}, {"regression": 1.0})
    ]


def test_what_each_variation_is_worth(vary, made):
    for name, hits in (("tuned", 12), ("no_context", 8), ("first_answer", 10), ("paper", 0)):
        made(name, hits)
    status, out, err = vary("--list", "ladder", "--only", "paper", "--out", "out")
    assert (status, err) == (0, "") and out.startswith("2 runs, 2 of them finished before\n")
    table = pd.read_csv("out/synthetic_ladder_differences.csv")
    at = table[table["figure"] == "r1_mean"]
    pairs = list(zip(at["variation"], at["against"], strict=True))
    # The rung before the last has no run.
    assert pairs == [
        *(("no_context", "tuned"), ("first_answer", "tuned"), ("first_answer", "no_context")),
        ("paper", "tuned"),
    ]
    # A hit counts at five levels, a miss of tIoU .6 at .5 alone.
    assert at["difference"].tolist() == pytest.approx([-0.2, -0.1, 0.1, -0.6])
    assert {*table["figure"]} >= {"r1_0.5", "r1_0.7", "r1_mean"}
    assert (table[table["figure"] == "r1_0.5"]["difference"] == 0).all()
    lines = {line.split()[0]: line.split() for line in out.splitlines() if "." in line}
    assert lines["tuned"] == ["tuned", "1.000", "0.750", "0.800", "0"]
    assert "no_context +0.000 [+0.000, +0.000] +0.125 [" in out
    third = ["first_answer", "1.000", "0.625", "0.700", "0", "no_context"]
    assert lines["first_answer"][:6] == third


def test_runs_of_the_recipe_as_it_is_are_taken_from_elsewhere(vary, made, tmp_path):
    made("tuned", 8).rename(tmp_path / "synthetic")
    grid = ("--list", "timesteps", "--only", "timesteps_10", "--out", "out")
    status, out, _ = vary(*grid, "--tuned", "synthetic")
    assert status == 0 and out.startswith("2 runs, 1 of them finished before\n")
    assert pd.read_csv("out/synthetic_timesteps.csv")["r1_0.7"][0] == 0.5
    assert not Path("out/tuned/synthetic").exists()
    status, out, err = vary(*grid, "--tuned", "synthetic", "--splits", 0, 1)
    told = "error: --tuned synthetic: no finished run dynamic_tuned-split1-seed0\n"
    assert (status, out, err) == (2, "", told)


@pytest.mark.parametrize(
    ("variation", "config", "told"),
    [
        (
            "tuned",
            {"epochs": 12},
            "is no run of the variation tuned: its epochs is 12, wanted is 24",
        ),
        ("timesteps_20", {"model": {"timesteps": 24}}, "its model.timesteps is 24, wanted is 20"),
        ("timesteps_20", {"model": {"timesteps": 20, "older": 3}, "root": "elsewhere"}, None),
        ("timesteps_20", {"data": {"test_videos": 7}}, "its data.test_videos is 7, wanted is 100"),
    ],
)
def test_runs_with_other_options_do_not_count(vary, made, variation, config, told):
    made(variation, 5, **config)
    status, _, err = vary("--list", "timesteps", "--only", "timesteps_10", "--out", "out")
    if told is None:
        assert (status, err) == (0, "")
    else:
        assert status == 2 and told in err and err.count("\n") == 1
        assert not Path("out/timesteps_10").exists()


def test_a_failed_run_is_reported_and_tried_again(vary):
    grid = ("--list", "timesteps", "--only", "timesteps_80", "--out", "out", "--jobs", 1)
    status, out, _ = vary(*grid, stub="fail")
    assert status == 1 and not Path("out/synthetic_timesteps.csv").exists()
    folder = "out/timesteps_80/synthetic/dynamic_tuned-split0-seed0"
    assert f"failed: timesteps_80 split 0 seed 0: no dynamic today ({folder})\n" in out
    assert out.endswith("2 of 2 runs failed; the same command tries them again\n")
    assert vary(*grid)[0] == 0
    assert len(pd.read_csv("out/synthetic_timesteps.csv")) == 2


def test_options_behind_reach_every_run(vary):
    grid = ("--list", "timesteps", "--only", "timesteps_20", "--out", "out")
    behind = ("--", "--evaluation.queries", 4, "--training.samples=8")
    assert vary(*grid, *behind)[0] == 0
    for name in ("tuned", "timesteps_20"):
        path = Path(f"out/{name}/synthetic/dynamic_tuned-split0-seed0/options.json")
        told = json.loads(path.read_text())
        assert (told["evaluation.queries"], told["training.samples"]) == (["4"], ["8"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: --list"),
        (["--list", "rungs"], "--list: invalid choice: 'rungs'"),
        (["--list", "apart", "--only", "lstn"], "unknown variation 'lstn'; did you mean lstm?"),
        (["--list", "timesteps", "--only", "x"], "known are: tuned, timesteps_10, timesteps_20"),
        (["--list", "apart", "--splits", "-1"], "--splits: wanted a whole number of at least 0"),
        (["--list", "apart", "--jobs", "0"], "--jobs: wanted at least 1"),
        (["--list", "apart", "--dataset", "bandai"], "--dataset bandai needs --root"),
        (["--list", "apart", "--epochs", "4"], "unrecognized arguments: --epochs"),
        (["--list", "apart", "--", "--seed", "4"], "--seed behind -- : it is set by compare.py"),
        (
            ["--list", "apart", "--", "--model.context=1"],
            "--model.context behind -- : the variation no_context sets it",
        ),
    ],
)
def test_bad_input_is_told_in_one_line(vary, tmp_path, arguments, told):
    status, out, err = vary(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and told in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_of_a_run_is_told_before_anything_is_run(vary, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        vary("--list", "apart", "--", "--evaluation.querys", "4")
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: unrecognized arguments: --evaluation.querys")
    assert list(tmp_path.iterdir()) == []


def test_a_second_command_on_the_same_folder_is_refused(vary, modules):
    with modules["vary"].lock_folder(Path("out")):
        status, _, err = vary("--list", "timesteps", "--out", "out")
    assert status == 2 and err.startswith("error: out is in use by another ")
