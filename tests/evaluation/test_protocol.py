"""The protocol against a loop, exact expectations and bounds."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pytest
import torch
from torch import Tensor

from gnnreloc.data import (
    Corpus,
    Features,
    InMemoryFeatureStore,
    evaluation_pairs,
    wrong_class_pairs,
)
from gnnreloc.data.annotations import validate_moments
from gnnreloc.data.pairs import Pair
from gnnreloc.errors import InputError
from gnnreloc.evaluation import evaluate, evaluate_baselines
from gnnreloc.evaluation.metrics import MEAN_THRESHOLDS, THRESHOLDS
from gnnreloc.evaluation.protocol import BASELINES, localize_pair
from gnnreloc.models import (
    Chance,
    GraphRelocalizer,
    LongestProposal,
    Moments,
    Oracle,
    RandomProposal,
    Relocalizer,
    TrainingFree,
    WholeReference,
)

Rows = list[tuple[float, float]]


class Fixed(Relocalizer):
    """Answers with the same moments, refined or not, whatever it is asked."""

    def __init__(self, segments: Rows, candidates: Rows | None = None) -> None:
        self.segments = torch.tensor(segments, dtype=torch.float64)
        given = segments if candidates is None else candidates
        self.candidates = torch.tensor(given, dtype=torch.float64)
        self.asked: list[tuple[float, float, Tensor | None]] = []

    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        self.asked.append((float(query.values[0, 0]), query.duration, proposals))
        scores = -torch.arange(len(self.segments), dtype=torch.float32)
        return Moments(self.segments, scores, self.candidates)


def made_corpus(moments: Sequence[tuple[str, float, float, str]], seconds: float = 16.0) -> Corpus:
    """Videos of one second a row, whose feature is the number of the second."""
    videos = sorted({video for video, *_ in moments})
    rows = [
        {"video": video, "start": start, "end": end, "label": label}
        | {"subset": "test", "duration": seconds}
        for video, start, end, label in moments
    ]
    values = torch.arange(seconds).unsqueeze(1)
    proposals = torch.tensor([[0.0, 4.0], [4.0, 12.0]], dtype=torch.float64)
    return Corpus(
        name="made",
        moments=validate_moments(pd.DataFrame(rows), source="test"),
        features=InMemoryFeatureStore({video: Features(values, step=1.0) for video in videos}),
        proposals=dict.fromkeys(videos, proposals),
    )


CORPUS = made_corpus(
    [
        ("a", 2.0, 6.0, "jump"),
        ("b", 0.0, 4.0, "jump"),
        ("b", 8.0, 16.0, "jump"),
        ("b", 5.0, 7.0, "sit"),
    ]
)
PAIR = Pair("a", (2.0, 6.0), "jump", "b", "jump", torch.tensor([[0.0, 4.0], [8.0, 16.0]]).double())


def naive_tiou(one: Sequence[float], other: Sequence[float]) -> float:
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / ((one[1] - one[0]) + (other[1] - other[0]) - shared)


def test_the_query_is_the_annotated_clip() -> None:
    system = Fixed([(0.0, 1.0)])
    localize_pair(system, CORPUS, PAIR)
    ((first_row, duration, proposals),) = system.asked
    assert (first_row, duration) == (2.0, 4.0)
    assert proposals is CORPUS.proposals["b"]


def test_recall_is_strict_and_any_instance_counts() -> None:
    half = evaluate(Fixed([(0.0, 2.0)]), CORPUS, [PAIR])  # tIoU with [0, 4] is exactly 0.5
    assert half.summary["r1"]["0.5"] == 0.0 and half.summary["miou"] == 0.5
    second = evaluate(Fixed([(8.0, 14.0)]), CORPUS, [PAIR])  # 6 / 8 with the second instance
    assert second.summary["r1"] == {
        "0.5": 1.0,
        "0.6": 1.0,
        "0.7": 1.0,
        "0.75": 0.0,
        "0.8": 0.0,
        "0.85": 0.0,
        "0.9": 0.0,
        "0.95": 0.0,
    }
    assert second.summary["r1_mean"] == pytest.approx(3 / 5)


def test_five_predictions_count_for_r5() -> None:
    misses = [(4.0, 8.0)] * 4
    fifth = evaluate(Fixed([*misses, (0.0, 4.0), (8.0, 16.0)]), CORPUS, [PAIR])
    assert fifth.summary["r1"]["0.5"] == 0.0 and fifth.summary["r5"]["0.95"] == 1.0
    sixth = evaluate(Fixed([*misses, (4.0, 8.0), (0.0, 4.0)]), CORPUS, [PAIR])
    assert sixth.summary["r5"]["0.5"] == 0.0


def test_figures_before_refinement() -> None:
    result = evaluate(Fixed([(0.0, 4.0)], candidates=[(0.0, 1.0)]), CORPUS, [PAIR])
    assert result.summary["miou"] == 1.0 and result.unrefined["miou"] == 0.25


def test_filtered_takes_away_the_candidates_that_fit_somewhat() -> None:
    # tIoU of the candidates with the truth [0, 4], [8, 16]: 0.5, 0.25, 0.75, 0.
    candidates = [(0.0, 2.0), (0.0, 1.0), (8.0, 14.0), (5.0, 7.0)]
    moved = [(0.0, 4.0), (3.0, 4.0), (8.0, 16.0), (5.0, 6.0)]
    result = evaluate(Fixed(moved, candidates), CORPUS, [PAIR])
    assert result.summary["miou"] == 1.0 and result.unrefined["miou"] == 0.5
    # The first is gone whatever refinement makes of it; (0, 1) stays, because it is a clear miss.
    assert result.filtered["miou"] == result.filtered_unrefined["miou"] == 0.25
    assert result.filtered["r5"]["0.95"] == 1.0 and result.filtered_unrefined["r5"]["0.7"] == 1.0
    edges = evaluate(Fixed([(0.0, 2.8), (0.0, 1.2)]), CORPUS, [PAIR])  # 0.7 stays, 0.3 goes
    assert edges.filtered["r5"]["0.6"] == 1.0 and edges.filtered["miou"] == pytest.approx(0.7)
    nothing = evaluate(Fixed([(0.0, 2.0)]), CORPUS, [PAIR])
    assert nothing.filtered["miou"] == 0.0 and nothing.predictions["tiou_filtered"].item() == 0.0


def test_filtered_is_the_open_protocol_for_moments_of_a_system_s_own() -> None:
    system = Fixed([(0.0, 2.0)])
    system.ranks_proposals = False
    result = evaluate(system, CORPUS, [PAIR])
    assert result.filtered == result.summary and result.summary["miou"] == 0.5


def test_a_row_stands_beside_the_truth_that_it_fits_best() -> None:
    (row,) = evaluate(Fixed([(7.0, 15.0), (0.0, 4.0)]), CORPUS, [PAIR]).predictions.to_dict(
        "records"
    )
    assert row == {
        "video": "b",
        "start": 7.0,
        "end": 15.0,
        "score": 0.0,
        "true_start": 8.0,
        "true_end": 16.0,
        "tiou": 7 / 9,
        "tiou_unrefined": 7 / 9,
        "tiou_filtered": 7 / 9,
        "tiou_filtered_unrefined": 7 / 9,
        "query_video": "a",
        "query_start": 2.0,
        "query_end": 6.0,
        "label": "jump",
        "query_label": "jump",
    }


@pytest.mark.parametrize("refine", [True, False])
@pytest.mark.parametrize("wrong", [True, False])
def test_evaluate_against_a_loop(tiny_corpus: Corpus, refine: bool, wrong: bool) -> None:
    torch.manual_seed(0)
    model = GraphRelocalizer(48, hidden_channels=16, timesteps=8, refine=refine)
    pairs = evaluation_pairs(tiny_corpus, "train", queries=20)
    if wrong:
        pairs = wrong_class_pairs(tiny_corpus, "train", pairs)
    result = evaluate(model, tiny_corpus, pairs)
    best: dict[str, list[list[float]]] = {"summary": [], "unrefined": []}
    for number, pair in enumerate(pairs):
        query = tiny_corpus.features[pair.query_video].slice(*pair.query_segment)
        moments = model.localize(
            query, tiny_corpus.features[pair.reference], tiny_corpus.proposals[pair.reference]
        )
        truth = pair.targets.tolist()
        for name, segments in (("summary", moments.segments), ("unrefined", moments.candidates)):
            overlaps = [max(naive_tiou(s, t) for t in truth) for s in segments.tolist()[:5]]
            best[name].append(overlaps)
        row = result.predictions.iloc[number]
        assert [row["start"], row["end"]] == moments.segments[0].tolist()
        assert row["tiou"] == pytest.approx(best["summary"][-1][0])
        assert [row["true_start"], row["true_end"]] in truth
        assert row["video"] == pair.reference and row["query_label"] == pair.query_label
    for summary, overlaps in (
        (result.summary, best["summary"]),
        (result.unrefined, best["unrefined"]),
    ):
        for level in THRESHOLDS:
            r1 = sum(pair[0] > level for pair in overlaps) / len(pairs)
            r5 = sum(max(pair) > level for pair in overlaps) / len(pairs)
            assert summary["r1"][f"{level:g}"] == pytest.approx(r1)
            assert summary["r5"][f"{level:g}"] == pytest.approx(r5)
        r1_mean = sum(summary["r1"][f"{level:g}"] for level in MEAN_THRESHOLDS) / 5
        assert summary["r1_mean"] == pytest.approx(r1_mean)
        assert summary["miou"] == pytest.approx(sum(pair[0] for pair in overlaps) / len(pairs))
    assert len(result.predictions) == len(pairs)
    assert (result.summary == result.unrefined) == (not refine)


def test_no_ranking_beats_the_oracle(tiny_corpus: Corpus) -> None:
    torch.manual_seed(0)
    systems: list[Relocalizer] = [
        RandomProposal(),
        LongestProposal(),
        TrainingFree(timesteps=12),
        GraphRelocalizer(48, hidden_channels=16, timesteps=8, refine=False),
    ]
    for pair in evaluation_pairs(tiny_corpus, "test"):
        ceiling = evaluate(Oracle(), tiny_corpus, [pair]).summary
        for system in systems:
            summary = evaluate(system, tiny_corpus, [pair]).summary
            assert summary["miou"] <= ceiling["miou"]
            assert all(summary["r1"][level] <= ceiling["r1"][level] for level in summary["r1"])
            assert all(summary["r5"][level] <= ceiling["r1"][level] for level in summary["r5"])


def test_baselines_are_their_systems(tiny_corpus: Corpus) -> None:
    pairs = evaluation_pairs(tiny_corpus, "test")
    rows = evaluate_baselines(tiny_corpus, pairs, timesteps=12, seed=3)
    assert tuple(rows) == BASELINES
    made: dict[str, Relocalizer] = {
        "chance": Chance(seed=3),
        "random_proposal": RandomProposal(seed=3),
        "longest_proposal": LongestProposal(),
        "whole_reference": WholeReference(),
        "training_free": TrainingFree(timesteps=12),
        "oracle": Oracle(),
    }
    assert rows == {name: evaluate(made[name], tiny_corpus, pairs).summary for name in rows}
    assert all(row["r1_mean"] <= rows["oracle"]["r1_mean"] for row in rows.values())


def test_chance_where_the_truth_is_the_whole_reference() -> None:
    """Then the tIoU is the distance of two uniform points: P(tIoU > t) = (1 - t)^2, mean 1/3."""
    corpus = made_corpus([("a", 0.0, 16.0, "run"), ("b", 0.0, 16.0, "run")])
    pairs = evaluation_pairs(corpus, "test") * 100
    result = evaluate(Chance(), corpus, pairs)
    assert len(result.predictions) == len(pairs) == 200
    # 4000 draws: four standard deviations of a share of 1/4 are 0.027, of the mean 0.015.
    for level in THRESHOLDS:
        assert result.summary["r1"][f"{level:g}"] == pytest.approx((1 - level) ** 2, abs=0.027)
        hit = 1 - (1 - (1 - level) ** 2) ** 5  # one of five draws
        assert result.summary["r5"][f"{level:g}"] == pytest.approx(hit, abs=0.032)
    assert result.summary["miou"] == pytest.approx(1 / 3, abs=0.015)


def test_random_proposal_is_the_mean_over_proposals() -> None:
    result = evaluate(RandomProposal(), CORPUS, [PAIR] * 100)
    # Of [0, 4] and [4, 12] one is right: 2000 draws, four standard deviations are 0.045.
    assert result.summary["r1"]["0.5"] == pytest.approx(0.5, abs=0.045)
    assert result.summary["r5"]["0.5"] == 1.0


def test_bad_input() -> None:
    with pytest.raises(InputError, match="no pair"):
        evaluate(WholeReference(), CORPUS, [])
    unknown = Pair("a", (2.0, 6.0), "jump", "c", "jump", PAIR.targets)
    with pytest.raises(InputError, match="'c'"):
        evaluate(WholeReference(), CORPUS, [unknown])
