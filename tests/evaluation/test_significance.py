"""Intervals and the paired bootstrap against textbook tables, small exact cases and simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from gnnreloc.errors import InputError
from gnnreloc.evaluation.significance import mean_interval, paired_bootstrap


@pytest.mark.parametrize(
    ("n", "confidence", "quantile"),
    [(2, 0.95, 12.706), (3, 0.95, 4.303), (5, 0.95, 2.776), (10, 0.99, 3.250), (31, 0.90, 1.697)],
)
def test_interval_uses_the_printed_student_quantiles(
    n: int, confidence: float, quantile: float
) -> None:
    values = np.arange(n, dtype=np.float64)
    mean, low, high = mean_interval(values, confidence)
    spread = math.sqrt(sum((v - (n - 1) / 2) ** 2 for v in range(n)) / (n - 1))
    assert mean == (n - 1) / 2
    assert (high - mean) * math.sqrt(n) / spread == pytest.approx(quantile, abs=6e-4)
    assert mean - low == pytest.approx(high - mean)


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    runs = np.random.default_rng(0).normal(0.4, 0.1, size=(3000, 4))
    intervals = [mean_interval(run, 0.9) for run in runs]
    covered = np.mean([low <= 0.4 <= high for _, low, high in intervals])
    assert covered == pytest.approx(0.9, abs=0.02)


def test_one_run_has_no_interval_and_equal_runs_a_point() -> None:
    mean, low, high = mean_interval([0.25])
    assert mean == 0.25 and math.isnan(low) and math.isnan(high)
    assert mean_interval(torch.tensor([0.25, 0.25, 0.25])) == (0.25, 0.25, 0.25)


def test_two_groups_by_hand() -> None:
    # Two groups with differences 1 and 0: the mean is 0 or 1 in a quarter of the draws each and
    # one half otherwise, so the interval is [0, 1] and p is twice a quarter.
    result = paired_bootstrap([1.0, 1.0], [0.0, 1.0], resamples=20_000)
    assert result["difference"] == 0.5
    assert (result["low"], result["high"]) == (0.0, 1.0)
    assert result["p_value"] == pytest.approx(0.5, abs=0.02)


def test_groups_of_unequal_size_weigh_by_their_items() -> None:
    # Three items with difference 1 share a query, one item with difference 0 has its own: the mean
    # over drawn items is 0, 3/4 or 1, never 1/2.
    result = paired_bootstrap(
        [1, 1, 1, 0], [0, 0, 0, 0], groups=["q", "q", "q", "r"], confidence=0.4
    )
    assert result["difference"] == 0.75
    assert (result["low"], result["high"]) == (0.75, 0.75)


def test_interval_has_the_width_of_the_normal_approximation() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.normal(0.6, 0.2, 400), generator.normal(0.5, 0.2, 400)
    result = paired_bootstrap(a, b)
    half = 1.96 * (a - b).std(ddof=1) / math.sqrt(400)
    assert result["low"] == pytest.approx(result["difference"] - half, abs=0.06 * half)
    assert result["high"] == pytest.approx(result["difference"] + half, abs=0.06 * half)
    assert result["p_value"] < 0.001


def test_level_systems_are_rejected_at_the_stated_rate_only_with_groups() -> None:
    generator = np.random.default_rng(2)
    groups = np.repeat(np.arange(40), 5)
    by_group, by_item = [], []
    for seed in range(200):
        shared = np.repeat(generator.normal(size=40), 5)  # a query moves all its items alike
        a = shared + 0.2 * generator.normal(size=200)
        zero = np.zeros(200)
        by_group.append(paired_bootstrap(a, zero, groups, resamples=400, seed=seed)["p_value"])
        by_item.append(paired_bootstrap(a, zero, resamples=400, seed=seed)["p_value"])
    assert np.mean(np.array(by_group) < 0.05) == pytest.approx(0.05, abs=0.045)
    assert np.mean(np.array(by_item) < 0.05) > 0.25


def test_identical_systems_are_level() -> None:
    hits = [0.0, 1.0, 1.0, 0.0]
    assert paired_bootstrap(hits, hits, resamples=50) == {
        "difference": 0.0,
        "low": 0.0,
        "high": 0.0,
        "p_value": 1.0,
    }


def test_swapping_the_systems_mirrors_the_result() -> None:
    a, b = np.random.default_rng(4).random((2, 60))
    there, back = paired_bootstrap(a, b), paired_bootstrap(b, a)
    assert back["difference"] == pytest.approx(-there["difference"])
    assert back["low"] == pytest.approx(-there["high"])
    assert back["high"] == pytest.approx(-there["low"])
    assert back["p_value"] == there["p_value"]


def test_same_seed_same_result_and_labels_only_name_groups() -> None:
    a, b = np.random.default_rng(5).random((2, 30))
    numbers = torch.arange(30) // 3
    first = paired_bootstrap(a, b, numbers, seed=7)
    assert paired_bootstrap(torch.from_numpy(a), b.tolist(), numbers, seed=7) == first
    letters = [chr(ord("a") + int(number)) for number in numbers]
    assert paired_bootstrap(a, b, letters, seed=7) == first
    assert paired_bootstrap(a, b, numbers, seed=8) != first


def test_a_single_group_has_no_interval() -> None:
    result = paired_bootstrap([1.0, 0.0], [0.0, 0.0], groups=["q", "q"])
    assert result["difference"] == 0.5
    assert all(math.isnan(result[key]) for key in ("low", "high", "p_value"))


@pytest.mark.parametrize(
    ("values", "confidence", "culprit"),
    [
        ([], 0.95, "n >= 1"),
        ([0.5, float("nan")], 0.95, "item 1 is nan"),
        ([0.5, 0.6], 1.0, "confidence: 1.0"),
    ],
)
def test_bad_runs_name_the_culprit(values: list[float], confidence: float, culprit: str) -> None:
    with pytest.raises(InputError, match=culprit):
        mean_interval(values, confidence)


@pytest.mark.parametrize(
    ("b", "options", "culprit"),
    [
        ([1.0], {}, "b: 1 values; wanted 2"),
        ([1.0, float("inf")], {}, "b: item 1 is inf"),
        ([1.0, 1.0], {"groups": ["q"]}, r"groups: shape \[1\]"),
        ([1.0, 1.0], {"crossed": ["r"]}, r"crossed: shape \[1\]; wanted \[2\]"),
        ([1.0, 1.0], {"resamples": 0}, "resamples: 0"),
        ([1.0, 1.0], {"confidence": 0.0}, "confidence: 0.0"),
    ],
)
def test_bad_pairs_name_the_culprit(b: list[float], options: dict[str, Any], culprit: str) -> None:
    with pytest.raises(InputError, match=culprit):
        paired_bootstrap([0.0, 1.0], b, **options)


def test_seeds_of_a_split_are_averaged_first() -> None:
    # By hand: the splits have means .5, .7 and .9 whatever the number of their seeds.
    values, splits = [0.4, 0.6, 0.7, 0.85, 0.95, 0.9], ["a", "a", "b", "c", "c", "c"]
    assert mean_interval(values, groups=splits) == pytest.approx(mean_interval([0.5, 0.7, 0.9]))
    shuffled = [3, 0, 5, 2, 4, 1]
    again = mean_interval([values[i] for i in shuffled], groups=[splits[i] for i in shuffled])
    assert again == pytest.approx(mean_interval([0.5, 0.7, 0.9]))


def test_one_split_has_the_interval_of_its_seeds_and_one_run_none() -> None:
    values = [0.4, 0.5, 0.9]
    assert mean_interval(values, groups=[2, 2, 2]) == mean_interval(values)
    assert math.isnan(mean_interval([0.4], groups=[0]).low)


def test_labels_are_of_any_kind() -> None:
    values = [0.1, 0.3, 0.6, 0.8]
    wanted = mean_interval([0.2, 0.7])
    for labels in ([(0, "q"), (0, "q"), (1, "q"), (1, "q")], torch.tensor([3, 3, 1, 1])):
        assert mean_interval(values, groups=labels) == pytest.approx(wanted)
    assert mean_interval(values, groups=np.array([3, 3, 1, 1])) == pytest.approx(wanted)


def test_grouped_interval_covers_the_truth_where_seeds_share_a_split() -> None:
    # run = true mean + effect of the split + noise of the seed; the truth is known, .5.
    generator = np.random.default_rng(6)
    simulations, splits, seeds = 2000, 4, 3
    effect = generator.normal(0.0, 0.06, (simulations, splits, 1))
    runs = 0.5 + effect + generator.normal(0.0, 0.03, (simulations, splits, seeds))
    labels = np.repeat(np.arange(splits), seeds)

    def coverage(groups: Any) -> float:
        intervals = [mean_interval(run.ravel(), groups=groups) for run in runs]
        return float(np.mean([low <= 0.5 <= high for _, low, high in intervals]))

    # Three standard errors of a share of .95 over 2000 simulations are .015.
    assert coverage(labels) == pytest.approx(0.95, abs=0.015)
    assert coverage(None) < 0.85


def correlated_pairs(
    generator: np.random.Generator, truth: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Hits of two systems, a mean over two seeds, on 60 queries of 5 pairs, and the queries.

    A query suits one system or the other: its chance of a hit differs by a shift of its own, which
    all its pairs and seeds share; the mean difference of the chances is the truth.
    """
    shift = np.repeat(generator.uniform(-0.3, 0.3, 60), 5)
    first = (generator.random((2, 300)) < 0.5 + truth + shift).mean(axis=0)
    second = (generator.random((2, 300)) < 0.5 - shift).mean(axis=0)
    return first, second, np.repeat(np.arange(60), 5)


