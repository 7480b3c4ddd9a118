"""The pictures of the learned edges: which pairs they show, and what of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import matplotlib.image
import pandas as pd
import pytest
import torch
import yaml

from gnnreloc.data import evaluation_pairs, wrong_class_pairs
from gnnreloc.errors import InputError


@pytest.fixture(scope="session")
def edges(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["edges"]


@pytest.fixture(scope="session")
def load_run(modules: dict[str, ModuleType]):
    return modules["finished_run"].load_run


@pytest.fixture
def draw(edges, capsys):
    """Calls the script."""

    def draw(*arguments: object) -> tuple[int, str, str]:
        try:
            edges.main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, *capsys.readouterr()

    return draw


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A tiny run as if it had found all: its moments as long as the query, in row 5 twice that."""
    folder = Path(shutil.copytree(finished[0], tmp_path / "copied"))
    rows = pd.read_csv(folder / "predictions.csv")
    assert len(rows) == 8
    length = rows["query_end"] - rows["query_start"]
    length[5] *= 2.0
    rows["true_end"] = rows["true_start"] + length
    rows["tiou"] = 1.0
    rows["score"] = [0.3, 0.1, 0.7, 0.2, 0.5, 0.9, 0.6, 0.4]
    rows.to_csv(folder / "predictions.csv", index=False)
    return folder


def table(*rows: tuple[float, float, float, float]) -> pd.DataFrame:
    """Predictions by length of the query, length of the moment, tIoU and score."""
    frame = pd.DataFrame(rows, columns=["query", "moment", "tiou", "score"])
    start = pd.Series(0.1, index=frame.index)
    ends = {"query_end": start + frame["query"], "true_end": start + frame["moment"]}
    return frame[["tiou", "score"]].assign(query_start=start, true_start=start, **ends)


def test_the_pair_with_the_median_score_is_taken(edges):
    predictions = table(
        (1.0, 1.0, 0.9, 3.0),
        (1.0, 1.1, 0.5, 1.0),
        (1.0, 1.0, 0.4, 2.0),  # not found
        (2.0, 1.8, 0.9, 1.5),
        (1.0, 1.2, 0.9, 1.6),  # neither same nor other speed
        (1.0, 1.5, 0.9, -1.0),
        (3.0, 1.0, 0.9, -3.0),
    )
    assert edges.median_pair(predictions, 1.0, 1.2) == 3
    assert edges.median_pair(predictions, 1.5, float("inf")) == 6  # the lower of the two
    assert edges.median_pair(predictions[:4], 1.0, 1.2) == 3
    assert edges.median_pair(predictions, 1.2, 1.5) == 4


def test_no_pair_of_such_lengths(edges):
    predictions = table((1.0, 1.0, 0.9, 1.0), (1.0, 2.0, 0.4, 1.0), (2.0, 1.0, 0.0, 1.0))
    with pytest.raises(InputError, match=r"whose lengths differ by at least 1\.5 times"):
        edges.median_pair(predictions, 1.5, float("inf"))
    with pytest.raises(InputError, match=r"at least 1\.2 and less than 1\.5 times"):
        edges.median_pair(predictions, 1.2, 1.5)


def test_cases_are_those_of_the_rule(edges, load_run, copied):
    run = load_run(copied)
    predictions = pd.read_csv(copied / "predictions.csv")
    same, other, wrong = edges.edge_cases(run, predictions)
    pairs = evaluation_pairs(run.corpus, "test", **vars(run.config.evaluation))
    asked_wrongly = wrong_class_pairs(run.corpus, "test", pairs)
    # The seven scores but that of row 5 have the median 0.4.
    wanted = [(same, pairs[7], 7), (other, pairs[5], 5), (wrong, asked_wrongly[7], 7)]
    for case, pair, row in wanted:
        start, end = predictions.loc[row, ["true_start", "true_end"]]
        moment = torch.tensor([[start, end]], dtype=torch.float64)
        video = run.corpus.features[pair.reference]
        query = run.corpus.features[pair.query_video].slice(*pair.query_segment)
        with torch.no_grad():
            score = run.model(run.model.pair_graphs(query, video, moment)).scores.item()
        assert case.title.split("\n")[1:] == [
            f"query: {query.duration:.1f} s of {pair.query_label}",
            f"moment: {end - start:.1f} s of {pair.label}",
            f"score: {score:.2f}",
        ]
        assert case.query_duration == query.duration
        assert case.duration == pytest.approx(end - start)
        assert case.surroundings == pytest.approx(0.25 * (end - start))
        seen = run.model.edges(run.model.pair_graphs(query, video, moment))
        learned, encoded, raw = case.pictures.values()
        torch.testing.assert_close(learned, seen["learned"][0])
        heads = seen["encoded cosines"][0].unbind()
        torch.testing.assert_close(encoded, sum(heads) / 4)
        torch.testing.assert_close(raw, seen["raw cosines"][0, 0])
    assert other.duration == pytest.approx(2 * other.query_duration, rel=0.2)
    assert asked_wrongly[7].query_label != pairs[7].label


