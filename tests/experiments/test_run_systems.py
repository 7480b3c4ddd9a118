"""Every system of the tables, run by its name; options that do not fit it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

RECIPES = Path(__file__).parents[2] / "experiments" / "recipes"


def read_metrics() -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads(Path("run/metrics.json").read_text(encoding="utf-8"))
    return metrics


DATA = (*("--data.train_videos", "6", "--data.validation_videos", "4", "--data.test_videos", "4"),)
SHORT = ("--epochs", "1", "--training.samples", "4")
SYSTEMS = {
    **dict.fromkeys(("chance", "oracle", "longest_proposal", "training_free", "frame_level"), ()),
    **dict.fromkeys(("video_level", "aft_srm", "khop_n2_k12", "khop_cnn_n1_k1"), SHORT),
    **dict.fromkeys(("sst", "cross_gated_bilinear"), SHORT),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_any_system_runs_by_its_name(script, name):
    arguments = ("--system", name, *DATA, *SYSTEMS[name], "--evaluation.queries", "3")
    outcome = script.call(*arguments, "--only_metrics", "true", "--out", "run")
    assert (outcome.status, outcome.err) == (0, "")
    metrics, table = read_metrics(), pd.read_csv("run/predictions.csv")
    assert (metrics["system"], metrics["config"]["system"]) == (name, name)
    assert metrics["baselines"] == {} and not Path("run/figures").exists()
    trained = bool(SYSTEMS[name])
    own = name if (RECIPES / f"{name}.yaml").exists() else "tuned"
    assert metrics["recipe"] == (own if trained else "")
    assert (metrics["parameters"] > 0) == (metrics["seconds"]["train"] > 0) == trained
    asked = metrics["wrong_class_query"] is not None
    assert asked == (name not in ("chance", "oracle", "longest_proposal"))
    again = {"tiou": metrics, "tiou_unrefined": metrics["unrefined"]}
    again |= {"tiou_filtered": metrics["filtered"]}
    again |= {"tiou_filtered_unrefined": metrics["filtered"]["unrefined"]}
    for column, summary in again.items():
        if name != "chance":  # which is asked many times a pair
            assert summary["miou"] == pytest.approx(table[column].mean())
    if name not in ("chance", "sst", "cross_gated_bilinear", "frame_level"):
        kept = (table["tiou_filtered_unrefined"] < 0.3) | (table["tiou_filtered_unrefined"] >= 0.7)
        assert kept.all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--system dynamic --graph khop", "--graph is short for --system: found khop and dynamic"),
        ("--system chance --recipe paper", "chance is not trained: it has no --recipe paper"),
        ("--system video_level --recipe paper", "recipe 'paper' is not for video_level"),
        ("--system khop_cnn_n1_k1 --recipe paper", "it sets encoder, which khop_cnn_n1_k1 has not"),
        ("--system khop_n2_k12 --layers 3", "unrecognized arguments: --layers 3"),
        ("--proposals windws", "--proposals"),
    ],
)
def test_options_that_do_not_fit_the_system(script, arguments, message):
    outcome = script.call(*arguments.split())
    assert outcome.status == 2 and message in outcome.err and outcome.err.count("\n") == 1


@pytest.mark.parametrize("kind", ["tag", "windows", "sst"])
def test_proposals_are_made_anew(script, kind):
    arguments = ("--system", "oracle", *DATA, "--proposals", kind, "--out", "run")
    outcome = script.call(*arguments, "--only_metrics", "true", "--evaluation.queries", "3")
    assert (outcome.status, outcome.err) == (0, "")
    assert read_metrics()["proposals"] == kind
