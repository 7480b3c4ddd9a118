"""``run.py`` on a folder of one's own videos: trained with labels and without, and judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

QUICK = (
    *("--epochs", "1", "--training.samples", "4", "--training.list_length", "4"),
    *("--model.timesteps", "4", "--model.hidden_channels", "8", "--evaluation.queries", "4"),
    *("--device", "cpu", "--only_metrics", "true"),
)


@pytest.mark.parametrize("sampling", ["lists", "crops"])
def test_a_folder_is_a_data_set(
    script: Any, write_own_videos: Callable[[Path], Path], tmp_path: Path, sampling: str
) -> None:
    root = write_own_videos(tmp_path / "mine")
    asked = ("--dataset", "folder", "--root", root, "--training.sampling", sampling)
    ended = script.call(*asked, *QUICK, "--out", "run")
    assert (ended.status, ended.err) == (0, "")
    metrics = json.loads(Path("run/metrics.json").read_text(encoding="utf-8"))
    assert metrics["dataset"] == "folder" and metrics["pairs"] >= 4
    assert metrics["config"]["training"]["sampling"] == sampling


def test_a_folder_needs_a_root_and_a_table(script: Any, tmp_path: Path) -> None:
    assert "--root" in script.call("--dataset", "folder").err
    ended = script.call("--dataset", "folder", "--root", tmp_path)
    assert ended.status == 2 and "moments.csv is missing" in ended.err
