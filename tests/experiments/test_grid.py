"""The cells of a comparison, and the options that they were run with."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gnnreloc.errors import InputError


def plan(grid: ModuleType, systems: list[str], **options: Any) -> list[Any]:
    given: dict[str, Any] = {"splits": [0], "seeds": [0], "options": {}, "folder": Path("runs")}
    cells: list[Any] = grid.plan(systems, **(given | options))
    return cells


def test_what_is_not_trained_and_what_is_random(grid):
    proposals = {"random_proposal", "longest_proposal", "whole_reference", "oracle"}
    assert {*grid.UNTRAINED} == {"chance", "frame_level", "training_free", *proposals}
    assert {*grid.RANDOM} == {"chance", "random_proposal"}


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
        ({}, {"pca": ["null"]}, None),
        ({}, {"pca": ["500"]}, "its pca is its default, asked for is 500"),
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
        ({"pca": ["500"]}, "its pca is its default, asked for is 500"),
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


def test_reduced_features_are_another_question(grid, tmp_path):
    (cell,) = plan(grid, ["sst"], options={"pca": ["500"]}, folder=tmp_path)
    grid.write_options(cell)
    (cell.folder / "config.yaml").write_text("{pca: 500}")
    grid.check_options(cell)
    grid.check_neighbours(tmp_path, {"pca": ["500"]})
    (without,) = plan(grid, ["sst"], folder=tmp_path)
    told = "its pca is 500, asked for is its default"
    with pytest.raises(InputError, match=told):
        grid.check_options(without)
    with pytest.raises(InputError, match=told):
        grid.check_neighbours(tmp_path, {})


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