def test_figure_is_written(draw, copied, tmp_path):
    out = tmp_path / "new" / "edges.png"
    assert draw("--run", copied, "--out", out) == (0, f"{out}\n", "")
    height, width, _ = matplotlib.image.imread(out).shape
    assert min(height, width) > 1000


def test_learned_edges_that_no_head_reads(draw, script, copied, tmp_path):
    mine = tmp_path / "mine"
    arguments = "--model.edge_heads", "0", "--model.activation", "none", "--only_metrics", "true"
    assert script.tiny("--out", mine, *arguments).status == 0
    shutil.copy(copied / "predictions.csv", mine)
    assert draw("--run", mine, "--out", tmp_path / "edges.svg")[0] == 0
    text = (tmp_path / "edges.svg").read_text(encoding="utf-8")
    assert "learned edges" in text and "cosines" not in text


def assert_told(outcome: tuple[int, str, str], culprit: str) -> None:
    status, out, err = outcome
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and culprit in err


def test_run_without_learned_edges(draw, script, tmp_path):
    for name, options in (
        ("khop", ("--graph", "khop")),
        ("dynamic", ("--model.support", "intra")),
    ):
        mine = tmp_path / name
        assert script.tiny("--out", mine, "--only_metrics", "true", *options).status == 0
        outcome = draw("--run", mine, "--out", tmp_path / "edges.png")
        assert_told(outcome, f"a run of {name} learned no edges")
    assert not (tmp_path / "edges.png").exists()


def test_bad_input(draw, copied, tmp_path):
    out = tmp_path / "edges.png"
    assert_told(draw("--run", tmp_path / "none", "--out", out), "none holds no finished run")
    assert_told(draw("--run", copied, "--out", tmp_path / "edges.gif"), "edges.gif")
    assert_told(draw("--run", copied), "--out")
    assert_told(draw("--run", copied, "--out", out, "--rot", "a"), "--rot")
    (tmp_path / "a_file").touch()
    status, _, err = draw("--run", copied, "--out", tmp_path / "a_file" / "edges.png")
    assert status == 1 and err.startswith("error: ") and "a_file" in err


@pytest.mark.parametrize(
    "change", ["a pair fewer", "other video", "other time", "no score", "no time"]
)
def test_predictions_of_other_pairs(draw, copied, tmp_path, change):
    rows = pd.read_csv(copied / "predictions.csv")
    if change == "a pair fewer":
        rows = rows[:-1]
    elif change == "other video":
        rows.loc[2, "video"] = "elsewhere"
    elif change == "other time":
        rows.loc[2, "query_end"] += 0.5
    elif change == "no score":
        rows = rows.drop(columns="score")
    else:
        rows["true_end"] = "later"
    rows.to_csv(copied / "predictions.csv", index=False)
    assert_told(draw("--run", copied, "--out", tmp_path / "edges.png"), "predictions.csv")


@pytest.mark.parametrize("root", [None, "/nowhere/at/all"])
def test_missing_root(draw, copied, tmp_path, root):
    path = copied / "config.yaml"
    options = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(options | {"dataset": "bandai", "root": root, "data": {}}))
    outcome = draw("--run", copied, "--out", tmp_path / "edges.png")
    assert_told(outcome, "needs --root" if root is None else root)
