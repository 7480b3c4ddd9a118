"""What systems do on slices of the pairs: table, intervals, figure, and bad input."""

from __future__ import annotations

import json
import math
import shutil
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch

from gnnreloc.data import Corpus, validate_moments
from gnnreloc.evaluation import paired_bootstrap

NAMES = ["length_ratio", "moment_length", "distractors", "alike", "best_proposal"]


@pytest.fixture(scope="session")
def slices(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["slices"]


@pytest.fixture(scope="session")
def slice_tables(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["slice_tables"]


@pytest.fixture
def cut(slices, slice_tables, monkeypatch, capsys):
    """Calls the script; the data set of a split is made here, not read."""

    def cut(*arguments: object, data: dict[int, Corpus] | None = None) -> tuple[int, str, str]:
        if data is not None:
            monkeypatch.setattr(slice_tables, "load_corpus", lambda config: data[config.split])
        try:
            slices.main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, *capsys.readouterr()

    return cut


def of_the_stub(split: int, lengths: list[float]) -> Corpus:
    """The data of a stub's run: query clips of 2.5 s, and moments of these lengths, one a pair.

    A proposal is of 1 s, from the start of a moment.
    """
    rows = []
    for number, length in enumerate(lengths):
        label = ("sit", "run")[number // 2 % 2]
        rows += [(f"q{split}{number // 2}", label, 0.0, 2.5)] * (number % 2 == 0)
        rows += [
            (f"v{split}{number}", label, 0.0, length),
            (f"v{split}{number}", "wave", 50.0, 60.0),
        ]
    table = pd.DataFrame(rows, columns=["video", "label", "start", "end"])
    table = validate_moments(table.assign(subset="test", duration=100.0))
    proposal = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    return Corpus("made", table, {}, dict.fromkeys(table["video"], proposal))


def test_rows_of_every_slice_by_hand(write, cut, tmp_path):
    hits = {
        # Split 1 is asked of one system only; the fixed graph has a second seed on split 0.
        ("dynamic_tuned", 0, 0): [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.6, 0.0],
        ("dynamic_tuned", 1, 0): [1.0] * 8,
        ("khop_n1_k1", 0, 0): [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
        ("khop_n1_k1", 0, 1): [1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        ("sst", 0, 0): [0.0, 0.0, 0.0, 0.0, 0.6, 0.6, 0.6, 0.6],
    }
    for (system, split, seed), overlaps in hits.items():
        folder = write(system, overlaps, split=split, seed=seed)
    # Length ratios 1, 1.2, 1.6, 2 and the same again.
    data = {0: of_the_stub(0, [2.5, 3.0, 4.0, 5.0] * 2)}
    names = ("khop_n1_k1", "dynamic_tuned", "sst")
    out = tmp_path / "out"
    status, printed, _ = cut(
        *("--runs", folder, "--systems", *names, "--against", "dynamic_tuned", "--out", out),
        data=data,
    )
    assert status == 0 and "written: " in printed
    assert sorted(path.name for path in out.iterdir()) == [
        "synthetic_slices.csv",
        "synthetic_slices.png",
    ]
    table = pd.read_csv(out / "synthetic_slices.csv")
    assert (
        list(table.columns)
        == (
            "slicing slice system against figure pairs value against_value difference low high "
            "splits"
        ).split()
    )
    assert set(table["system"]) == {"khop_n1_k1", "sst"} and set(table["splits"]) == {1}
    rows = table.set_index(["slicing", "slice", "system", "figure"])
    numbers = ["pairs", "value", "against_value", "difference"]
    wanted = {
        ("all", "all", "khop_n1_k1", "r1_0.5"): [8, 4.5 / 8, 7 / 8, -2.5 / 8],
        ("all", "all", "khop_n1_k1", "r1_0.7"): [8, 4.5 / 8, 6 / 8, -1.5 / 8],
        ("length ratio", "<1.5", "khop_n1_k1", "r1_0.5"): [4, 3 / 4, 1.0, -1 / 4],
        ("length ratio", ">=1.5", "khop_n1_k1", "r1_0.5"): [4, 1.5 / 4, 3 / 4, -1.5 / 4],
        ("length ratio", ">=1.5 less <1.5", "khop_n1_k1", "r1_0.5"): [8, -3 / 8, -1 / 4, -1 / 8],
        ("length ratio", ">=1.5 less <1.5", "sst", "r1_0.7"): [8, 0.0, -1 / 2, 1 / 2],
        ("length ratio, finer", "1.2-1.5", "sst", "r1_0.5"): [2, 1 / 2, 1.0, -1 / 2],
        ("length ratio, finer", ">=2", "sst", "r1_0.7"): [2, 0.0, 1 / 2, -1 / 2],
        ("distractors", "0-2", "sst", "r1_0.5"): [8, 1 / 2, 7 / 8, -3 / 8],
        # Candidates of 1 s: tIoU of .4, .33, .25 and .2 with the moments.
        ("tIoU of the best proposal", "<0.6", "sst", "r1_0.5"): [8, 1 / 2, 7 / 8, -3 / 8],
    }
    for key, figures in wanted.items():
        assert rows.loc[key, numbers].tolist() == pytest.approx(figures, abs=1e-4)
    for _, own in table.groupby(["slicing", "system", "figure"]):
        assert own.loc[~own["slice"].str.contains("less"), "pairs"].sum() == 8


def test_intervals_draw_queries_and_references(slices, gather, write):
    generator = np.random.default_rng(0)
    a, b = ((generator.random(24) < share).astype(float) for share in (0.8, 0.4))
    write("dynamic_tuned", b.tolist())
    folder = write("sst", a.tolist())
    for path in folder.glob("*/predictions.csv"):  # five references, of several queries each
        head, *lines = path.read_text().splitlines()
        lines = [f"v{n % 5},{line.partition(',')[2]}" for n, line in enumerate(lines)]
        path.write_text("\n".join([head, *lines]) + "\n")
    runs = gather.gather(folder)
    systems = {name: gather.runs_by_split(runs, name) for name in ("dynamic_tuned", "sst")}
    pairs = gather.common_pairs([*systems.values()], [0])
    lengths = np.resize([1.0, 2.0, 3.0], 24)
    pairs = pairs.assign(**dict.fromkeys(NAMES, lengths))
    table = slices.slices_table(systems, "dynamic_tuned", [0], pairs)
    (row,) = table[(table["slice"] == "<1.5") & (table["figure"] == "r1_0.5")].to_dict("records")
    inside = [n for n in range(24) if n % 3 == 0]
    wanted = paired_bootstrap(
        a[inside], b[inside], [n // 2 for n in inside], [n % 5 for n in inside]
    )
    for name in ("difference", "low", "high"):
        assert row[name] == pytest.approx(wanted[name], abs=1e-4)


def test_difference_of_differences_against_drawing_both_slices(slice_tables):
    generator = np.random.default_rng(0)
    pairs = pd.DataFrame(
        {"query": np.arange(240) // 2, "reference": generator.integers(40, size=240)}
    )
    unlike = generator.random(240) < 0.35
    a = (generator.random(240) < np.where(unlike, 0.7, 0.9)).astype(float)
    b = (generator.random(240) < np.where(unlike, 0.2, 0.1)).astype(float)
    value, against, difference, low, high = slice_tables.difference_between(
        unlike, ~unlike, a, b, pairs
    )
    assert value == pytest.approx(a[unlike].mean() - a[~unlike].mean())
    assert against == pytest.approx(b[unlike].mean() - b[~unlike].mean())
    assert difference == pytest.approx(value - against)
    # Each draw with its own means of the two slices, and so with their sizes in it.
    drawn = []
    for _ in range(4000):
        queries = np.bincount(generator.integers(120, size=120), minlength=120)
        references = np.bincount(generator.integers(40, size=40), minlength=40)
        weights = queries[pairs["query"]] * references[pairs["reference"]]
        means = [np.average((a - b)[part], weights=weights[part]) for part in (unlike, ~unlike)]
        drawn.append(means[0] - means[1])
    ends = np.quantile(drawn, [0.025, 0.975])
    width = ends[1] - ends[0]
    assert [low, high] == pytest.approx(ends.tolist(), abs=0.05 * width)


def test_a_slice_of_one_query_has_no_interval(slice_tables):
    pairs = pd.DataFrame({"query": [0, 0, 1], "reference": [0, 1, 2]})
    inside, a, b = np.array([True, True, False]), np.array([1.0, 1.0, 0.0]), np.zeros(3)
    found = slice_tables.difference_on(inside, a, b, pairs)
    assert found[:3] == (1.0, 0.0, 1.0) and math.isnan(found[3]) and math.isnan(found[4])


def test_panels_show_the_table(slices, write, gather):
    write("dynamic_tuned", [1.0] * 6 + [0.0] * 2)
    write("khop_n1_k1", [0.6] * 8)
    runs = gather.gather(write("sst", [0.6] * 4 + [0.0] * 4))
    names = ("dynamic_tuned", "khop_n1_k1", "sst")
    systems = {name: gather.runs_by_split(runs, name) for name in names}
    pairs = gather.common_pairs([*systems.values()], [0])
    pairs = pairs.assign(
        length_ratio=[1.0] * 4 + [1.3] * 4,
        moment_length=[1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0],
        distractors=5,
        alike=[0, 1] * 4,
        best_proposal=1.0,
    )
    figure = slices.plot_slices(slices.slices_table(systems, "dynamic_tuned", [0], pairs), "fir")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    shown = ["length ratio", "moment length", "distractors about as long as the query"]
    assert titles == [*shown, "", "", ""]
    ratio = figure.axes[0]
    assert [line.get_label() for line in ratio.lines] == ["dynamic tuned", "khop n1 k1", "sst"]
    assert [list(line.get_ydata()) for line in ratio.lines] == [[1.0, 0.5], [1.0, 1.0], [1.0, 0.0]]
    assert [text.get_text() for text in ratio.get_xticklabels()] == [
        "<1.2\n4 pairs",
        "1.2-1.5\n4 pairs",
    ]
    at_seven = figure.axes[3]
    assert [list(line.get_ydata()) for line in at_seven.lines] == [[1.0, 0.5], [0.0] * 2, [0.0] * 2]


def test_the_data_of_a_real_run_is_read_again(finished, cut, tmp_path):
    folder = tmp_path / "synthetic"
    for name in ("dynamic_tuned", "identity"):
        place = folder / name
        place.mkdir(parents=True)
        for file in ("config.yaml", "metrics.json", "predictions.csv"):
            shutil.copy(finished[0] / file, place)
        metrics = json.loads((place / "metrics.json").read_text(encoding="utf-8"))
        (place / "metrics.json").write_text(json.dumps(metrics | {"system": name}))
    options = ("--runs", folder, "--systems", "identity", "--against", "dynamic_tuned")
    status, _, err = cut(*options)
    assert (status, err) == (0, "")
    table = pd.read_csv(tmp_path / "synthetic_slices.csv")
    whole = table[table["slicing"] == "all"].set_index("figure")
    assert whole["value"].tolist() == pytest.approx(
        [metrics["r1"]["0.5"], metrics["r1"]["0.7"]], abs=1e-4
    )
    assert (table["difference"] == 0.0).all()
    assert {*table["slicing"]} >= {
        "length ratio, finer",
        "moment length",
        "tIoU of the best proposal",
    }
    status, _, err = cut(*options, "--root", "somewhere")
    assert (status, err) == (
        2,
        "error: --dataset synthetic is generated: it has no --root somewhere\n",
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--runs", "nowhere"], "--runs nowhere is no folder"),
        (["--runs", "empty"], "empty holds no finished run"),
        (["--systems", "khop"], "holds no finished run of 'khop'; there are: dynamic_tuned, sst"),
        (["--against", "khop"], "holds no finished run of 'khop'; there are: dynamic_tuned, sst"),
        (["--systems", "chance"], "chance answers a pair several times"),
        (["--systems", "dynamic_tuned"], "--systems: none beside dynamic_tuned"),
        (["--systems"], "argument --systems: expected at least one argument"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_bad_input_is_told_in_one_line(write, cut, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for system in ("dynamic_tuned", "sst", "chance"):
        folder = write(system, 5, recipe="")
    usual = ["--runs", folder, "--systems", "sst", "--against", "dynamic_tuned"]
    status, out, err = cut(*usual, *arguments)
    assert status == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1
    assert told in err


def test_an_option_that_is_missing_is_told(cut):
    status, _, err = cut("--runs", "here")
    assert status == 2 and err.startswith("error: ") and "--systems, --against" in err


def test_systems_without_a_common_split_are_told(write, cut):
    write("dynamic_tuned", 5, split=0)
    folder = write("sst", 5, split=1)
    status, _, err = cut("--runs", folder, "--systems", "sst", "--against", "dynamic_tuned")
    assert status == 2 and "no split that all were run on: dynamic_tuned, sst" in err


def test_different_pairs_are_told(write, cut):
    write("dynamic_tuned", 8 * [1.0])
    folder = write("sst", 8 * [1.0])
    path = folder / "sst-split0-seed0" / "predictions.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]) + "\n")
    options = ("--runs", folder, "--systems", "sst", "--against", "dynamic_tuned")
    status, _, err = cut(*options, data={0: of_the_stub(0, [2.5] * 8)})
    assert status == 2 and "hold different pairs" in err and err.count("\n") == 1


def test_data_of_other_runs_are_told(write, cut, tmp_path):
    write("dynamic_tuned", 8 * [1.0])
    folder = write("sst", 8 * [1.0])
    options = ("--runs", folder, "--systems", "sst", "--against", "dynamic_tuned")
    status, _, err = cut(*options, data={0: of_the_stub(0, [2.5] * 6)})
    assert status == 2 and "these are not the data of the runs" in err and err.count("\n") == 1
    assert not [*tmp_path.glob("*_slices.*")]
