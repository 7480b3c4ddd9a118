"""What a run shows: the table of its rows, and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from gnnreloc.data import Corpus, Pair
from gnnreloc.evaluation import Evaluation
from gnnreloc.evaluation.protocol import localize_pair
from gnnreloc.models import GraphRelocalizer, Moments, Relocalizer
from gnnreloc.plotting import (
    TimelineCase,
    plot_adjacency,
    plot_recall_over_tiou,
    plot_timelines,
    plot_training,
    save_figure,
)
from gnnreloc.report import TableRow
from gnnreloc.transforms import khop_adjacency

COLUMNS = ("0.5", "0.6", "0.7", "0.8", "0.9")
HEADER = [*(f"R@1 {level}" for level in COLUMNS), "mean", "R@5 0.5", "mIoU"]
CAPTION = "R@1: share of pairs whose first prediction has a tIoU above the column's"


def print_table(metrics: Mapping[str, Any], *, unseen_classes: bool = True) -> None:
    """Print the run's row among the rows that it must be read with."""
    console = Console(width=None if Console().is_terminal else 110)
    table = Table(
        # Without padding on the right, the figures fit into a terminal of 80 columns uncut.
        padding=(0, 1) if console.width > 96 else (0, 0, 0, 1),
        title=f"{run_title(metrics, unseen_classes)}, protocol open",
        caption=CAPTION,
    )
    table.add_column("system", no_wrap=True)
    for name in HEADER:
        table.add_column(name, justify="right", min_width=5)
    for row in table_rows(metrics):
        if row.ruled:
            table.add_section()
        style = "bold" if row.bold else "dim" if row.cells[0] in metrics["baselines"] else None
        table.add_row(*row.cells, style=style)
    console.print(table)


def table_rows(metrics: Mapping[str, Any]) -> list[TableRow]:
    """The lines of the table: baselines, checks, and at last the run's own system."""
    rows = [TableRow([name, *_cells(summary)]) for name, summary in metrics["baselines"].items()]
    own = _cells(metrics)
    checks = []
    if metrics["wrong_class_query"] is not None:
        checks.append(("wrong-class query", _cells(metrics["wrong_class_query"])))
    for title, view in (("filtered (leaks)", "filtered"), ("before refinement", "unrefined")):
        cells = _cells(metrics[view])
        if cells != own:  # else the system gives moments of its own, or does not refine
            checks.append((title, cells))
    checks.append((metrics["system"], own))
    last = len(checks) - 1
    return rows + [
        TableRow([name, *cells], ruled=place == 0, bold=place == last)
        for place, (name, cells) in enumerate(checks)
    ]


def recall_curves(metrics: Mapping[str, Any]) -> dict[str, dict[float, float]]:
    """R@1 by tIoU threshold of every row."""
    rows = {name: summary["r1"] for name, summary in metrics["baselines"].items()}
    if metrics["wrong_class_query"] is not None:
        rows |= {"wrong_class_query": metrics["wrong_class_query"]["r1"]}
    rows |= {metrics["system"]: metrics["r1"]}
    return {name: {float(level): value for level, value in r1.items()} for name, r1 in rows.items()}


def run_title(metrics: Mapping[str, Any], unseen_classes: bool) -> str:
    """Data set, split, seed and number of pairs."""
    kind = "unseen classes" if unseen_classes else "classes seen in training, in unseen videos"
    return (
        f"{metrics['dataset']}, split {metrics['split']}, seed {metrics['seed']}: "
        f"{metrics['pairs']} pairs of {kind}"
    )


def _cells(summary: Mapping[str, Any]) -> list[str]:
    values = [summary["r1"][level] for level in COLUMNS]
    return [
        f"{v:.3f}" for v in [*values, summary["r1_mean"], summary["r5"]["0.5"], summary["miou"]]
    ]


def write_figures(
    folder: Path,
    model: Relocalizer,
    corpus: Corpus,
    pairs: Sequence[Pair],
    result: Evaluation,
    metrics: Mapping[str, Any],
    log: pd.DataFrame | None,
) -> None:
    """Training curves, R@1 over tIoU, adjacency matrices, timelines of good and bad cases."""
    if log is not None:
        save_figure(plot_training(log), folder / "training.png")
    title = run_title(metrics, corpus.unseen_classes)
    figure = plot_recall_over_tiou(recall_curves(metrics), highlight=metrics["system"], title=title)
    save_figure(figure, folder / "recall.png")

    overlaps = result.predictions["tiou"].tolist()
    ranked = sorted(range(len(pairs)), key=lambda pair: -overlaps[pair])
    if isinstance(model, GraphRelocalizer):
        best = pairs[ranked[len(ranked) // 10]]
        candidate = localize_pair(model, corpus, best).candidates[:1]
        surroundings = " with its surroundings" if model.context else ""
        figure = plot_adjacency(
            adjacency_matrices(model, corpus, best, candidate),
            timesteps=model.timesteps,
            title=f"query and top proposal{surroundings} of one pair: {best.label}",
        )
        save_figure(figure, folder / "adjacency.png")
    chosen = [ranked[int(share * (len(ranked) - 1))] for share in (0.1, 0.3, 0.6, 0.95)]
    cases = [
        timeline_case(corpus, pairs[i], localize_pair(model, corpus, pairs[i]), overlaps[i])
        for i in dict.fromkeys(chosen)
    ]
    save_figure(plot_timelines(cases, title=title), folder / "timelines.png")


def adjacency_matrices(
    model: GraphRelocalizer, corpus: Corpus, pair: Pair, candidate: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The learned adjacency of a pair (where there is one) and the fixed ones beside it.

    Args:
        model: the system.
        corpus: the data set.
        pair: query and reference.
        candidate: start and end of a candidate in seconds, ``[1, 2]``.
    """
    query = corpus.features[pair.query_video].slice(*pair.query_segment)
    model = copy(model)
    model.backend = "dense"  # same numbers as edge-wise, and it keeps the matrix
    with torch.no_grad():
        out = model(model.pair_graphs(query, corpus.features[pair.reference], candidate))
    learned = {} if out.adjacency is None else {"learned": out.adjacency[0]}
    return learned | {f"k={k}": khop_adjacency(model.timesteps, k) for k in (1, 2, 3)}


def timeline_case(corpus: Corpus, pair: Pair, moments: Moments, overlap: float) -> TimelineCase:
    """One pair as a drawing: query, truth, prediction, candidates shaded by score."""
    start, end = pair.query_segment
    return TimelineCase(
        title=f"{pair.label} in {pair.reference}",
        query_label=pair.query_label,
        query_duration=end - start,
        duration=corpus.features[pair.reference].duration,
        truth=pair.targets,
        prediction=moments.segments[0],
        score=float(moments.scores[0]),
        overlap=overlap,
        proposals=moments.candidates,
        proposal_scores=moments.scores,
    )
