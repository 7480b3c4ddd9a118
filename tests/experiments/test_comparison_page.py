"""The page of a comparison."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from rich.console import Console


@pytest.fixture
def write_page(modules: dict[str, ModuleType], gather):
    """Writes the tables of a folder of runs; the text of their page."""

    def write_page(folder: Path, against: str = "dynamic_tuned", root: str | None = None) -> str:
        console = Console(file=io.StringIO(), width=120)
        render, runs = modules["render"], gather.gather(folder)
        stem = render.write_tables(folder, runs, gather.View(), against, console, root)
        return Path(f"{stem}_report.html").read_text(encoding="utf-8")

    return write_page


def test_page_of_made_up_runs(write, write_page, tables):
    write("dynamic_tuned", 8)
    write("chance", 1)
    folder = write("khop_n1_k1", 6)
    page = write_page(folder)
    for name in ("Result", "Curves", "Differences", "Runs", "Configuration"):
        assert f"<h2>{name}</h2>" in page
    bold = re.findall(r'<tr class="[^"]*bold"><th scope="row">(.*?)</th>', page)
    assert {*bold} == {tables.NAMES["dynamic_tuned"]}
    table = pd.read_csv(f"{folder}_differences.csv").set_index(["system", "figure"])
    row = table.loc[("khop_n1_k1", "r1_0.5")]
    shown = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]".replace("0.", ".")
    assert f"<td>{shown}</td>" in page and row["difference"] == pytest.approx(-0.2)
    # Neither data nor checkpoints are there.
    assert page.count("<p>Left out: ") == 2


def test_page_of_whole_runs(finished, write_page, tmp_path: Path):
    folder = tmp_path / "synthetic"
    shutil.copytree(finished[0], folder / "dynamic_tuned-split0-seed0")
    page = write_page(folder)
    assert "Left out: " not in page
    for name in ("Training", "Adjacency", "Cases"):
        assert f"<h2>{name}</h2>" in page
    assert "<h2>Differences</h2>" not in page


def test_page_without_the_system_that_others_are_compared_with(write, write_page):
    page = write_page(write("khop_n1_k1", 6))
    assert "<h2>Result</h2>" in page and "<h2>Slices</h2>" not in page
