"""Finished runs asked again with disturbed timesteps: rows, resume, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from gnnreloc.data import disturb_features, evaluation_pairs
from gnnreloc.evaluation import evaluate


@pytest.fixture(scope="session")
def robustness(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["robustness"]


@pytest.fixture
def runs(finished: Any, tmp_path: Path) -> Path:
    """A folder of runs on `synthetic` with one in it."""
    folder = tmp_path / "compared" / "synthetic"
    shutil.copytree(finished[0], folder / "one")
    return folder


def ask(robustness: ModuleType, runs: Path, *more: str) -> pd.DataFrame:
    robustness.main(["--runs", str(runs), "--systems", "dynamic_tuned", *more])
    return pd.read_csv(runs.parent / "synthetic_robustness.csv")


def test_rows_by_the_functions_themselves(robustness, modules, runs):
    table = ask(robustness, runs, "--shares", "0.5")
    assert table[["system", "split", "seed"]].drop_duplicates().to_numpy().tolist() == [
        ["dynamic_tuned", 0, 0]
    ]
    assert table[["disturbance", "share"]].to_numpy().tolist() == [
        *(["none", 0.0], ["drop", 0.5], ["noise", 0.5])
    ]
    run = modules["finished_run"].load_run(runs / "one")
    pairs = evaluation_pairs(run.corpus, "test", **vars(run.config.evaluation))
    for kind, row in zip(("drop", "noise"), table.iloc[1:].itertuples(), strict=True):
        corpus = disturb_features(run.corpus, kind, 0.5, seed=0)
        assert row.miou == round(evaluate(run.model, corpus, pairs).summary["miou"], 4)
    metrics = json.loads((runs / "one" / "metrics.json").read_text())
    assert table["miou"][0] == round(metrics["miou"], 4)
    assert table["miou"].nunique() > 1 and (table["pairs"] == metrics["pairs"]).all()


def test_rows_that_are_there_are_not_measured_again(robustness, runs, monkeypatch):
    before = ask(robustness, runs, "--shares", "0.2")
    asked = []
    once = robustness.figures_again
    monkeypatch.setattr(
        robustness, "figures_again", lambda run, key: asked.append(key) or once(run, key)
    )
    assert ask(robustness, runs, "--shares", "0.2").equals(before) and asked == []
    after = ask(robustness, runs, "--shares", "0.2", "0.4")
    assert [(key.disturbance, key.share) for key in asked] == [
        *(("none", 0.0), ("drop", 0.4), ("noise", 0.4))
    ]
    assert len(after) == len(before) + 2
    assert after[after["share"] != 0.4].reset_index(drop=True).equals(before)


def test_figures_that_do_not_come_again(robustness, runs, capsys):
    path = runs / "one" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["miou"] = 1 - metrics["miou"]
    path.write_text(json.dumps(metrics))
    with pytest.raises(SystemExit) as stopped:
        ask(robustness, runs)
    line = capsys.readouterr().err
    assert stopped.value.code == 2 and line.count("\n") == 1
    assert "does not give its own figures again, its miou" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--systems", "khop_n1_k1"), "no finished run of 'khop_n1_k1'; there are: dynamic_tuned"),
        (("--systems", "dynamic_tuned", "--shares", "1.5"), "--shares: wanted from 0 to 1"),
    ],
)
def test_bad_input(robustness, runs, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        robustness.main(["--runs", str(runs), *arguments])
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_no_folder_and_no_table(robustness, runs, capsys):
    with pytest.raises(SystemExit) as stopped:
        robustness.main(["--runs", "nowhere", "--systems", "dynamic_tuned"])
    assert stopped.value.code == 2 and "nowhere is no folder" in capsys.readouterr().err
    (runs.parent / "synthetic_robustness.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit) as stopped:
        ask(robustness, runs)
    assert stopped.value.code == 2 and "holds no such table" in capsys.readouterr().err


def test_reduced_features_of_a_run(script, modules):
    outcome = script.tiny("--pca", "7", "--epochs", "1", "--out", "reduced")
    assert outcome.status == 0
    run = modules["finished_run"].load_run("reduced")
    assert run.corpus.num_channels == run.model.in_channels == 7
    assert json.loads(Path("reduced/metrics.json").read_text())["pca"] == 7
    refused = script.tiny("--pca", "0", "--out", "other")
    assert refused.status == 2 and "pca: found 0 channels" in refused.err