def test_bootstrap_of_queries_covers_the_known_difference_and_that_of_pairs_does_not() -> None:
    generator = np.random.default_rng(7)
    by_query = by_pair = 0
    simulations = 400
    for seed in range(simulations):
        a, b, queries = correlated_pairs(generator, 0.1)
        result = paired_bootstrap(a, b, queries, resamples=400, seed=seed)
        by_query += result["low"] <= 0.1 <= result["high"]
        result = paired_bootstrap(a, b, resamples=400, seed=seed)
        by_pair += result["low"] <= 0.1 <= result["high"]
    # Three standard errors are .033; percentile intervals of 60 groups are a little too narrow.
    assert by_query / simulations == pytest.approx(0.945, abs=0.035)
    assert by_pair / simulations < 0.85


def test_p_values_of_level_systems_are_about_uniform() -> None:
    generator = np.random.default_rng(8)
    p_values = []
    for seed in range(400):
        a, b, queries = correlated_pairs(generator, 0.0)
        p_values.append(paired_bootstrap(a, b, queries, resamples=400, seed=seed)["p_value"])
    for level in (0.05, 0.25, 0.5, 0.75):
        deviation = math.sqrt(level * (1 - level) / 400)
        assert np.mean(np.array(p_values) <= level) == pytest.approx(level, abs=3.5 * deviation)


