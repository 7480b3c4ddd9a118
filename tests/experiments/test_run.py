"""One system, end to end: what a run leaves behind, and with which options it ran."""

from __future__ import annotations

import inspect
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import matplotlib.image
import pandas as pd
import pytest
import yaml

from gnnreloc.data import evaluation_pairs, wrong_class_pairs
from gnnreloc.datasets import synthetic
from gnnreloc.evaluation import evaluate
from gnnreloc.models import create_model, list_models, model_builder
from gnnreloc.training import Trainer, load_checkpoint

RECIPES = Path(__file__).parents[2] / "experiments" / "recipes"
LEVELS = ["0.5", "0.6", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95"]
RANKERS = ("random_proposal", "longest_proposal", "training_free")
FIGURES = ("training", "recall", "adjacency", "timelines")


def read_metrics(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def read_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return config


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def leaves(options: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options.items():
        inner = leaves(value, f"{name}.") if isinstance(value, dict) else {name: value}
        found |= {prefix + key: item for key, item in inner.items()}
    return found


def test_leaves_the_documented_files_and_no_others(finished):
    folder, outcome = finished
    assert outcome.status == 0
    assert outcome.err == ""
    files = set(contents(folder))
    events = {name for name in files if name.startswith("events.out.tfevents.")}
    assert len(events) == 1
    assert files - events == {
        *("config.yaml", "metrics.json", "predictions.csv", "log.csv", "checkpoint/last.pt"),
        "report.html",
        *(f"figures/{name}.png" for name in FIGURES),
    }
    for name in FIGURES:
        height, width, _ = matplotlib.image.imread(folder / "figures" / f"{name}.png").shape
        assert min(height, width) > 200


def test_metrics_have_every_documented_key_in_range(finished):
    metrics = read_metrics(finished[0])
    assert set(metrics) >= {
        *("system", "recipe", "dataset", "proposals", "pca", "split", "seed", "pairs"),
        *("r1", "r1_mean", "r5", "miou", "unrefined", "filtered"),
        *("baselines", "wrong_class_query", "seconds", "parameters", "versions"),
        "config",
    }
    assert (metrics["system"], metrics["dataset"]) == ("dynamic_tuned", "synthetic")
    assert (metrics["recipe"], metrics["proposals"]) == ("tuned", "dataset")
    assert (metrics["split"], metrics["seed"]) == (0, 0)
    baselines = metrics["baselines"]
    assert set(baselines) == {"chance", "whole_reference", "oracle", *RANKERS}
    for row in (metrics, metrics["unrefined"], metrics["wrong_class_query"], *baselines.values()):
        first, five = ([row[key][level] for level in LEVELS] for key in ("r1", "r5"))
        assert list(row["r1"]) == list(row["r5"]) == LEVELS
        assert all(0 <= one <= some <= 1 for one, some in zip(first, five, strict=True))
        assert first == sorted(first, reverse=True)
        assert five == sorted(five, reverse=True)
        levels = ("0.5", "0.6", "0.7", "0.8", "0.9")
        assert row["r1_mean"] == pytest.approx(sum(row["r1"][level] for level in levels) / 5)
        assert 0 <= row["miou"] <= 1
    # No order of the same proposals does better than the oracle's.
    for row in (metrics["unrefined"], *(baselines[name] for name in RANKERS)):
        assert row["miou"] <= baselines["oracle"]["miou"]
        assert all(row["r1"][level] <= baselines["oracle"]["r1"][level] for level in LEVELS)
    assert all(metrics["seconds"][phase] > 0 for phase in ("train", "evaluate"))


def test_metrics_say_what_was_run(finished):
    folder, _ = finished
    metrics, config = read_metrics(folder), read_config(folder)
    assert metrics["config"] == config
    assert config["data"]["train_videos"] == 6
    assert config["epochs"] == 2
    corpus = synthetic(train_videos=6, validation_videos=4, test_videos=4)
    assert metrics["pairs"] == len(evaluation_pairs(corpus, "test", **config["evaluation"]))
    weights = load_checkpoint(folder / "checkpoint" / "last.pt")["model"]
    assert metrics["parameters"] == sum(weight.numel() for weight in weights.values())
    for package, name in (("gnnreloc", "gnnreloc"), ("torch_geometric", "torch-geometric")):
        assert metrics["versions"][package] == metadata.version(name)
    assert {"python", "torch", "numpy"} < set(metrics["versions"])


def test_predictions_give_the_metrics_again(finished):
    folder, _ = finished
    table, metrics = pd.read_csv(folder / "predictions.csv"), read_metrics(folder)
    columns = ["video", "start", "end", "score", "true_start", "true_end", "tiou"]
    assert list(table.columns[: len(columns)]) == columns
    assert len(table) == metrics["pairs"]
    shared = table[["end", "true_end"]].min(axis=1) - table[["start", "true_start"]].max(axis=1)
    shared = shared.clip(lower=0)
    either = (table["end"] - table["start"]) + (table["true_end"] - table["true_start"]) - shared
    assert table["tiou"].to_list() == pytest.approx((shared / either).to_list(), abs=1e-12)
    assert metrics["miou"] == pytest.approx(table["tiou"].mean())
    assert metrics["r1"] == {level: (table["tiou"] > float(level)).mean() for level in LEVELS}
    moments = synthetic(train_videos=6, validation_videos=4, test_videos=4).subset("test")
    known = set(moments[["video", "start", "end", "label"]].itertuples(index=False, name=None))
    found = table[["video", "true_start", "true_end", "label"]]
    assert set(found.itertuples(index=False, name=None)) <= known
    assert (table["video"] != table["query_video"]).all()


def test_checkpoint_gives_the_metrics_again(finished):
    folder, _ = finished
    metrics, config = read_metrics(folder), read_config(folder)
    corpus = synthetic(train_videos=6, validation_videos=4, test_videos=4)
    own = {name: config[name] for name in ("hops", "layers", "encoder")}
    model = create_model(
        config["system"], in_channels=corpus.num_channels, **own, **config["model"]
    )
    model.load_state_dict(load_checkpoint(folder / "checkpoint" / "last.pt")["model"])
    right = evaluation_pairs(corpus, "test", **config["evaluation"])
    wrong = wrong_class_pairs(corpus, "test", right)
    for pairs, kind, written in (
        (right, "summary", metrics),
        (right, "unrefined", metrics["unrefined"]),
        (wrong, "summary", metrics["wrong_class_query"]),
    ):
        figures = getattr(evaluate(model, corpus, pairs), kind)
        assert figures["r1"] == written["r1"] and figures["r5"] == written["r5"]
        assert figures["miou"] == pytest.approx(written["miou"])
    # What is logged on the way comes from the validation classes, never from those of the test.
    held_out = evaluation_pairs(corpus, "validation", queries=30, references_per_query=1)
    logged = pd.read_csv(folder / "log.csv")["validation_miou"].iloc[-1]
    assert logged == pytest.approx(evaluate(model, corpus, held_out).summary["miou"])


def test_log_has_a_row_an_epoch_and_the_table_every_system(finished):
    folder, outcome = finished
    log = pd.read_csv(folder / "log.csv")
    assert log["epoch"].to_list() == [1, 2]
    assert log.drop(columns=[c for c in log if "validation" in c]).notna().all(axis=None)
    assert log.iloc[-1].notna().all()  # validation comes last at the latest
    assert {"ranking", "regression", "validation_miou"} < set(log.columns)
    metrics = read_metrics(folder)
    for name in (metrics["system"], *metrics["baselines"], "wrong-class query"):
        assert f"│ {name} " in outcome.out
    assert str(folder) in outcome.out


def test_config_of_a_run_repeats_it(finished, script):
    folder, _ = finished
    assert script.call("--config", folder / "config.yaml", "--out", "again").status == 0
    first, again = read_metrics(folder), read_metrics(Path("again"))
    del first["seconds"], again["seconds"]
    assert again == first
    assert read_config(Path("again")) == read_config(folder)
    assert Path("again/predictions.csv").read_bytes() == (folder / "predictions.csv").read_bytes()


@pytest.mark.parametrize("recipe", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_recipe_overrides_defaults_and_nothing_else(script, recipe):
    stated = leaves(yaml.safe_load((RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8")))
    # A recipe is that of the graphs, or of the system whose name it has.
    system = recipe if recipe in list_models() else "dynamic"
    build, _ = model_builder(system)
    options = script.options("--recipe", recipe, "--system", system)
    for group, owner in (("model", build), ("training", Trainer)):
        for name, parameter in inspect.signature(owner).parameters.items():
            if f"{group}.{name}" in options and f"{group}.{name}" not in stated:
                assert options[f"{group}.{name}"] == parameter.default
    for name in stated.keys() - {"training.optimizers"}:
        assert options[name] == stated[name]
    assert options.recipe == recipe


@pytest.mark.parametrize("file_first", [True, False])
def test_file_overrides_recipe_and_command_line_overrides_file(script, file_first):
    paper = yaml.safe_load((RECIPES / "paper.yaml").read_text(encoding="utf-8"))
    Path("mine.yaml").write_text("recipe: paper\nlayers: 2\nmodel: {timesteps: 7, dropout: 0.25}\n")
    parts = [("--config", "mine.yaml"), ("--model.timesteps", "9", "--layers", "3")]
    options = script.options(*(item for part in parts[:: 1 if file_first else -1] for item in part))
    assert options.recipe == "paper"
    assert options.training.margin == paper["training"]["margin"]
    assert options.model.convolution == paper["model"]["convolution"]
    assert options.model.dropout == 0.25
    assert (options.layers, options.model.timesteps) == (3, 9)


def test_later_files_override_earlier_ones(script):
    Path("first.yaml").write_text("recipe: paper\nlayers: 2\nseed: 4\n")
    Path("second.yaml").write_text("seed: 5\n")
    options = script.options("--config", "first.yaml", "--config=second.yaml")
    assert (options.recipe, options.layers, options.seed) == ("paper", 2, 5)
    assert options.training.sampling == "triplets"


def test_recipe_paper_runs_with_the_published_values(script):
    outcome = script.tiny("--recipe", "paper", "--model.timesteps", "40", "--out", "paper")
    assert (outcome.status, outcome.err) == (0, "")
    config = read_config(Path("paper"))
    model, training = config["model"], config["training"]
    assert (config["encoder"], config["layers"], model["convolution"]) == ("lstm", 1, "aggregate")
    assert (model["pooling"], model["bounded_score"], model["support"]) == ("mean", True, "all")
    assert (model["activation"], model["normalization"], model["temperature"]) == (
        "none",
        "none",
        1,
    )
    assert (training["sampling"], training["negatives"]) == ("triplets", "other_class")
    assert (training["batch_size"], training["margin"]) == (32, 0.5)
    steps = {
        (*entry["parameters"], *entry["losses"], entry["kind"], entry["schedule"]): entry["lr"]
        for entry in training["optimizers"]
    }
    assert steps == {
        ("rest", "triplet", "adam", "constant"): 1e-4,
        ("adjacency", "sparsity", "adam", "constant"): 1e-2,
        ("regression", "regression", "adam", "constant"): 1e-1,
    }
    # 5e-3 times the squared norm has the gradient 1e-2 times the weights.
    assert [entry["weight_decay"] for entry in training["optimizers"]] == [1e-2, 0, 0]
    published = script.options("--recipe", "paper")
    assert (published.epochs, published.model.timesteps) == (64, 40)
    log = pd.read_csv("paper/log.csv")
    assert {"triplet", "sparsity", "regression", "lr_0", "lr_1", "lr_2"} < set(log.columns)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--graph", "khop", "--hops", "1", "2", "--layers", "2"], "khop_n2_k12"),
        (["--graph", "khop", "--encoder", "cnn"], "khop_cnn_n1_k1"),
        (["--graph", "complete", "--encoder", "lstm"], "complete"),
        (["--graph", "identity", "--encoder", "bilstm"], "identity"),
        (["--graph", "hybrid", "--hops", "1", "3", "--model.backend", "edge"], "hybrid_tuned"),
        (["--graph", "dynamic", "--encoder", "cnn", "--recipe", "paper"], "dynamic_paper"),
    ],
)
def test_runs_every_graph_and_encoder_under_its_name(script, arguments, name):
    outcome = script.tiny("--epochs", "1", *arguments)
    assert (outcome.status, outcome.err) == (0, "")
    metrics = read_metrics(Path(f"runs/{name}-synthetic-split0-seed0"))
    assert (metrics["system"], metrics["config"]["system"]) == (name, arguments[1])


@pytest.mark.parametrize("graph", ["dynamic", "khop"])
def test_edge_wise_run_gives_the_numbers_of_the_dense_one(script, graph):
    for backend in ("dense", "edge"):
        arguments = ("--graph", graph, "--model.backend", backend, "--model.dropout", "0")
        assert script.tiny(*arguments, "--out", backend).status == 0
    tables = [pd.read_csv(f"{backend}/predictions.csv") for backend in ("dense", "edge")]
    pd.testing.assert_frame_equal(*tables, atol=1e-3)


def test_runs_on_files_of_the_user(script, fir_root):
    small = ("--epochs", "1", "--training.samples", "4", "--evaluation.queries", "3")
    outcome = script.call("--dataset", "fir", "--root", fir_root(), *small, "--split", "1")
    assert (outcome.status, outcome.err) == (0, "")
    assert "seen in training" in outcome.out
    metrics = read_metrics(Path("runs/dynamic_tuned-fir-split1-seed0"))
    assert (metrics["dataset"], metrics["split"]) == ("fir", 1)


def test_help_names_every_option(script):
    outcome = script.call("--help")
    assert (outcome.status, outcome.err) == (0, "")
    options = (
        *("system", "hops", "layers", "encoder", "dataset", "proposals", "root", "recipe"),
        *("split", "seed", "only_metrics", "pca"),
        *("epochs", "device", "out", "resume", "config", "model.timesteps", "training.samples"),
        *("data.noise", "evaluation.queries"),
    )
    for option in options:
        assert f"  --{option}" in outcome.out
    assert all(f"{name}," in outcome.out for name in ("chance", "khop_n2_k12", "dynamic"))
    assert not any(markup in outcome.out for markup in (":class:", "``", "Literal["))
    assert "python experiments/run.py --graph khop --hops 1 2 3" in outcome.out
