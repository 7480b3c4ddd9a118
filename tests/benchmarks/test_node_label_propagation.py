"""Label propagation of the node-classification benchmark: by hand, and what it learns from."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch.nn import functional

SETTINGS: dict[str, Any] = {"neighbours": 8, "mix": 0.2, "temperature": 0.5}


def two_classes(seed: int) -> dict[str, Any]:
    """Two classes told by the first of six features; the others mislead the neighbours."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.arange(80) % 2
    x = 1.3 * torch.randn(80, 6, generator=generator)
    x[:, 0] = 2 * truth - 1 + 0.2 * torch.randn(80, generator=generator)
    nodes = {"train": torch.arange(8), "validation": torch.arange(8, 20)}
    return {"x": x, "truth": truth, **nodes, "test": torch.arange(20, 80)}


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return two_classes(0)


def test_labels_spread_by_hand(modules: dict[str, ModuleType]) -> None:
    # A line of three nodes; the first and the last are known.
    line = torch.tensor([[0.0, 1.0, 0.0], [0.75, 0.0, 0.25], [0.0, 1.0, 0.0]])
    known = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    # h = (A h + known) / 2 has the columns (5/8, 1/4, 1/8) and (1/24, 1/12, 13/24). Their sums are
    # 1 and 2/3, so that the second becomes (1/16, 1/8, 13/16).
    expected = torch.tensor([[10 / 11, 1 / 11], [2 / 3, 1 / 3], [2 / 15, 13 / 15]])
    found = modules["node_label_propagation"].propagate(line, known, 0.5)
    torch.testing.assert_close(found, expected)


def test_a_node_out_of_reach_has_no_class(modules: dict[str, ModuleType]) -> None:
    apart = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    known = torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    found = modules["node_label_propagation"].propagate(apart, known, 0.1)
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]))


def test_the_likeliest_class_is_learned_unless_one_is_known(
    modules: dict[str, ModuleType],
) -> None:
    found = torch.tensor([[0.4, 0.6], [0.3, 0.7], [0.0, 0.0]])
    known = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    target = modules["node_label_propagation"].harden(found, known)
    assert target.tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]


def test_the_graph_starts_from_cosines_and_learns_the_classes(
    modules: dict[str, ModuleType], data: dict[str, Any]
) -> None:
    x, target = data["x"], functional.one_hot(data["truth"]).float()
    learn = modules["node_label_propagation"].learn
    start = learn(x, target, temperature=0.5, epochs=0)
    unit = functional.normalize(x, dim=1)
    others = (unit @ unit.t() / 0.5).masked_fill(torch.eye(80) > 0, -torch.inf)
    torch.testing.assert_close(start, others.softmax(dim=1))

    torch.manual_seed(0)
    learned = learn(x, target, temperature=0.5, epochs=30)
    torch.testing.assert_close(learned.sum(dim=1), torch.ones(80))
    same = target @ target.t()
    assert (learned * same).sum(dim=1).mean() > (start * same).sum(dim=1).mean() + 0.1


@pytest.mark.parametrize("rounds", [0, 2])
def test_predictions_come_from_labels_of_training_nodes_alone(
    modules: dict[str, ModuleType], data: dict[str, Any], rounds: int
) -> None:
    def predict(changed: str) -> list[int]:
        truth = data["truth"].clone()
        truth[data[changed]] = 1 - truth[data[changed]]
        split = modules["node_splits"].hide_labels(**{**data, "truth": truth})
        torch.manual_seed(0)
        system = modules["node_label_propagation"].label_propagation
        found: list[int] = system(split.problem, rounds=rounds, **SETTINGS).predicted.tolist()
        return found

    assert predict("test") == predict("validation") != predict("train")


def test_learned_weights_find_the_feature_that_tells(modules: dict[str, ModuleType]) -> None:
    system = modules["node_label_propagation"].label_propagation
    gains = []
    for seed in range(4):
        split = modules["node_splits"].hide_labels(**two_classes(seed))
        torch.manual_seed(0)
        learned, fixed = (system(split.problem, rounds=n, **SETTINGS).predicted for n in (2, 0))
        right = [(found == split.truth)[split.test].float().mean() for found in (learned, fixed)]
        gains.append(right[0] - right[1])
    assert torch.stack(gains).mean() > 0.03
