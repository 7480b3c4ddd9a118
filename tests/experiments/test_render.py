"""The report in every form: terminal, Markdown, LaTeX, CSV files and figure."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

LEVELS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@pytest.fixture(scope="session")
def render(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["render"]


@pytest.fixture
def full(report_of, tables, write) -> Any:
    """A report with every row, two splits, published figures and differences, and its folder."""
    generator = np.random.default_rng(1)
    for split in (0, 1):
        for system in tables.NAMES:
            values = generator.random(12).round(3).tolist()
            folder = write(system, values, split=split, dataset="activitynet12")
    return folder, report_of(folder)


def test_terminal_table_is_at_most_120_columns_wide_and_cuts_nothing(render, full):
    _, report = full
    out = io.StringIO()
    render.print_report(report, Console(file=out, width=120))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 120 and "…" not in out.getvalue()
    printed = [line.split() for line in lines]
    for block in report.blocks:
        for row in block.rows:
            assert " ".join([row.name or "published", *row.cells]).split() in printed
    assert " ".join(report.notes[-1].split()) in " ".join(out.getvalue().split())


def test_markdown_has_every_cell(render, full):
    _, report = full
    text = render.markdown(report)
    assert text.startswith(f"## {report.title}\n\n| system | .5 | .6 |")
    found = [
        [cell.strip() for cell in line[1:-1].split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    for block in report.blocks:
        assert ["system", *block.header] in found
        for row in block.rows:
            assert [row.name or "*published*", *row.cells] in found
    assert all(f"\n- {note}\n" in text for note in report.notes)


def test_latex_has_every_cell_in_balanced_tables(render, full):
    _, report = full
    text = render.latex(report)
    for kind in ("table*", "tabular"):
        assert text.count(rf"\begin{{{kind}}}") == text.count(rf"\end{{{kind}}}")
    assert text.count("{") == text.count("}")
    assert text.count(r"\begin{tabular}") == 2
    # No bare special character: each & parts two cells, or is escaped.
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    widths = [len(re.split(r"(?<!\\)&", row)) for row in rows]
    sizes = [len(block.header) + 1 for block in report.blocks for _ in range(len(block.rows) + 1)]
    assert widths == sizes
    assert not re.search(r"(?<!\\)[%_#]", text) and "±" not in text
    # Back in plain text the cells are those of the report.
    plain = text.replace(r"$\pm$", "±").replace("$-$", "-").replace("$+$", "+").replace("\\&", "&")
    found = [[cell.strip() for cell in line[:-2].split(" & ")] for line in plain.splitlines()]
    for block in report.blocks:
        for row in block.rows:
            assert [row.name or r"\quad published", *row.cells] in found
    assert r"n=1, k=1\&2 &" in text


def test_all_files_are_written_beside_the_runs(render, gather, full):
    folder, _ = full
    runs = gather.gather(folder)
    for view, stem in (
        (gather.View(), "activitynet12"),
        (gather.View("filtered"), "activitynet12_filtered"),
    ):
        console = Console(file=io.StringIO(), width=120)
        wanted = render.write_tables(folder, runs, view, "dynamic_tuned", console)
        assert wanted == str(folder.parent / stem)
        table = pd.read_csv(f"{wanted}.csv")
        assert len(table) == len(runs)
        for ending in ("_classes.csv", "_differences.csv"):
            assert not pd.read_csv(wanted + ending).empty
        assert Path(f"{wanted}.md").read_text(encoding="utf-8").startswith("## activitynet12")
        assert Path(f"{wanted}.tex").read_text(encoding="utf-8").startswith(r"\begin{table*}")
        height, width, _ = matplotlib.image.imread(f"{wanted}.png").shape
        assert min(height, width) > 400


def test_figure_has_the_intervals_as_bands(render, gather, write):
    write("sst", 4, split=0)
    write("sst", 6, split=1)
    folder = write("identity", 5, split=1)
    curves, bands = render._curves(gather.runs_table(gather.gather(folder), gather.View()), "sst")
    assert curves == {
        "sst": dict.fromkeys(LEVELS, pytest.approx(0.5)),
        "identity": dict.fromkeys(LEVELS, 0.5),
    }
    half = 12.706 * 0.1
    edges = pytest.approx((0.5 - half, 0.5 + half), abs=1e-3)
    assert bands == {"sst": dict.fromkeys(LEVELS, edges)}


def test_figure_of_a_whole_table_leaves_room(render, gather):
    systems = [f"khop_n{n}_k{k}" for n in (1, 2, 3) for k in ("1", "12", "123")]
    systems += ["dynamic_tuned", "aft_srm", "sst", "identity", "complete", "oracle", "chance"]
    rows = [
        {"system": name, "split": split, "seed": 0}
        | dict.fromkeys(gather.FIGURES, 0.01 * place + 0.001 * split)
        for place, name in enumerate(systems)
        for split in (0, 1)
    ]
    curves, bands = render._curves(pd.DataFrame(rows), "dynamic_tuned")
    assert {name for name in curves if "khop" in name} == {"khop_n1_k1", "khop_n3_k123"}
    assert len(curves) == len(systems) - 7
    # The highlighted one, and the best but the oracle: here figures rise with the place.
    assert set(bands) == {"dynamic_tuned", "chance"}
