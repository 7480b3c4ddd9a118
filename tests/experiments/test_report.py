"""The table of a run, and its figures."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import torch

from gnnreloc.data import Corpus, evaluation_pairs
from gnnreloc.evaluation import evaluate, evaluate_baselines
from gnnreloc.evaluation.protocol import localize_pair
from gnnreloc.models import GraphRelocalizer
from gnnreloc.transforms import khop_adjacency


@pytest.fixture(scope="session")
def report(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["report"]


def network(**options: Any) -> GraphRelocalizer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GraphRelocalizer(48, hidden_channels=8, timesteps=6, **options).eval()


def summary(number: float) -> dict[str, Any]:
    """Figures that are told apart: R@1 falls by 0.01 a column from ``number``."""
    levels = ("0.5", "0.6", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95")
    r1 = {level: number - 0.01 * place for place, level in enumerate(levels)}
    return {"r1": r1, "r1_mean": number - 0.1, "r5": {**r1, "0.5": number + 0.1}, "miou": 0.123}


@pytest.mark.parametrize("columns", [None, 80, 200], ids=["no terminal", "narrow", "wide"])
def test_table_shows_every_row_with_its_figures(report, capsys, monkeypatch, columns):
    if columns is not None:
        for name, value in (("FORCE_COLOR", "1"), ("TERM", "dumb"), ("COLUMNS", str(columns))):
            monkeypatch.setenv(name, value)
    metrics = {
        **{"system": "khop_n3_k123", "dataset": "fir", "split": 2, "seed": 7, "pairs": 31},
        **{"unrefined": summary(0.4), "filtered": summary(0.5), "wrong_class_query": summary(0.2)},
        "baselines": {"chance": summary(0.15), "oracle": summary(0.85)},
        **summary(0.6),
    }
    report.print_table(metrics)
    printed = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert "…" not in printed
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in printed.splitlines()
        if line.startswith("│")
    ]
    # R@1 at .5 .6 .7 .8 .9, mean, R@5 at .5, mIoU.
    best = ["0.600", "0.590", "0.580", "0.560", "0.540", "0.500", "0.700", "0.123"]
    assert rows[-1] == ["khop_n3_k123", *best]
    assert [row[:2] for row in rows[:-1]] == [
        ["chance", "0.150"],
        ["oracle", "0.850"],
        ["wrong-class query", "0.200"],
        ["filtered (leaks)", "0.500"],
        ["before refinement", "0.400"],
    ]
    assert "fir, split 2, seed 7: 31 pairs of unseen classes, protocol open" in printed
    assert columns is None or max(map(len, printed.splitlines())) <= columns
    report.print_table(metrics, unseen_classes=False)
    assert "unseen classes" not in capsys.readouterr().out


@pytest.mark.parametrize("backend", ["dense", "edge"])
def test_learned_matrix_stands_beside_the_fixed_ones(report, tiny_corpus: Corpus, backend):
    pair = evaluation_pairs(tiny_corpus, "test", queries=1)[0]
    candidate = torch.tensor([[1.0, 4.0]], dtype=torch.float64)
    model = network(graph="dynamic", backend=backend)
    matrices = report.adjacency_matrices(model, tiny_corpus, pair, candidate)
    assert list(matrices) == ["learned", "k=1", "k=2", "k=3"]
    assert model.backend == backend
    for k in (1, 2, 3):
        assert torch.equal(matrices[f"k={k}"], khop_adjacency(6, k))
    # The tuned graph: each node spreads a weight of 1 over the timesteps of the other clip.
    learned = matrices["learned"]
    assert learned.shape == (12, 12)
    assert torch.allclose(learned.sum(dim=1), torch.ones(12))
    assert learned[:6, :6].count_nonzero() == learned[6:, 6:].count_nonzero() == 0
    other = report.adjacency_matrices(network(graph="dynamic"), tiny_corpus, pair, candidate)
    assert torch.allclose(learned, other["learned"])


def test_fixed_graphs_have_no_learned_matrix(report, tiny_corpus: Corpus):
    pair = evaluation_pairs(tiny_corpus, "test", queries=1)[0]
    candidate = torch.tensor([[1.0, 4.0]], dtype=torch.float64)
    matrices = report.adjacency_matrices(network(graph="identity"), tiny_corpus, pair, candidate)
    assert list(matrices) == ["k=1", "k=2", "k=3"]


def test_timeline_shows_the_top_prediction(report, tiny_corpus: Corpus):
    pairs = evaluation_pairs(tiny_corpus, "test", queries=3)
    model = network()
    table = evaluate(model, tiny_corpus, pairs).predictions
    for pair, row in zip(pairs, table.itertuples(), strict=True):
        case = report.timeline_case(
            tiny_corpus, pair, localize_pair(model, tiny_corpus, pair), row.tiou
        )
        assert case.prediction.tolist() == [row.start, row.end]
        assert (case.score, case.overlap) == (pytest.approx(row.score), row.tiou)
        assert torch.equal(case.truth, pair.targets)
        assert case.duration == tiny_corpus.features[pair.reference].duration
        assert case.query_duration == pytest.approx(row.query_end - row.query_start)
        assert len(case.proposals) == len(tiny_corpus.proposals[pair.reference])
        assert case.proposal_scores[0] == case.proposal_scores.max()


@pytest.mark.parametrize("queries", [1, 4])
def test_figures_are_written_for_few_pairs(report, tiny_corpus: Corpus, tmp_path, queries):
    pairs = evaluation_pairs(tiny_corpus, "test", queries=queries, references_per_query=1)
    model = network(graph="hybrid", hops=(1, 2))
    result = evaluate(model, tiny_corpus, pairs)
    metrics = {
        **{"system": "hybrid_tuned", "dataset": "synthetic", "split": 0, "seed": 0},
        **{"pairs": len(pairs), "wrong_class_query": summary(0.2)},
        "baselines": evaluate_baselines(tiny_corpus, pairs, timesteps=6),
        **result.summary,
    }
    log = pd.DataFrame({"epoch": [1], "ranking": [3.0], "lr": [0.1], "seconds": [1.0]})
    report.write_figures(tmp_path, model, tiny_corpus, pairs, result, metrics, log)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["adjacency.png", "recall.png", "timelines.png", "training.png"]