def test_every_run_needs_a_group() -> None:
    with pytest.raises(InputError, match=r"groups: shape \[1\]; wanted \[2\]"):
        mean_interval([0.5, 0.6], groups=[0])


def test_two_groupings_by_hand() -> None:
    # Two queries and two references, all four pairs, one difference of 1. Each query and each
    # reference is drawn never, once or twice (1/4, 1/2, 1/4), so that the mean is uv/4: 0 in 7/16
    # of the draws, 1/4 in 4/16, 1/2 in 4/16, 1 in 1/16; p is twice 7/16.
    values, queries, references = [1.0, 0.0, 0.0, 0.0], ["q", "q", "r", "r"], ["x", "y", "x", "y"]
    options: dict[str, Any] = {"groups": queries, "crossed": references, "resamples": 20_000}
    result = paired_bootstrap(values, [0.0] * 4, confidence=0.5, **options)
    assert (result["difference"], result["low"], result["high"]) == (0.25, 0.0, 0.5)
    assert result["p_value"] == pytest.approx(14 / 16, abs=0.02)
    wide = paired_bootstrap(values, [0.0] * 4, confidence=0.96, **options)
    assert (wide["low"], wide["high"]) == (0.0, 1.0)


def test_a_draw_without_any_item_is_drawn_again() -> None:
    # Two items that share nothing: both weights are 0 in 2/16 of the draws. Of the other 14 the
    # mean is 0 in 5, 1/2 in 4 and 1 in 5, so p is twice 5/14.
    result = paired_bootstrap(
        [1.0, 0.0], [0.0, 0.0], groups=[0, 1], crossed=["x", "y"], resamples=20_000
    )
    assert result["difference"] == 0.5
    assert (result["low"], result["high"]) == (0.0, 1.0)
    assert result["p_value"] == pytest.approx(10 / 14, abs=0.02)


def test_a_single_crossed_group_has_no_interval() -> None:
    result = paired_bootstrap([1.0, 0.0], [0.0, 0.0], groups=[0, 1], crossed=["x", "x"])
    assert result["difference"] == 0.5
    assert all(math.isnan(result[key]) for key in ("low", "high", "p_value"))


def test_the_two_groupings_are_of_equal_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(9)
    values, zero = generator.normal(size=120), np.zeros(120)
    queries, references = generator.integers(30, size=120), generator.integers(20, size=120)
    there = paired_bootstrap(values, zero, queries, references)
    back = paired_bootstrap(values, zero, references, queries)
    assert there["difference"] == pytest.approx(values.mean())
    assert there["low"] == pytest.approx(back["low"], abs=0.02)
    assert there["high"] == pytest.approx(back["high"], abs=0.02)
    # Neither depends on how many draws are held at once, but for the luck of the draws.
    monkeypatch.setattr("gnnreloc.evaluation.significance._DRAWS_AT_ONCE", 1000)
    again = paired_bootstrap(values, zero, queries, references)
    assert again["low"] == pytest.approx(there["low"], abs=0.02)


def test_bootstrap_of_queries_and_references_covers_where_that_of_queries_does_not() -> None:
    # As in a comparison: 150 queries with two references each, out of 93. A reference suits one
    # system or the other, and so does, less, a query; the truth is .1.
    generator = np.random.default_rng(10)
    queries = np.repeat(np.arange(150), 2)
    one_way = two_way = 0
    simulations = 300
    for seed in range(simulations):
        references = generator.integers(93, size=300)
        of_query, of_reference = generator.normal(0.0, 0.15, 150), generator.normal(0.0, 0.4, 93)
        a = 0.1 + of_query[queries] + of_reference[references] + generator.normal(0.0, 0.2, 300)
        result = paired_bootstrap(a, np.zeros(300), queries, resamples=400, seed=seed)
        one_way += result["low"] <= 0.1 <= result["high"]
        result = paired_bootstrap(a, np.zeros(300), queries, references, resamples=400, seed=seed)
        two_way += result["low"] <= 0.1 <= result["high"]
    assert one_way / simulations < 0.8
    assert two_way / simulations >= 0.93
