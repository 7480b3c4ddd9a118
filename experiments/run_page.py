"""The page of a run, ``report.html``: its table, curves, cases and configuration in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from report import (
    CAPTION,
    COLUMNS,
    HEADER,
    adjacency_matrices,
    recall_curves,
    run_title,
    table_rows,
    timeline_case,
)
from slicings import SLICINGS, pair_properties, partition
from torch import Tensor

from gnnreloc.data import Corpus, Pair
from gnnreloc.evaluation import MEAN_THRESHOLDS, THRESHOLDS, Evaluation, paired_bootstrap
from gnnreloc.evaluation.protocol import localize_pair
from gnnreloc.models import GraphRelocalizer, Relocalizer
from gnnreloc.report import (
    LineChart,
    Listing,
    Matrices,
    Matrix,
    Page,
    Part,
    Section,
    Series,
    Table,
    TableRow,
    Timeline,
    write_page,
)

SLICE_LEVELS = (0.5, 0.7)
RESAMPLES = 2000
INTERVALS = (
    "The interval of 95 % and the band hold for this split and seed: query clips and references "
    "are drawn, both, with replacement."
)
ADJACENCY = (
    "Row i holds the weights with which timestep i receives from those of the columns; the learned "
    "graph beside the fixed ones that join steps at most k apart. Every matrix has its own scale."
)
CASES = (
    "Pairs by tIoU, equal ones by score; of the worst, the two that the system was surest of. "
    "Of the candidates the best 40, the fainter the lower their score."
)
SLICES = "R@1 on parts of the pairs, by what is known before any answer."

#: Rows of a run's table that never look at what is shown, and checks: grey in the curves.
GREY = (
    *("oracle", "longest_proposal", "whole_reference", "random_proposal", "chance"),
    "wrong_class_query",
)


def curves_over_tiou(
    rows: Mapping[str, Mapping[float, float]],
    bands: Mapping[str, Mapping[float, tuple[float, float]]],
    highlight: str | None,
    names: Mapping[str, str],
) -> LineChart:
    """R@1 over tIoU thresholds, the highlight first, then the best.

    Args:
        rows: system -> {threshold: R@1}.
        bands: system -> {threshold: (low, high)}, of some.
        highlight: the system that the page is about.
        names: of systems in the legend, where they have another one there.
    """
    order = sorted(rows, key=lambda name: (name != highlight, -np.mean([*rows[name].values()])))
    series = [
        Series(
            names.get(name, name),
            rows[name],
            {x: (max(low, 0.0), min(high, 1.0)) for x, (low, high) in bands.get(name, {}).items()},
            reference=name in GREY,
        )
        for name in order
    ]
    return LineChart(series, "tIoU threshold", "R@1, share of pairs", title="R@1 over tIoU")


def looks(rows: Mapping[str, Mapping[float, float]], highlight: str | None) -> dict[str, int]:
    """Places of the looks of the lines that are not grey: the highlight first, then the best."""
    coloured = [name for name in rows if name not in GREY]
    order = sorted(coloured, key=lambda name: (name != highlight, -np.mean([*rows[name].values()])))
    return {name: place for place, name in enumerate(order)}


def intervals(predictions: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """95 % intervals of R@1 by threshold, of their mean, and of the mean tIoU, over the pairs.

    Query clips and references are drawn, both; see
    :func:`gnnreloc.evaluation.paired_bootstrap`. NaN where all pairs have one query or reference.

    Args:
        predictions: what a system answered, a row a pair.
    """
    overlaps = predictions["tiou"].to_numpy(dtype=float)
    hits = {f"{level:g}": (overlaps > level).astype(float) for level in THRESHOLDS}
    hits["mean"] = np.mean([overlaps > level for level in MEAN_THRESHOLDS], axis=0)
    hits["miou"] = overlaps
    queries = predictions.groupby(["query_video", "query_start", "query_end"]).ngroup().to_numpy()
    references = predictions.groupby("video").ngroup().to_numpy()
    found = {}
    for name, values in hits.items():
        drawn = paired_bootstrap(values, 0.0 * values, queries, references, RESAMPLES)
        found[name] = (drawn["low"], drawn["high"])
    return found


def training_curves(log: pd.DataFrame) -> list[Part]:
    """Losses, figures on the validation classes, and learning rates over the epochs."""
    groups: dict[str, list[str]] = {"losses": [], "validation classes": [], "learning rate": []}
    for name in log.columns:
        if name in ("epoch", "step", "seconds") or not log[name].notna().any():
            continue
        kind = "validation classes" if name.startswith("validation_") else "losses"
        groups["learning rate" if name.startswith("lr") else kind].append(name)
    charts: list[Part] = []
    for title, names in groups.items():
        series = []
        for name in names:
            rows = log[log[name].notna() & np.isfinite(log[name])]
            points = dict(zip(rows["epoch"].astype(float), rows[name].astype(float), strict=True))
            if points:
                series.append(Series(name.removeprefix("validation_").replace("_", " "), points))
        if series:
            charts.append(LineChart(series, "epoch", "value", title=title))
    return charts


def slice_charts(
    pairs: pd.DataFrame,
    hits: Mapping[str, Mapping[str, Any]],
    places: Mapping[str, int] | None = None,
) -> list[Part]:
    """R@1 on slices of the pairs, a chart for each slicing that parts them.

    Args:
        pairs: with the columns of :func:`slicings.pair_properties`.
        hits: name of the values -> line -> value of each pair, ``[pairs]``; a chart a name.
        places: of the looks of the lines.
    """
    places = places or {}
    charts: list[Part] = []
    for slicing, (of, bounds) in SLICINGS.items():
        parts = partition(pairs[of], bounds)
        if len(parts) < 2 or slicing == "length ratio":
            continue
        counts = {name: int(inside.sum()) for name, inside in parts.items()}
        ticks = {float(at): f"{name} ({counts[name]})" for at, name in enumerate(parts)}
        for quantity, systems in hits.items():
            series = []
            for name, values in systems.items():
                shares = [float(values[inside].mean()) for inside in parts.values()]
                points = {float(at): share for at, share in enumerate(shares)}
                series.append(Series(name, points, place=places.get(name)))
            title = f"by {slicing.split(',')[0]}"
            charts.append(LineChart(series, "slice (pairs)", quantity, ticks, title=title))
    return charts


def chosen_cases(predictions: pd.DataFrame) -> dict[str, int]:
    """Rows of the best, the median and the worst cases, by what they show.

    Pairs are ranked by tIoU, those with the same one by score; of the worst it is the two with the
    highest scores, which the system was surest of.
    """
    ranked = predictions.sort_values(["tiou", "score"], ascending=False, kind="stable").index
    count = len(ranked)
    worst = predictions[predictions["tiou"] == predictions["tiou"].min()]
    worst = worst.sort_values("score", ascending=False, kind="stable").index
    places = {
        "best": int(ranked[0]),
        "second best": int(ranked[min(1, count - 1)]),
        "median": int(ranked[count // 2]),
        "worst, surest": int(worst[0]),
        "worst, second surest": int(worst[min(1, len(worst) - 1)]),
    }
    first: dict[int, str] = {}
    for name, place in places.items():
        first.setdefault(place, name)
    return {name: place for place, name in first.items()}


def adjacency_part(
    name: str, model: GraphRelocalizer, corpus: Corpus, pair: Pair, candidate: Tensor
) -> Matrices:
    """The adjacency matrices of a pair with a candidate ``[2]``, and the seconds of their nodes."""
    matrices = adjacency_matrices(model, corpus, pair, candidate[None])
    start, end = candidate.tolist()
    first, last = pair.query_segment
    query, proposal = model.node_seconds((first, last), (start, end))
    surroundings = " with its surroundings," if model.context else ","
    return Matrices(
        f"{name}: {pair.query_label}",
        [Matrix(title, values) for title, values in matrices.items()],
        query=query.tolist(),
        proposal=proposal.tolist(),
        text=f"Query {first:.1f} to {last:.1f} s of {pair.query_video}; proposal{surroundings} "
        f"{start:.1f} to {end:.1f} s of {pair.reference}. Upper right: received by the query "
        "from the proposal.",
    )


def case_sections(
    model: Relocalizer, corpus: Corpus, pairs: Sequence[Pair], predictions: pd.DataFrame
) -> list[Section]:
    """Adjacency matrices and timelines of the best, the median and the worst cases.

    Args:
        model: the system that was judged.
        corpus: the data set.
        pairs: the pairs that it was asked.
        predictions: what it answered, a row a pair.
    """
    adjacency: list[Part] = []
    timelines: list[Part] = []
    for name, place in chosen_cases(predictions).items():
        pair, overlap = pairs[place], float(predictions["tiou"].iloc[place])
        moments = localize_pair(model, corpus, pair)
        case = timeline_case(corpus, pair, moments, overlap)
        timelines.append(Timeline(replace(case, title=f"{name}: {case.title}")))
        if isinstance(model, GraphRelocalizer) and "second" not in name:
            adjacency.append(adjacency_part(name, model, corpus, pair, moments.candidates[0]))
    return [Section("Adjacency", adjacency, ADJACENCY), Section("Cases", timelines, CASES)]


def write_report(
    path: Path,
    model: Relocalizer,
    corpus: Corpus,
    pairs: Sequence[Pair],
    result: Evaluation,
    metrics: Mapping[str, Any],
    log: pd.DataFrame | None,
) -> None:
    """Write the page of a run.

    Args:
        path: where to.
        model: the system that was judged.
        corpus: the data set.
        pairs: the pairs that it was asked.
        result: what it answered.
        metrics: of ``metrics.json``.
        log: of the training, one row an epoch; ``None`` without any.
    """
    predictions = result.predictions
    properties = pair_properties(predictions, corpus)
    hits = {
        f"at tIoU {level:g}": (predictions["tiou"] > level).to_numpy(dtype=float)
        for level in SLICE_LEVELS
    }
    curves = recall_curves(metrics)
    rows, notes, bands = table_rows(metrics), [f"{CAPTION}."], {}
    if model.repeats == 1:  # of several answers to a pair, the predictions hold the first
        found = intervals(predictions)
        cells = [found.get(name) for name in (*COLUMNS, "mean", "r5", "miou")]
        rows.append(
            TableRow(
                ["95 % interval", *("" if c is None else f"{c[0]:.3f}-{c[1]:.3f}" for c in cells)]
            )
        )
        notes.append(INTERVALS)
        bands[metrics["system"]] = {level: found[f"{level:g}"] for level in THRESHOLDS}
    sections = [
        Section("Result", [Table(["", *HEADER], rows, notes)]),
        Section("Curves", [curves_over_tiou(curves, bands, metrics["system"], {})]),
        Section("Training", [] if log is None else training_curves(log)),
        *case_sections(model, corpus, pairs, predictions),
        Section("Slices", slice_charts(properties, {"R@1": hits}), SLICES),
        Section("Configuration", configuration(metrics)),
    ]
    title = f"{metrics['system']} on {run_title(metrics, corpus.unseen_classes)}"
    write_page(Page(title, sections=sections), path)


def configuration(metrics: Mapping[str, Any]) -> list[Part]:
    """Versions, costs and all options."""
    facts = {"parameters": f"{metrics['parameters']:,}"} if "parameters" in metrics else {}
    seconds = {f"seconds, {name}": f"{value:.0f}" for name, value in metrics["seconds"].items()}
    facts |= seconds | metrics.get("versions", {})
    rows = [TableRow([name.replace("_", " "), str(value)]) for name, value in facts.items()]
    options = yaml.safe_dump(metrics["config"], sort_keys=False)
    return [Table(["", ""], rows), Listing("All options (config.yaml)", options)]
