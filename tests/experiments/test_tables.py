"""The report of a comparison: its rows, their order, and what is noted below them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def test_rows_stand_in_the_order_of_the_paper_in_its_words(tables, report_of, write):
    published = pd.read_csv(EXPERIMENTS / "published.csv")
    printed = published[published["dataset"] == "activitynet12"]["method"].tolist()
    for number, system in enumerate(sorted(tables.NAMES)):
        recipe = {"dynamic_paper": "paper", "sst": "sst"}.get(system, "tuned")
        folder = write(system, number % 10, dataset="activitynet12", recipe=recipe)
    report = report_of(folder)
    for block in report.blocks:
        ours = [row.name for row in block.rows if row.name]
        assert ours[: len(printed) - 1] == printed[:-1]
        assert ours[len(printed) - 1 :] == [
            *("Dynamic adjacency, paper recipe", "Dynamic adjacency, tuned recipe"),
            *("hybrid, tuned recipe", "learned, frozen random phi", "complete graph"),
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


def test_published_figures_that_are_not_shown_are_not_noted(report_of, write):
    report = report_of(write("oracle", 5, dataset="thumos14"))
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


def test_intervals_are_over_splits_with_their_seeds_averaged(report_of, write):
    for split, counts in enumerate([(4, 6), (7, 9), (2, 2)]):
        for seed, count in enumerate(counts):
            folder = write("dynamic_tuned", count, split=split, seed=seed)
    report = report_of(folder)
    low, high = stats.t.interval(0.95, 2, 0.5, stats.sem([0.5, 0.8, 0.2]))
    cell = f"{0.5:.3f}±{(high - low) / 2:.3f}".replace("0.", ".")
    assert [row.cells for row in report.blocks[0].rows] == [[cell] * 8]
    (row,) = report.blocks[1].rows
    assert (row.cells[1], row.cells[5:]) == (cell, ["", "6"])
    assert "over 3 class splits, up to 2 seeds of each" in report.notes[1]
    assert "share classes and clips, so this interval is the narrowest" in report.notes[1]


def test_one_split_is_said_to_be_one_and_one_run_has_no_interval(report_of, write):
    folder = write("sst", 4)
    report = report_of(folder)
    assert report.blocks[0].rows[0].cells == [".400"] * 8
    assert "One run a system: no interval." in report.notes
    write("sst", 6, seed=1)
    report = report_of(folder)
    # Two values 0.2 apart: half of the interval is 12.706 times 0.1.
    assert report.blocks[0].rows[0].cells == [".500±1.271"] * 8
    assert any("2 seeds of one split: nothing is said of other" in note for note in report.notes)


def test_differences_and_gaps_are_told(report_of, write):
    write("dynamic_tuned", 5, split=0)
    write("dynamic_tuned", 5, split=1)
    folder = write("sst", 7, split=1)
    report = report_of(folder)
    cells = {row.name: row.cells[5] for row in report.blocks[1].rows}
    assert cells["Dynamic adjacency, tuned recipe"] == ""
    assert re.fullmatch(r"\+\.200 \[\+\.000, \+\.\d{3}\]", cells["SST"])
    assert "Not run on every split, so not comparable: SST (split 0)." in report.notes
    alone = report_of(folder, against="oracle")
    assert {row.cells[5] for row in alone.blocks[1].rows} == {""}
    assert "No difference is given: no other system shares a split with oracle." in alone.notes


def test_filtered_is_called_a_leak_and_unrefined_by_its_name(report_of, write):
    folder = write("sst", 4)
    assert "protocol open, after refinement" in report_of(folder).title
    leaking = report_of(folder, "filtered", False)
    assert "protocol filtered, which LEAKS THE TRUTH, before refinement" in leaking.title
    assert any(note.startswith("Filtered: ") for note in leaking.notes)
    assert not any(note.startswith("Not filtered") for note in leaking.notes)


def test_filtered_names_the_rows_that_it_leaves_as_they_are(report_of, write):
    for system in ("oracle", "whole_reference", "frame_level", "sst", "cross_gated_bilinear"):
        folder = write(system, 4)
    told = "Frame-Level Baseline; Cross-Gated Bilinear Matching; whole reference"
    note = f"Not filtered, as they give moments of their own: {told}."
    assert note in report_of(folder, "filtered").notes
    assert note not in report_of(folder).notes


def test_random_rows_have_no_differences_and_no_classes(gather, report_of, write):
    for system in ("chance", "random_proposal", "sst", "dynamic_tuned"):
        folder = write(system, 5)
    runs = gather.gather(folder)
    differences = gather.differences_table(runs, gather.View(), "dynamic_tuned")
    classes = gather.classes_table(runs, gather.View())
    assert set(differences["system"]) == {"sst"}
    assert set(classes["system"]) == {"sst", "dynamic_tuned"}
    report = report_of(folder)
    assert any("20 times a pair, all averaged here: Chance; random" in n for n in report.notes)
    assert gather.differences_table(runs, gather.View(), "chance").empty
    against = report_of(folder, against="chance")
    assert not any("No difference is given" in note for note in against.notes)


def test_a_changed_recipe_has_a_star(gather, report_of, write):
    write("dynamic_paper", 5, recipe="paper")
    write("identity", 5)
    folder = write("sst", 5, recipe="sst")
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
        report = report_of(folder)
        cells = {row.name: row.cells[0] for row in report.blocks[1].rows}
        assert cells["SST"] == f"own{star}"
        notes = [note for note in report.notes if "(*)" in note]
        assert notes == (
            []
            if told is None
            else [f"Recipes with a star (*) were changed on the command line: {told}."]
        )


def test_a_change_of_all_rows_is_told_once(report_of, write):
    write("oracle", 5)
    for system in ("sst", "identity"):
        folder = write(system, 5)
        options = json.dumps({"system": [system], "epochs": ["1"]})
        (folder / f"{system}-split0-seed0" / "options.json").write_text(options)
    report = report_of(folder)
    told = "Recipes with a star (*) were changed on the command line: epochs 1 (all)."
    assert told in report.notes


def test_published_figures_are_those_of_the_notes(tables):
    text = tables.PUBLISHED.read_text(encoding="utf-8")
    assert text.startswith("dataset,method,0.5,0.6,0.7,0.75,0.8,0.85,0.9,0.95\n")
    assert json.dumps(tables.published_figures("activitynet12")["chance"]["r1_0.5"]) == "0.161"
