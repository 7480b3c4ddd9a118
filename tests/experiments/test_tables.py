"""Finished cells gathered, and their tables in every form."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import math
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from gnnreloc.errors import InputError
from gnnreloc.evaluation import paired_bootstrap

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
STUB = Path(__file__).with_name("stub_run.py")
NAMES = ("grid", "gather", "tables", "render")
LEVELS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


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
def gather(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["gather"]


@pytest.fixture(scope="module")
def tables(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["tables"]


@pytest.fixture(scope="module")
def render(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["render"]


@pytest.fixture(scope="module")
def stub() -> ModuleType:
    location = importlib.util.spec_from_file_location("stub_run", STUB)
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


@pytest.fixture
def write(stub: ModuleType, tmp_path: Path) -> Any:
    """Writes a finished run with these tIoU and gives the folder of all runs."""

    def write(system: str, overlaps: Any, split: int = 0, seed: int = 0, **options: Any) -> Path:
        folder = tmp_path / options.get("dataset", "synthetic")
        views = overlaps if isinstance(overlaps, dict) else {"tiou": overlaps}
        place = folder / f"{system}-split{split}-seed{seed}"
        stub.write_run(place, system, split, seed, views, **options)
        return folder

    return write


def hits(count: int, of: int = 10) -> list[float]:
    """This many perfect moments among so many."""
    return [1.0] * count + [0.25] * (of - count)


def test_a_row_for_each_run_with_the_documented_columns(gather, write):
    write("khop_n1_k1", hits(6), split=1, seed=2)
    # A tIoU of exactly 0.5 is a miss.
    folder = write("chance", [0.5, 0.51, 0.76, 1.0], recipe="", wrong=None)
    table = gather.runs_table(gather.gather(folder), gather.View())
    assert (
        list(table.columns)
        == (
            "system dataset protocol split seed recipe r1_0.5 r1_0.6 r1_0.7 r1_0.75 r1_0.8 r1_0.85 "
            "r1_0.9 r1_0.95 r1_mean r5_0.5 miou wrong_class_r1_0.5 train_seconds pairs "
            "unrefined_r1_0.5 unrefined_r1_mean"
        ).split()
    )
    chance, khop = (row for _, row in table.iterrows())
    assert khop[["dataset", "protocol", "recipe"]].tolist() == ["synthetic", "open", "tuned"]
    assert khop[["split", "seed", "pairs"]].tolist() == [1, 2, 10]
    assert khop[["r1_0.5", "r1_mean", "wrong_class_r1_0.5"]].tolist() == [0.6, 0.6, 0.125]
    assert khop[["miou", "train_seconds"]].tolist() == [0.7, 1.2]
    assert chance["recipe"] == "" and math.isnan(chance["wrong_class_r1_0.5"])
    recalls = [chance[f"r1_{level:g}"] for level in LEVELS]
    assert recalls == [0.75, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]
    assert chance["r1_mean"] == pytest.approx((0.75 + 0.5 + 0.5 + 0.25 + 0.25) / 5)


def test_every_view_shows_its_own_figures(gather, write):
    names = ("tiou", "tiou_unrefined", "tiou_filtered", "tiou_filtered_unrefined")
    views = {name: hits(count) for name, count in zip(names, (5, 4, 9, 8), strict=True)}
    write("identity", {name: hits(1) for name in names})
    runs = gather.gather(write("sst", views))
    shown = {}
    for protocol in ("open", "filtered"):
        for refined in (True, False):
            view = gather.View(protocol, refined)
            row = gather.runs_table(runs, view).set_index("system").loc["sst"]
            classes = gather.classes_table(runs, view)
            classes = classes[classes["system"] == "sst"]
            mean = np.average(classes["r1_0.5"], weights=classes["pairs"])
            assert row["r1_0.5"] == pytest.approx(mean, abs=1e-4)
            difference = gather.differences_table(runs, view, "identity").iloc[0]
            assert difference["difference"] == pytest.approx(row["r1_0.5"] - 0.1)
            unrefined = (row["unrefined_r1_0.5"], row["unrefined_r1_mean"])
            wrong = row["wrong_class_r1_0.5"]
            shown[view.suffix] = (row["protocol"], row["r1_0.5"], *unrefined)
            assert math.isnan(wrong) == bool(view.suffix)  # asked in the main view only
    assert shown == {
        "": ("open", 0.5, 0.4, 0.4),
        "_unrefined": ("open", 0.4, 0.4, 0.4),
        "_filtered": ("filtered", 0.9, 0.8, 0.8),
        "_filtered_unrefined": ("filtered", 0.8, 0.8, 0.8),
    }


def test_a_row_for_each_class_of_a_run(gather, write):
    # Pairs 0 1 4 5 are of the class sit, 2 3 of the class run.
    folder = write("sst", [0.9, 0.1, 0.5, 0.51, 0.7, 0.6])
    table = gather.classes_table(gather.gather(folder), gather.View())
    assert table["label"].tolist() == ["run", "sit"]
    assert table["pairs"].tolist() == [2, 4]
    assert table["r1_0.5"].tolist() == [0.5, 0.75]
    assert list(table.columns[:5]) == ["system", "recipe", "dataset", "split", "seed"]


def test_unfinished_runs_are_not_gathered(gather, write):
    folder = write("sst", hits(5))
    write("identity", hits(5))
    (folder / "identity-split0-seed0" / "predictions.csv").unlink()
    (folder / "complete-split0-seed0").mkdir()
    assert [run.metrics["system"] for run in gather.gather(folder)] == ["sst"]


@pytest.mark.parametrize(
    ("system", "before", "after", "told"),
    [
        ("sst", {"evaluation": {"queries": 4}}, {"evaluation": {"queries": 5}}, "queries is 4 and"),
        ("sst", {"data": {"videos": 4}}, {"data": {"videos": 5}}, "data.videos is 4 and 5"),
        ("sst", {"proposals": "tag"}, {"proposals": "windows"}, "proposals is tag and windows"),
        ("sst", {"epochs": 4, "seed": 0}, {"epochs": 5, "seed": 1}, None),
        ("chance", {"epochs": 4}, {"epochs": 5}, "epochs is 4 and 5"),
        ("chance", {"seed": 0, "root": "a"}, {"seed": 1, "root": "b", "new": 2}, None),
    ],
)
def test_only_like_runs_stand_in_one_table(gather, write, system, before, after, told):
    write("chance", hits(5), config=before)
    folder = write(system, hits(5), seed=1, config=after)
    if told is None:
        assert len(gather.gather(folder)) == 2
    else:
        with pytest.raises(InputError, match=f"seed0 and .*seed1 cannot .*{told}"):
            gather.gather(folder)


def test_difference_averages_seeds_and_draws_queries_and_references(gather, write):
    # Two pairs a query; the other system has one seed more, and no run on split 2.
    generator = np.random.default_rng(0)
    overlaps: dict[tuple[str, int, int], list[float]] = {}
    for split in (0, 1, 2):
        for system, seeds in (("dynamic_tuned", 1), ("sst", 2)):
            for seed in range(seeds):
                if (system, split) != ("sst", 2):
                    overlaps[system, split, seed] = generator.random(20).round(3).tolist()
    for (system, split, seed), values in overlaps.items():
        folder = write(system, values, split=split, seed=seed)
    # Seven references on a split, each of two or three queries.
    for path in folder.glob("*/predictions.csv"):
        head, *lines = path.read_text().splitlines()
        lines = [f"v{n % 7},{line.partition(',')[2]}" for n, line in enumerate(lines)]
        path.write_text("\n".join([head, *lines]) + "\n")
    table = gather.differences_table(gather.gather(folder), gather.View(), "dynamic_tuned")
    assert table["figure"].tolist() == ["r1_0.5", "r1_mean", "miou"]
    assert set(table["system"]) == {"sst"} and set(table["against"]) == {"dynamic_tuned"}
    figures = {
        "r1_0.5": lambda tiou: float(tiou > 0.5),
        "r1_mean": lambda tiou: np.mean([tiou > level for level in (0.5, 0.6, 0.7, 0.8, 0.9)]),
        "miou": float,
    }
    groups = [(split, pair // 2) for split in (0, 1) for pair in range(20)]
    references = [(split, pair % 7) for split in (0, 1) for pair in range(20)]
    for _, row in table.iterrows():
        figure = figures[row["figure"]]
        a, b = [], []
        for split in (0, 1):
            for pair in range(20):
                a += [np.mean([figure(overlaps["sst", split, seed][pair]) for seed in (0, 1)])]
                b += [figure(overlaps["dynamic_tuned", split, 0][pair])]
        wanted = paired_bootstrap(a, b, groups, references)
        for name, value in wanted.items():
            assert row[name] == pytest.approx(value, abs=1e-4)
        counts = row[["pairs", "queries", "references", "splits"]]
        assert counts.tolist() == [40, 20, 14, 2]


def test_pairs_that_differ_are_not_compared(gather, write):
    write("dynamic_tuned", hits(5))
    folder = write("sst", hits(5))
    path = folder / "sst-split0-seed0" / "predictions.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]) + "\n")
    with pytest.raises(InputError, match="dynamic_tuned-split0-seed0 and .*sst-split0.*pairs"):
        gather.differences_table(gather.gather(folder), gather.View(), "dynamic_tuned")


def report_of(gather: ModuleType, tables: ModuleType, folder: Path, *view: Any, **options: Any):
    runs, chosen = gather.gather(folder), gather.View(*view)
    against = options.get("against", "dynamic_tuned")
    differences = gather.differences_table(runs, chosen, against)
    table = gather.runs_table(runs, chosen)
    changes = {run.metrics["system"]: run.changes for run in runs if run.changes}
    return tables.make_report(folder.name, table, differences, chosen, against, changes)


def test_rows_stand_in_the_order_of_the_paper_in_its_words(gather, tables, write):
    published = pd.read_csv(EXPERIMENTS / "published.csv")
    printed = published[published["dataset"] == "activitynet12"]["method"].tolist()
    for number, system in enumerate(sorted(tables.NAMES)):
        recipe = {"dynamic_paper": "paper", "sst": "sst"}.get(system, "tuned")
        folder = write(system, hits(number % 10), dataset="activitynet12", recipe=recipe)
    report = report_of(gather, tables, folder)
    for block in report.blocks:
        ours = [row.name for row in block.rows if row.name]
        assert ours[: len(printed) - 1] == printed[:-1]
        assert ours[len(printed) - 1 :] == [
            *("Dynamic adjacency, paper recipe", "Dynamic adjacency, tuned recipe"),
            *("hybrid, tuned recipe", "complete graph"),
            *("identity (no edges)", "training-free alignment", "random proposal"),
            *("longest proposal", "whole reference", "oracle (best proposal)"),
        ]
        assert len(block.rows) == len(ours) + len(printed)
        assert all(len(row.cells) == len(block.header) for row in block.rows)
        # The published figures of the learned graph belong to its published recipe alone.
        names = [row.name for row in block.rows]
        paper = names.index("Dynamic adjacency, paper recipe")
        assert names[paper + 1 : paper + 4] == [
            *("", "Dynamic adjacency, tuned recipe", "hybrid, tuned recipe")
        ]
        assert block.rows[paper + 2].section == block.rows[paper].section
    # Below our row of SST stand the published figures, as printed.
    rows = report.blocks[0].rows
    below = next(after for row, after in zip(rows, rows[1:], strict=False) if row.name == "SST")
    assert (below.name, below.cells) == ("", [".347", ".258", ".183", "", ".081", "", ".030", ""])
    assert report.blocks[0].header == [".5", ".6", ".7", ".75", ".8", ".85", ".9", ".95"]
    assert any(note.startswith("Published: ") for note in report.notes)
    assert report.blocks[1].header[0] == "recipe"
    recipes = {row.name: row.cells[0] for row in report.blocks[1].rows if row.name}
    assert recipes["Dynamic adjacency, paper recipe"] == "paper" and recipes["SST"] == "own"
    assert recipes["n=1, k=1"] == "tuned" and recipes["Chance"] == ""
    assert (
        "Recipe tuned trained all rows that are trained but SST (own); Dynamic adjacency, paper "
        "recipe (paper). Only rows of one recipe compare graphs; own is a recipe for that system "
        "alone." in report.notes
    )


def test_published_figures_that_are_not_shown_are_not_noted(gather, tables, write):
    report = report_of(gather, tables, write("oracle", hits(5), dataset="thumos14"))
    assert not any(note.startswith("Published: ") for note in report.notes)


def test_every_published_row_has_its_system(tables):
    table = pd.read_csv(tables.PUBLISHED)
    assert len(table) == 31
    for dataset, rows in table.groupby("dataset"):
        figures = tables.published_figures(dataset)
        assert len(figures) == len(rows)
    figures = tables.published_figures("thumos14")["khop_cnn_n2_k123"]
    assert figures["r1_0.8"] == 0.2568 and math.isnan(figures["r1_0.95"])
    mean = (0.4418 + 0.4366 + 0.4188 + 0.2568 + 0.1068) / 5
    assert figures["r1_mean"] == pytest.approx(mean)
    assert tables.published_figures("bandai") == {}


def test_intervals_are_over_splits_with_their_seeds_averaged(gather, tables, write):
    for split, counts in enumerate([(4, 6), (7, 9), (2, 2)]):
        for seed, count in enumerate(counts):
            folder = write("dynamic_tuned", hits(count), split=split, seed=seed)
    report = report_of(gather, tables, folder)
    low, high = stats.t.interval(0.95, 2, 0.5, stats.sem([0.5, 0.8, 0.2]))
    cell = f"{0.5:.3f}±{(high - low) / 2:.3f}".replace("0.", ".")
    assert [row.cells for row in report.blocks[0].rows] == [[cell] * 8]
    (row,) = report.blocks[1].rows
    assert (row.cells[1], row.cells[5:]) == (cell, ["", "6"])
    assert "over 3 class splits, up to 2 seeds of each" in report.notes[1]
    assert "share classes and clips, so this interval is the narrowest" in report.notes[1]


def test_one_split_is_said_to_be_one_and_one_run_has_no_interval(gather, tables, write):
    folder = write("sst", hits(4))
    report = report_of(gather, tables, folder)
    assert report.blocks[0].rows[0].cells == [".400"] * 8
    assert "One run a system: no interval." in report.notes
    write("sst", hits(6), seed=1)
    report = report_of(gather, tables, folder)
    # Two values 0.2 apart: half of the interval is 12.706 times 0.1.
    assert report.blocks[0].rows[0].cells == [".500±1.271"] * 8
    assert any("2 seeds of one split: nothing is said of other" in note for note in report.notes)


def test_differences_and_gaps_are_told(gather, tables, write):
    write("dynamic_tuned", hits(5), split=0)
    write("dynamic_tuned", hits(5), split=1)
    folder = write("sst", hits(7), split=1)
    report = report_of(gather, tables, folder)
    cells = {row.name: row.cells[5] for row in report.blocks[1].rows}
    assert cells["Dynamic adjacency, tuned recipe"] == ""
    assert re.fullmatch(r"\+\.200 \[\+\.000, \+\.\d{3}\]", cells["SST"])
    assert "Not run on every split, so not comparable: SST (split 0)." in report.notes
    alone = report_of(gather, tables, folder, against="oracle")
    assert {row.cells[5] for row in alone.blocks[1].rows} == {""}
    assert "No difference is given: no other system shares a split with oracle." in alone.notes


def test_filtered_is_called_a_leak_and_unrefined_by_its_name(gather, tables, write):
    folder = write("sst", hits(4))
    assert "protocol open, after refinement" in report_of(gather, tables, folder).title
    leaking = report_of(gather, tables, folder, "filtered", False)
    assert "protocol filtered, which LEAKS THE TRUTH, before refinement" in leaking.title
    assert any(note.startswith("Filtered: ") for note in leaking.notes)
    assert not any(note.startswith("Not filtered") for note in leaking.notes)


def test_filtered_names_the_rows_that_it_leaves_as_they_are(gather, tables, write):
    for system in ("oracle", "whole_reference", "frame_level", "sst", "cross_gated_bilinear"):
        folder = write(system, hits(4))
    told = "Frame-Level Baseline; Cross-Gated Bilinear Matching; whole reference"
    note = f"Not filtered, as they give moments of their own: {told}."
    assert note in report_of(gather, tables, folder, "filtered").notes
    assert note not in report_of(gather, tables, folder).notes


def test_random_rows_have_no_differences_and_no_classes(gather, tables, write):
    for system in ("chance", "random_proposal", "sst", "dynamic_tuned"):
        folder = write(system, hits(5))
    runs = gather.gather(folder)
    differences = gather.differences_table(runs, gather.View(), "dynamic_tuned")
    classes = gather.classes_table(runs, gather.View())
    assert set(differences["system"]) == {"sst"}
    assert set(classes["system"]) == {"sst", "dynamic_tuned"}
    report = report_of(gather, tables, folder)
    assert any("20 times a pair, all averaged here: Chance; random" in n for n in report.notes)
    assert gather.differences_table(runs, gather.View(), "chance").empty
    against = report_of(gather, tables, folder, against="chance")
    assert not any("No difference is given" in note for note in against.notes)


def test_random_rows_alone_have_empty_tables(gather, write):
    runs = gather.gather(write("chance", hits(5), recipe=""))
    classes = gather.classes_table(runs, gather.View())
    assert classes.empty and classes.columns[-1] == "r1_0.5"
    assert gather.differences_table(runs, gather.View(), "chance").empty


def test_a_changed_recipe_has_a_star(gather, tables, write):
    write("dynamic_paper", hits(5), recipe="paper")
    write("identity", hits(5))
    folder = write("sst", hits(5), recipe="sst")
    options = {
        **{"system": ["sst"], "dataset": ["synthetic"], "split": ["0"], "seed": ["0"]},
        **{"evaluation.queries": ["4"], "data.classes": ["9"], "proposals": ["tag"]},
        **{"device": ["cpu"], "epochs": ["40"], "training.batch_size": ["16"]},
    }
    path = folder / "sst-split0-seed0" / "options.json"
    for changes, told in (
        ({}, None),  # 40 epochs are those of the recipe, 16 pairs those of the trainer
        ({"epochs": ["1"]}, "epochs 1 (SST)"),
        (
            {"training.samples": ["8"], "model.temperature": ["1", "2"]},
            "training.samples 8, model.temperature 1 2 (SST)",
        ),
    ):
        path.write_text(json.dumps(options | changes), encoding="utf-8")
        runs = gather.gather(folder)
        for table in (
            gather.runs_table(runs, gather.View()),
            gather.classes_table(runs, gather.View()),
        ):
            recipe = table.drop_duplicates("system").set_index("system")["recipe"]
            star = "" if told is None else "*"
            assert recipe.to_dict() == {
                **{"sst": f"sst{star}", "identity": "tuned", "dynamic_paper": "paper"}
            }
        report = report_of(gather, tables, folder)
        cells = {row.name: row.cells[0] for row in report.blocks[1].rows}
        assert cells["SST"] == f"own{star}"
        notes = [note for note in report.notes if "(*)" in note]
        assert notes == (
            []
            if told is None
            else [f"Recipes with a star (*) were changed on the command line: {told}."]
        )


def test_a_change_of_all_rows_is_told_once(gather, tables, write):
    write("oracle", hits(5))
    for system in ("sst", "identity"):
        folder = write(system, hits(5))
        options = json.dumps({"system": [system], "epochs": ["1"]})
        (folder / f"{system}-split0-seed0" / "options.json").write_text(options)
    report = report_of(gather, tables, folder)
    told = "Recipes with a star (*) were changed on the command line: epochs 1 (all)."
    assert told in report.notes


@pytest.mark.parametrize("text", ["", "[]", '{"epochs": 1}', '{"epochs": [1]}', "{"])
def test_damaged_options_are_named(gather, write, text):
    folder = write("sst", hits(5))
    (folder / "sst-split0-seed0" / "options.json").write_text(text)
    with pytest.raises(InputError, match=r"sst-split0-seed0/options.json is damaged: "):
        gather.gather(folder)


def test_a_copy_of_a_cell_is_not_counted_twice(gather, write):
    folder = write("sst", hits(5))
    shutil.copytree(folder / "sst-split0-seed0", folder / "sst-split0-seed0.bak")
    told = "sst-split0-seed0 and .*sst-split0-seed0.bak hold the same cell, sst split 0 seed 0"
    with pytest.raises(InputError, match=told):
        gather.gather(folder)


def test_a_cell_of_another_data_set_is_not_taken(gather, write, tmp_path):
    write("identity", hits(5))
    foreign = write("sst", hits(5), dataset="bandai") / "sst-split0-seed0"
    foreign.rename(tmp_path / "synthetic" / "sst-split0-seed0")
    told = "synthetic/sst-split0-seed0 holds a run on bandai: .* in .*synthetic; remove"
    with pytest.raises(InputError, match=told):
        gather.gather(tmp_path / "synthetic")


def test_features_that_lie_elsewhere_are_the_same_features(gather, write):
    write("chance", hits(5), config={"data": {"features": "a/features.h5"}})
    folder = write("sst", hits(5), config={"data": {"features": "b/features.h5"}})
    assert len(gather.gather(folder)) == 2


def test_names_that_pandas_takes_for_nothing_are_names(gather, write):
    folder = write("sst", [1.0, 0.0])
    path = folder / "sst-split0-seed0" / "predictions.csv"
    path.write_text(path.read_text().replace("sit", "NA"))
    (run,) = gather.gather(folder)
    assert gather.classes_table([run], gather.View())["label"].tolist() == ["NA"]


@pytest.fixture
def full(gather, tables, write) -> Any:
    """A report with every row, two splits, published figures and differences, and its folder."""
    generator = np.random.default_rng(1)
    for split in (0, 1):
        for system in tables.NAMES:
            values = generator.random(12).round(3).tolist()
            folder = write(system, values, split=split, dataset="activitynet12")
    return folder, report_of(gather, tables, folder)


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
    write("sst", hits(4), split=0)
    write("sst", hits(6), split=1)
    folder = write("identity", hits(5), split=1)
    curves, bands = render._curves(gather.runs_table(gather.gather(folder), gather.View()), "sst")
    assert curves == {
        "sst": dict.fromkeys(LEVELS, pytest.approx(0.5)),
        "identity": dict.fromkeys(LEVELS, 0.5),
    }
    half = 12.706 * 0.1
    edges = pytest.approx((0.5 - half, 0.5 + half), abs=1e-3)
    assert bands == {"sst": dict.fromkeys(LEVELS, edges)}


def test_published_figures_are_those_of_the_notes(tables):
    text = tables.PUBLISHED.read_text(encoding="utf-8")
    assert text.startswith("dataset,method,0.5,0.6,0.7,0.75,0.8,0.85,0.9,0.95\n")
    assert json.dumps(tables.published_figures("activitynet12")["chance"]["r1_0.5"]) == "0.161"


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
    assert {name for name in curves if "khop" in name} == {"khop_n1_k1", "khop_n2_k123"}
    assert len(curves) == len(systems) - 7
    # The highlighted one, and the best but the oracle: here figures rise with the place.
    assert set(bands) == {"dynamic_tuned", "chance"}
