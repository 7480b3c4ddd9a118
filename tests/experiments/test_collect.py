"""Finished runs gathered into one table."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

LEVELS = ("0.5", "0.6", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95")
BASELINES = (
    *("chance", "random_proposal", "longest_proposal", "whole_reference"),
    *("training_free", "oracle"),
)


@pytest.fixture(scope="module")
def collect() -> ModuleType:
    path = Path(__file__).parents[2] / "experiments" / "collect.py"
    location = importlib.util.spec_from_file_location("collect", path)
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


def figures(number: float) -> dict[str, Any]:
    """Figures of a system with this R@1 at every level."""
    levels = dict.fromkeys(LEVELS, number)
    return {"r1": levels, "r1_mean": number, "r5": levels, "miou": number}


def write_run(folder: Path, own: float, **changes: Any) -> Path:
    """A finished run whose system reaches ``own``; its training-free row depends on the recipe."""
    run = {"dataset": "fir", "split": 0, "seed": 0, "recipe": "tuned"} | changes
    recipe = run.pop("recipe")
    beside = {name: figures(0.1) for name in BASELINES}
    beside["training_free"] = figures(0.3 if recipe == "tuned" else 0.2)
    metrics = {
        **run,
        **{"system": "khop_n1_k1", "protocol": "open", "pairs": 9, "config": {"recipe": recipe}},
        **figures(own),
        **{"unrefined": figures(own), "wrong_class_query": figures(0.05), "baselines": beside},
        "seconds": {"train": 1.0},
    }
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    # tIoU of 0.5 exactly is a miss.
    tiou = {"sit": [0.9, 0.1, 0.7, 0.6], "run": [0.5, 0.51]}
    rows = [{"label": label, "tiou": value} for label in tiou for value in tiou[label]]
    pd.DataFrame(rows).to_csv(folder / "predictions.csv", index=False)
    return folder


def test_a_table_for_each_data_set(
    collect: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = [
        write_run(tmp_path / "a", 0.5),
        write_run(tmp_path / "b", 0.7, split=1),
        write_run(tmp_path / "c", 0.25, recipe="paper"),
        write_run(tmp_path / "d", 0.9, dataset="bandai"),
    ]
    out = tmp_path / "results" / "all.csv"
    monkeypatch.setattr("sys.argv", ["collect.py", *map(str, runs), "--out", str(out)])
    collect.main()
    first, second = capsys.readouterr().out.strip().split("\n\nfir\n\n")
    rows = {
        tuple(cells[:3]): cells[3]
        for cells in (
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in second.splitlines()[2:]
        )
    }
    # The sample deviation of 0.5 and 0.7 is 0.2 / sqrt(2).
    assert list(rows.items())[0] == (("khop_n1_k1", "tuned", "2"), "0.600 ± 0.141")
    assert rows["khop_n1_k1", "paper", "1"] == "0.250"
    assert rows["training_free", "tuned", "2"] == "0.300 ± 0.000"
    assert rows["training_free", "paper", "1"] == "0.200"
    # The rows beside two runs on the same pairs count once.
    assert rows["oracle", "", "2"] == "0.100 ± 0.000"
    assert len(rows) == 2 + len(BASELINES) + 1
    assert first.startswith("bandai\n\n| system | recipe | runs | r1_0.5 |")
    assert "| khop_n1_k1 | tuned | 1 | 0.900 |" in first
    table = pd.read_csv(out)
    assert len(table) == 3 + 6 + 6 + 1 + 1 + 6
    assert table.groupby("dataset")["split"].nunique().to_dict() == {"bandai": 1, "fir": 2}


def test_a_row_for_each_class(
    collect: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [write_run(tmp_path / str(split), 0.5, split=split) for split in (1, 0)]
    out = tmp_path / "fir.csv"
    monkeypatch.setattr("sys.argv", ["collect.py", *map(str, runs), "--out", str(out)])
    collect.main()
    found = pd.read_csv(tmp_path / "fir_classes.csv")
    assert found["split"].tolist() == [0, 0, 1, 1]
    assert found["label"].tolist() == ["run", "sit"] * 2
    assert found["pairs"].tolist() == [2, 4] * 2
    assert found["r1_0.5"].tolist() == [0.5, 0.75] * 2
