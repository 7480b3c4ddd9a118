"""The page of a run."""

from __future__ import annotations

import json
import re
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch

from gnnreloc.data import Corpus, evaluation_pairs
from gnnreloc.evaluation import evaluate
from gnnreloc.evaluation.protocol import localize_pair
from gnnreloc.models import GraphRelocalizer
from gnnreloc.transforms import khop_adjacency


@pytest.fixture(scope="session")
def run_page(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["run_page"]


@pytest.fixture(scope="session")
def network() -> GraphRelocalizer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        options = {"hidden_channels": 8, "timesteps": 6, "context": 0.25, "graph": "dynamic"}
        return GraphRelocalizer(48, **options).eval()


def matrices_of(page: str) -> list[dict]:
    found = re.findall(r'<script type="application/json">(.*?)</script>', page, re.S)
    return [json.loads(text) for text in found]


def test_page_of_a_finished_run(finished):
    folder, outcome = finished
    assert outcome.status == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles[:5] == ["Result", "Curves", "Training", "Adjacency", "Cases"]
    assert titles[-1] == "Configuration"
    [row] = re.findall(r'<tr class="[^"]*bold">(.*?)</tr>', page)
    cells = [float(cell) for cell in re.findall(r"<td>(.*?)</td>", row)]
    wanted = [metrics["r1"][level] for level in ("0.5", "0.6", "0.7", "0.8", "0.9")]
    wanted += [metrics["r1_mean"], metrics["r5"]["0.5"], metrics["miou"]]
    assert cells == pytest.approx(wanted, abs=6e-4)
    # Its interval is below it.
    [spans] = re.findall(r"95 % interval</th>(.*?)</tr>", page)
    spans = [text.split("-") for text in re.findall(r"<td>(.*?)</td>", spans)]
    assert spans.pop(6) == [""]
    for (low, high), value in zip(spans, [*wanted[:6], wanted[7]], strict=True):
        assert float(low) <= value + 6e-4 and value - 6e-4 <= float(high)
    for name in (*metrics["baselines"], "wrong-class query"):
        assert f'<th scope="row">{name}</th>' in page
    assert f"<td>{metrics['versions']['torch']}</td>" in page
    assert "hidden_channels: 8" in page
    assert {matrix["title"] for matrix in matrices_of(page)} == {"learned", "k=1", "k=2", "k=3"}


def test_intervals_draw_queries_and_references(run_page):
    generator = np.random.default_rng(0)
    predictions = pd.DataFrame(
        {"tiou": generator.uniform(0, 1, 60), "video": np.tile([*"abcdefghij"], 6)}
        | {"query_video": np.repeat([*"uvwxyz"], 10), "query_start": 0.0, "query_end": 1.0}
    )
    found = run_page.intervals(predictions)
    overlaps = predictions["tiou"]
    for name, level in (("0.5", 0.5), ("0.9", 0.9)):
        low, high = found[name]
        assert low < (overlaps > level).mean() < high
    assert found["miou"][0] < overlaps.mean() < found["miou"][1]
    # Answers that agree where query and reference agree are worth fewer pairs.
    alike = predictions.assign(tiou=np.repeat([0.0, 1.0, 0.0, 1.0, 1.0, 0.0], 10))
    widths = [np.ptp(run_page.intervals(table)["0.5"]) for table in (predictions, alike)]
    assert widths[1] > 1.5 * widths[0]
    assert np.isnan(run_page.intervals(predictions.assign(video="a"))["0.5"]).all()


def test_cases_are_the_best_the_median_and_the_surest_of_the_worst(run_page):
    predictions = pd.DataFrame(
        {"tiou": [0.0, 0.9, 0.0, 0.5, 1.0, 0.0, 0.4], "score": [0.1, 0.2, 3.0, 0.3, 0.9, 2.0, 0.6]}
    )
    assert run_page.chosen_cases(predictions) == {
        "best": 4,
        "second best": 1,
        "median": 6,
        "worst, surest": 2,
        "worst, second surest": 5,
    }
    assert run_page.chosen_cases(predictions.iloc[:1]) == {"best": 0}


def test_matrices_tell_the_seconds_of_their_nodes(run_page, network, tiny_corpus: Corpus):
    pair = evaluation_pairs(tiny_corpus, "test", queries=1)[0]
    candidate = localize_pair(network, tiny_corpus, pair).candidates[0]
    part = run_page.adjacency_part("best", network, tiny_corpus, pair, candidate)
    start, end = candidate.tolist()
    first, last = pair.query_segment
    length, around = end - start, 0.25 * (end - start)
    middles = (np.arange(6) + 0.5) / 6
    assert part.query == pytest.approx(first + middles * (last - first))
    assert part.proposal == pytest.approx(start - around + middles * (length + 2 * around))
    shown = {matrix.title: matrix.values for matrix in part.matrices}
    assert torch.equal(shown["k=2"], khop_adjacency(6, 2))


def test_slices_show_the_share_of_their_pairs(run_page):
    pairs = pd.DataFrame(
        {
            **{"length_ratio": [1.0, 1.0, 1.3, 1.3], "moment_length": 4.0, "distractors": 5},
            **{"alike": 0, "best_proposal": 0.95},
        }
    )
    [chart] = run_page.slice_charts(pairs, {"R@1": {"own": np.array([1.0, 0.0, 1.0, 1.0])}})
    assert chart.title == "by length ratio" and chart.y_label == "R@1"
    assert chart.ticks == {0.0: "<1.2 (2)", 1.0: "1.2-1.5 (2)"}
    assert chart.series[0].points == {0.0: 0.5, 1.0: 1.0}


def test_training_curves_part_losses_from_checks(run_page):
    log = pd.DataFrame(
        {
            **{"epoch": [1, 2], "ranking": [3.0, 2.0], "lr": [0.1, 0.2], "seconds": [9.0, 9.0]},
            **{"validation_r1_0.5": [np.nan, 0.5], "validation_miou": [np.nan, np.nan]},
        }
    )
    charts = run_page.training_curves(log)
    shown = {chart.title: {each.name: each.points for each in chart.series} for chart in charts}
    assert shown == {
        "losses": {"ranking": {1.0: 3.0, 2.0: 2.0}},
        "validation classes": {"r1 0.5": {2.0: 0.5}},
        "learning rate": {"lr": {1.0: 0.1, 2.0: 0.2}},
    }


def test_a_system_without_edges_shows_cases_alone(run_page, tiny_corpus: Corpus):
    from gnnreloc.models import create_model

    pairs = evaluation_pairs(tiny_corpus, "test", queries=2)
    system = create_model("training_free", timesteps=6)
    predictions = evaluate(system, tiny_corpus, pairs).predictions
    adjacency, cases = run_page.case_sections(system, tiny_corpus, pairs, predictions)
    assert not adjacency.parts
    best = cases.parts[0].case
    assert best.overlap == predictions["tiou"].max() and best.title.startswith("best: ")
