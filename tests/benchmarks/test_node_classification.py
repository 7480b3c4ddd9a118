"""The node-classification benchmark: hidden labels, classifiers and the command."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.nn import GCNConv

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = ("node_classification", "node_classifiers", "node_splits", "node_table")
#: The systems for data without a given graph.
TABULAR = (
    *("logistic_regression", "mlp", "gcn_knn", "fixed", "learned"),
    *("propagation_fixed", "propagation"),
)


class Scripts:
    """The benchmark and its neighbours as modules."""

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        self.command, self.classifiers, self.splits, self.table = map(modules.__getitem__, NAMES)


@pytest.fixture(scope="module")
def scripts(modules: dict[str, ModuleType]) -> Scripts:
    """The scripts of node classification, by what they are for."""
    return Scripts(modules)


@pytest.fixture(scope="module")
def clouds() -> dict[str, Any]:
    """Three clouds of 20 nodes, with a ring for a graph, and which nodes are for what."""
    generator = torch.Generator().manual_seed(3)
    truth = torch.arange(60) % 3
    x = torch.randn(60, 5, generator=generator) + 4 * functional.one_hot(truth, 5)
    ring = torch.stack([torch.arange(60), (torch.arange(60) + 3) % 60])
    return {
        "x": x,
        "truth": truth,
        "train": torch.arange(9),
        "validation": torch.arange(9, 21),
        "test": torch.arange(21, 60),
        "edge_index": torch.cat([ring, ring.flip(0)], dim=1),
    }


def with_other_tests(clouds: dict[str, Any]) -> dict[str, Any]:
    """The same clouds, where every test node is of another class."""
    truth = clouds["truth"].clone()
    truth[clouds["test"]] = (truth[clouds["test"]] + 1) % 3
    return clouds | {"truth": truth}


# Nothing is learned from the labels of test nodes


def test_problem_holds_labels_of_training_and_validation_nodes_only(
    scripts: Scripts, clouds: dict[str, Any]
) -> None:
    split = scripts.splits.hide_labels(**clouds)
    assert split.problem.labels[:21].tolist() == clouds["truth"][:21].tolist()
    assert (split.problem.labels[21:] == -1).all()


@pytest.mark.parametrize("system", [*TABULAR, "gcn_given"])
@pytest.mark.parametrize("kind", ["tabular", "citation"])
def test_other_labels_of_test_nodes_change_no_prediction(
    scripts: Scripts, clouds: dict[str, Any], system: str, kind: str
) -> None:
    found = []
    for options in scripts.command.SETTINGS[system][kind]:
        epochs = {} if system == "logistic_regression" else {"epochs": 12}
        for data in (clouds, with_other_tests(clouds)):
            torch.manual_seed(0)
            problem = scripts.splits.hide_labels(**data).problem
            found.append(scripts.command.SYSTEMS[system](problem, **options, **epochs))
        assert torch.equal(found[-1].predicted, found[-2].predicted)
        assert found[-1][1:] == found[-2][1:]
    # Labels of training nodes do change it, or the above would say nothing.
    if found:
        problem = scripts.splits.hide_labels(**clouds).problem
        turned = problem._replace(labels=(problem.labels + 1) % 3)
        torch.manual_seed(0)
        other = scripts.command.SYSTEMS[system](turned, **options, **epochs)
        assert not torch.equal(other.predicted, found[-1].predicted)


# The 40 neighbours of the system left out are two thirds of these nodes.
@pytest.mark.parametrize("system", [name for name in TABULAR if name != "propagation_fixed"])
def test_systems_tell_clouds_apart(scripts: Scripts, clouds: dict[str, Any], system: str) -> None:
    split = scripts.splits.hide_labels(**clouds)
    row = scripts.command.run("wine", system, 0, split, 100)
    assert row["test"] > 0.9
    assert row["validation"] > 0.9


# Classifiers


def test_feature_layer_is_a_linear_layer_of_sparse_features(scripts: Scripts) -> None:
    layer = scripts.classifiers.FeatureLayer(4, 3, dropout=0.5).eval()
    x = torch.tensor([[0.0, 1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    expected = functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x.to_sparse().coalesce()), expected)


def test_node_dropout_drops_whole_nodes(scripts: Scripts) -> None:
    layer = scripts.classifiers.FeatureLayer(4, 3, dropout=0.0, node_dropout=0.5)
    x = torch.ones(200, 4)
    torch.manual_seed(0)
    out = layer(x.to_sparse().coalesce()) - layer.bias
    kept = out.abs().sum(dim=1) > 0
    assert 60 < int(kept.sum()) < 140
    torch.testing.assert_close(out[kept], 2 * (x @ layer.weight.t())[kept])


def test_graph_convolutional_network_is_that_of_pyg(
    scripts: Scripts, clouds: dict[str, Any]
) -> None:
    problem = scripts.splits.hide_labels(**clouds).problem
    ours = scripts.classifiers.GraphConvolutionalNetwork(5, 3, hidden=8).eval()
    first, second = GCNConv(5, 8), GCNConv(8, 3)
    for theirs, mine in ((first, ours.first), (second, ours.second)):
        theirs.lin.weight.data.copy_(mine.weight)
        # PyG adds the bias after the propagation, ours before it: the same for none.
        mine.bias.data.zero_()
    graph = scripts.classifiers.weighted_graph(problem, None)
    h = first(clouds["x"], clouds["edge_index"]).relu()
    expected = second(h, clouds["edge_index"])
    torch.testing.assert_close(ours(problem.x, *graph), expected)


def dense_weights(edge_index: Tensor, weight: Tensor) -> Tensor:
    """The matrix of a graph, where row i receives from column j."""
    matrix = torch.zeros(60, 60)
    matrix[edge_index[1], edge_index[0]] = weight
    return matrix


@pytest.mark.parametrize("compare", ["features", "predictions"])
def test_learned_propagation_by_matrices(
    scripts: Scripts, clouds: dict[str, Any], compare: str
) -> None:
    problem = scripts.splits.hide_labels(**clouds).problem
    graph = scripts.classifiers.weighted_graph(problem, 5)
    torch.manual_seed(0)
    model = scripts.classifiers.LearnedPropagation(
        5, 3, compare=compare, mix=0.25, temperature=0.5, steps=4, teleport=0.2
    ).eval()
    given = dense_weights(*graph)

    def propagate(logits: Tensor, matrix: Tensor) -> Tensor:
        h = logits
        for _ in range(4):
            h = 0.8 * matrix @ h + 0.2 * logits
        return h

    logits = clouds["x"] @ model.predict.weight.t() + model.predict.bias
    if compare == "features":
        nodes = functional.linear(clouds["x"], *model.adjacency.phi.parameters())
    else:
        nodes = propagate(logits, given).softmax(dim=1)
    unit = functional.normalize(nodes, dim=1)
    score = (unit @ unit.t() / 0.5).masked_fill(given == 0, -torch.inf)
    expected = propagate(logits, 0.25 * given + 0.75 * score.softmax(dim=1))
    torch.testing.assert_close(model(problem.x, *graph), expected, atol=1e-5, rtol=1e-4)


def test_nearest_neighbours_are_undirected(scripts: Scripts, clouds: dict[str, Any]) -> None:
    problem = scripts.splits.hide_labels(**clouds).problem
    matrix = dense_weights(*scripts.classifiers.weighted_graph(problem, 5))
    assert torch.equal(matrix, matrix.t())
    assert (matrix.diagonal() > 0).all()
    assert ((matrix > 0).sum(dim=1) >= 6).all()


def test_inconsistency_by_hand(scripts: Scripts) -> None:
    passes = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.4]])]
    # Their mean (0.8, 0.2) becomes (0.64, 0.04) / 0.68 = (16, 1) / 17.
    expected = ((1 / 17) ** 2 * 2 + (16 / 17 - 0.6) ** 2 * 2) / 2
    found = scripts.classifiers.inconsistency(passes, 2.0)
    assert found.item() == pytest.approx(expected)


def test_training_needs_an_epoch(scripts: Scripts, clouds: dict[str, Any]) -> None:
    problem = scripts.splits.hide_labels(**clouds).problem
    with pytest.raises(ValueError, match="'epochs' must be positive"):
        scripts.classifiers.perceptron(problem, hidden=4, epochs=0)


# The command


def test_a_run_takes_the_setting_with_the_least_validation_loss(
    scripts: Scripts, clouds: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    split = scripts.splits.hide_labels(**clouds)

    def stub(problem: Any, *, loss: float, epochs: int) -> Any:
        predicted = split.truth.clone()
        predicted[split.test[: int(10 * loss)]] = -1
        return scripts.classifiers.Fitted(predicted, 1 - loss, loss)

    listed = [{"loss": 0.9}, {"loss": 0.3}, {"loss": 0.6}]
    monkeypatch.setitem(scripts.command.SYSTEMS, "mlp", stub)
    monkeypatch.setitem(scripts.command.SETTINGS, "mlp", {"tabular": listed})
    row = scripts.command.run("wine", "mlp", 0, split, 1)
    assert json.loads(row["options"]) == {"loss": 0.3, "epochs": 1}
    assert row["validation"] == pytest.approx(0.7)
    assert row["test"] == pytest.approx(36 / 39)


def test_commit_tells_of_changed_code(scripts: Scripts, tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks"
    (folder / "results").mkdir(parents=True)
    assert scripts.command.commit(folder) == ""
    (folder / "script.py").write_text("1")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    clean = scripts.command.commit(folder)
    assert len(clean) == 7
    (folder / "results" / "rows.csv").write_text("a row")
    assert scripts.command.commit(folder) == clean
    (folder / "new.py").write_text("2")
    assert scripts.command.commit(folder) == f"{clean}+dirty"


def test_quick_run_is_kept_and_tabulated(
    scripts: Scripts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert scripts.command.main(["--quick"]) == 0
    out = tmp_path / "runs" / "node_classification.csv"
    rows = pd.read_csv(out)
    assert list(rows.columns) == scripts.command.COLUMNS
    assert sorted(rows.groupby("system").size().items()) == [
        (system, 2) for system in sorted(TABULAR)
    ]
    assert rows[["validation", "test"]].apply(lambda column: column.between(0, 1)).all(axis=None)
    shown = capsys.readouterr().out
    assert scripts.table.table(rows) in shown
    assert scripts.table.table(rows) in out.with_suffix(".md").read_text("utf-8")

    before = out.read_bytes()
    assert scripts.command.main(["--quick"]) == 0
    assert scripts.command.main(["--table", "--out", str(out)]) == 0
    assert out.read_bytes() == before


def test_stopped_run_goes_on(scripts: Scripts, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    command = ["--datasets", "wine", "--systems", "mlp", "--epochs", "8", "--out", str(out)]
    assert scripts.command.main([*command, "--seeds", "1"]) == 0
    first = out.read_text()
    assert scripts.command.main([*command, "--seeds", "2"]) == 0
    assert out.read_text().startswith(first)
    assert pd.read_csv(out)["seed"].tolist() == [0, 1]


def test_graphs_are_left_out_without_their_files(
    scripts: Scripts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.csv"
    command = ["--datasets", "cora", "wine", "citeseer", "--systems", "logistic_regression"]
    assert scripts.command.main([*command, "--seeds", "1", "--out", str(out)]) == 0
    assert "left out without --planetoid: cora, citeseer" in capsys.readouterr().out
    assert set(pd.read_csv(out)["dataset"]) == {"wine"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--datasets", "iris"], "iris"),
        (["--frobnicate"], "unknown option --frobnicate"),
        (["--seeds", "0"], "--seeds: wanted at least 1, found 0"),
        (["--epochs", "-3"], "--epochs: wanted at least 1, found -3"),
        (["--planetoid", "nowhere", "--datasets", "cora"], "nowhere/cora/raw/ind.cora.x"),
        (["--table", "--out", "absent.csv"], "absent.csv: no finished run in it"),
    ],
)
def test_bad_input_is_one_line(
    scripts: Scripts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert scripts.command.main([*arguments, "--out", "absent.csv"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_foreign_csv_is_named(
    scripts: Scripts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "other.csv"
    foreign.write_text("a,b\n1,2\n")
    assert scripts.command.main(["--table", "--out", str(foreign)]) == 2
    assert f"{foreign}: wanted the columns dataset,system" in capsys.readouterr().err
    assert foreign.read_text() == "a,b\n1,2\n"
