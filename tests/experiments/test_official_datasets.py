"""The published data sets from files in their official layouts to a table: train, judge, compare.

The annotations and proposals are a subset of the real ones where these lie beside the checkout,
else made up; the features are made up, in the shape of the official C3D ones.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

TESTS = Path(__file__).parents[1]
COMPARE = TESTS.parent / "experiments" / "compare.py"
REAL = Path(os.environ.get("GNNRELOC_DATA", TESTS.parents[1] / "shared" / "data"))
SYSTEMS = ("chance", "longest_proposal", "oracle", "khop_n1_k1")


@pytest.fixture(scope="module")
def official_layouts() -> ModuleType:
    path = TESTS / "datasets" / "official_layouts.py"
    location = importlib.util.spec_from_file_location("official_layouts", path)
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", ["activitynet12", "thumos14", "activitynet_vrl"])
def test_from_official_files_to_the_table(official_layouts, name, tmp_path):
    real = REAL / name if (REAL / name).is_dir() else None
    root = official_layouts.WRITERS[name](tmp_path / name, real)
    command = [sys.executable, str(COMPARE), "--dataset", name, "--root", str(root)]
    command += [
        "--systems",
        *SYSTEMS,
        "--epochs",
        "3",
        "--out",
        "out",
        "--",
        "--evaluation.queries",
    ]
    command += ["12", "--training.samples", "48", "--training.list_length", "12"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    table = pd.read_csv(tmp_path / f"out/{name}.csv").set_index("system")
    assert set(table.index) == set(SYSTEMS)
    assert (table["dataset"] == name).all() and (table["pairs"] >= 4).all()
    assert table.loc["oracle", "r1_0.5"] >= table.loc["longest_proposal", "r1_0.5"]
    # Classes are directions in these features, so that three epochs tell them from background.
    assert table.loc["khop_n1_k1", "miou"] > table.loc["chance", "miou"]
    report = (tmp_path / f"out/{name}.md").read_text(encoding="utf-8")
    assert ("*published*" in report) == (name != "activitynet_vrl")
