"""Finished runs: which are whole, which may stand in one table, and their figures."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest

from gnnreloc.errors import InputError
from gnnreloc.evaluation import paired_bootstrap

LEVELS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_a_run_is_finished_when_all_its_files_are_whole(gather, stub, tmp_path):
    folder = tmp_path / "run"
    assert gather.read_metrics(folder) is None
    for name in ("config.yaml", "metrics.json", "predictions.csv"):
        stub.write_run(folder, "sst", 0, 0, {"tiou": [0.5] * 4})
        assert gather.read_metrics(folder)["pairs"] == 4
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).unlink()
        assert gather.read_metrics(folder) is None
        if name != "config.yaml":
            (folder / name).write_text(text[: len(text) // 2], encoding="utf-8")
            assert gather.read_metrics(folder) is None


def test_a_run_of_an_older_version_is_not_finished(gather, stub, tmp_path):
    stub.write_run(tmp_path, "sst", 0, 0, {"tiou": [0.5]})
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    del metrics["filtered"]
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    assert gather.read_metrics(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda metrics: metrics.clear(),
        lambda metrics: metrics.pop("system"),
        lambda metrics: metrics.pop("wrong_class_query"),
        lambda metrics: metrics.update(recipe=3),
        lambda metrics: metrics.update(pairs="4"),
        lambda metrics: metrics.update(seconds={"evaluate": 1.0}),
        lambda metrics: metrics.update(seconds=[1.0]),
        lambda metrics: metrics.update(r1=[0.5]),
        lambda metrics: metrics["r1"].pop("0.85"),
        lambda metrics: metrics["r5"].update({"0.5": "x"}),
        lambda metrics: metrics.update(miou=math.nan),
        lambda metrics: metrics["unrefined"].pop("r1_mean"),
        lambda metrics: metrics["filtered"]["unrefined"].pop("r5"),
        lambda metrics: metrics.update(config=None),
    ],
)
def test_a_run_without_a_figure_of_the_tables_is_not_finished(gather, stub, tmp_path, change):
    stub.write_run(tmp_path, "sst", 0, 0, {"tiou": [0.5] * 4})
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    change(metrics)
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    assert gather.read_metrics(tmp_path) is None


@pytest.mark.parametrize("text", ["[]", "null", "3", '"a"', ""])
def test_metrics_of_another_kind_are_none(gather, stub, tmp_path, text):
    stub.write_run(tmp_path, "sst", 0, 0, {"tiou": [0.5] * 4})
    (tmp_path / "metrics.json").write_text(text, encoding="utf-8")
    assert gather.read_metrics(tmp_path) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tiou_filtered,", "other,"),
        ("query_start", "other"),
        ("label", "other"),
        ("0.5,", "x,"),
        ("0.5,", ","),
        ("v00,", "v00,1,2,3,4,"),
        ("v00", "\0"),
    ],
)
def test_damaged_predictions_are_none(gather, stub, tmp_path, old, new):
    stub.write_run(tmp_path, "sst", 0, 0, {"tiou": [0.5] * 4})
    path = tmp_path / "predictions.csv"
    assert gather.read_metrics(tmp_path) is not None and old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert (gather.read_metrics(tmp_path) is None) == (new != "\0")


def test_a_row_for_each_run_with_the_documented_columns(gather, write):
    write("khop_n1_k1", 6, split=1, seed=2)
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
    views = {name: count for name, count in zip(names, (5, 4, 9, 8), strict=True)}
    write("identity", {name: 1 for name in names})
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
    folder = write("sst", 5)
    write("identity", 5)
    (folder / "identity-split0-seed0" / "predictions.csv").unlink()
    (folder / "complete-split0-seed0").mkdir()
    assert [run.metrics["system"] for run in gather.gather(folder)] == ["sst"]


@pytest.mark.parametrize(
    ("system", "before", "after", "told"),
    [
        ("sst", {"evaluation": {"queries": 4}}, {"evaluation": {"queries": 5}}, "queries is 4 and"),
        ("sst", {"data": {"videos": 4}}, {"data": {"videos": 5}}, "data.videos is 4 and 5"),
        ("sst", {"proposals": "tag"}, {"proposals": "windows"}, "proposals is tag and windows"),
        ("sst", {"pca": 500}, {"pca": 64}, "pca is 500 and 64"),
        # Runs that are older than the option.
        ("sst", {}, {"pca": 500}, "pca is not an option yet and 500"),
        ("chance", {"pca": 500}, {}, "pca is 500 and not an option yet"),
        ("chance", {}, {"model": {"rounds": 1}}, "model.rounds is not an option yet and 1"),
        ("sst", {"epochs": 4, "seed": 0}, {"epochs": 5, "seed": 1}, None),
        ("chance", {"epochs": 4}, {"epochs": 5}, "epochs is 4 and 5"),
        ("chance", {"seed": 0, "root": "a"}, {"seed": 1, "root": "b"}, None),
    ],
)
def test_only_like_runs_stand_in_one_table(gather, write, system, before, after, told):
    write("chance", 5, config=before)
    folder = write(system, 5, seed=1, config=after)
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
    assert table["figure"].tolist() == ["r1_0.5", "r1_0.7", "r1_0.9", "r1_mean", "miou"]
    assert set(table["system"]) == {"sst"} and set(table["against"]) == {"dynamic_tuned"}
    figures = {
        "r1_0.5": lambda tiou: float(tiou > 0.5),
        "r1_0.7": lambda tiou: float(tiou > 0.7),
        "r1_0.9": lambda tiou: float(tiou > 0.9),
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
    write("dynamic_tuned", 5)
    folder = write("sst", 5)
    path = folder / "sst-split0-seed0" / "predictions.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]) + "\n")
    with pytest.raises(InputError, match="dynamic_tuned-split0-seed0 and .*sst-split0.*pairs"):
        gather.differences_table(gather.gather(folder), gather.View(), "dynamic_tuned")


def test_random_rows_alone_have_empty_tables(gather, write):
    runs = gather.gather(write("chance", 5, recipe=""))
    classes = gather.classes_table(runs, gather.View())
    assert classes.empty and classes.columns[-1] == "r1_0.5"
    assert gather.differences_table(runs, gather.View(), "chance").empty


@pytest.mark.parametrize("text", ["", "[]", '{"epochs": 1}', '{"epochs": [1]}', "{"])
def test_damaged_options_are_named(gather, write, text):
    folder = write("sst", 5)
    (folder / "sst-split0-seed0" / "options.json").write_text(text)
    with pytest.raises(InputError, match=r"sst-split0-seed0/options.json is damaged: "):
        gather.gather(folder)


def test_a_copy_of_a_cell_is_not_counted_twice(gather, write):
    folder = write("sst", 5)
    shutil.copytree(folder / "sst-split0-seed0", folder / "sst-split0-seed0.bak")
    told = "sst-split0-seed0 and .*sst-split0-seed0.bak hold the same cell, sst split 0 seed 0"
    with pytest.raises(InputError, match=told):
        gather.gather(folder)


def test_a_cell_of_another_data_set_is_not_taken(gather, write, tmp_path):
    write("identity", 5)
    foreign = write("sst", 5, dataset="bandai") / "sst-split0-seed0"
    foreign.rename(tmp_path / "synthetic" / "sst-split0-seed0")
    told = "synthetic/sst-split0-seed0 holds a run on bandai: .* in .*synthetic; remove"
    with pytest.raises(InputError, match=told):
        gather.gather(tmp_path / "synthetic")


def test_features_that_lie_elsewhere_are_the_same_features(gather, write):
    write("chance", 5, config={"data": {"features": "a/features.h5"}})
    folder = write("sst", 5, config={"data": {"features": "b/features.h5"}})
    assert len(gather.gather(folder)) == 2


def test_names_that_pandas_takes_for_nothing_are_names(gather, write):
    folder = write("sst", [1.0, 0.0])
    path = folder / "sst-split0-seed0" / "predictions.csv"
    path.write_text(path.read_text().replace("sit", "NA"))
    (run,) = gather.gather(folder)
    assert gather.classes_table([run], gather.View())["label"].tolist() == ["NA"]
