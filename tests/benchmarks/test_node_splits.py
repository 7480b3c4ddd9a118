"""Splits of the node-classification benchmark: sizes, shares of classes, features."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix


@pytest.mark.parametrize(
    ("dataset", "nodes", "train", "validation"),
    [("wine", 178, 10, 20), ("cancer", 569, 10, 20), ("digits", 1797, 50, 100)],
)
def test_splits_have_the_sizes_of_the_literature(
    modules: dict[str, ModuleType], dataset: str, nodes: int, train: int, validation: int
) -> None:
    split = modules["node_splits"].load(dataset, 4, None)
    parts = (split.problem.train, split.problem.validation, split.test)
    assert [len(part) for part in parts] == [train, validation, nodes - train - validation]
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(nodes))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_part_of_a_split_has_the_classes_in_their_shares(
    modules: dict[str, ModuleType], seed: int
) -> None:
    truth = np.repeat([0, 1, 2], [59, 71, 48])
    parts = modules["node_splits"].split_nodes(truth, train=10, validation=20, seed=seed)
    for part in parts:
        wanted = np.bincount(truth) * len(part) / len(truth)
        assert np.abs(np.bincount(truth[part], minlength=3) - wanted).max() < 1.5


def test_another_seed_is_another_split(modules: dict[str, ModuleType]) -> None:
    truth = np.repeat([0, 1], 50)
    first, again, other = (
        modules["node_splits"].split_nodes(truth, train=10, validation=20, seed=seed)[0]
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_runs_take_the_published_splits_in_turn(modules: dict[str, ModuleType]) -> None:
    tests = [modules["node_splits"].load("wine_idgl", seed, None).test for seed in range(6)]
    assert torch.equal(tests[0], tests[5])
    assert not torch.equal(tests[0], tests[1])
    truth = modules["node_splits"].TABULAR["wine"].load().target
    *_, second = modules["node_splits"].split_nodes(truth, train=10, validation=20, seed=6666)
    assert torch.equal(tests[1], torch.as_tensor(second))


def test_features_are_scaled_where_they_should_be(modules: dict[str, ModuleType]) -> None:
    wine = modules["node_splits"].load("wine", 0, None).problem.x.to_dense()
    torch.testing.assert_close(wine.mean(dim=0), torch.zeros(13), atol=1e-5, rtol=0)
    torch.testing.assert_close(wine.std(dim=0, correction=0), torch.ones(13))
    digits = modules["node_splits"].load("digits", 0, None).problem.x.to_dense()
    assert torch.equal((digits * 16).round(), digits * 16)
    assert digits.max() == 1


def write_planetoid(folder: Path, dataset: str) -> None:
    """Raw files of 560 nodes in a ring: 6 to train, 500 to validate, 40 to test in no order."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    x = generator.integers(0, 2, (560, 12)).astype(np.float32)
    x[:, 0] = 1
    x[0] = 0
    y = np.eye(3, dtype=np.int32)[np.arange(560) % 3]
    test = 520 + np.random.default_rng(1).permutation(40)
    parts: dict[str, object] = {
        "x": csr_matrix(x[:6]),
        "y": y[:6],
        "allx": csr_matrix(x[:520]),
        "ally": y[:520],
        "tx": csr_matrix(x[test]),
        "ty": y[test],
        "graph": {node: [(node + 1) % 560, (node - 1) % 560] for node in range(560)},
    }
    for name, part in parts.items():
        (folder / f"ind.{dataset}.{name}").write_bytes(pickle.dumps(part))
    (folder / f"ind.{dataset}.test.index").write_text("".join(f"{node}\n" for node in test))


def test_public_split_of_a_citation_graph(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    write_planetoid(tmp_path / "cora" / "raw", "cora")
    before = sorted(tmp_path.rglob("*"))
    split = modules["node_splits"].load("cora", 0, tmp_path)
    problem = split.problem
    assert problem.train.tolist() == list(range(6))
    assert problem.validation.tolist() == list(range(6, 506))
    assert split.test.tolist() == list(range(520, 560))
    assert split.truth.tolist() == [node % 3 for node in range(560)]
    assert problem.edge_index.size(1) == 2 * 560
    sums = problem.x.to_dense().sum(dim=1)
    assert sums[0] == 0
    torch.testing.assert_close(sums[1:], torch.ones(559))
    assert sorted(tmp_path.rglob("*")) == before
