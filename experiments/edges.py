"""Pictures of the learned edges: a matching pair, one of another speed, and one that is none.

    python experiments/edges.py --run runs/compare/bandai/dynamic_tuned-split0-seed0 \
        --out docs/images/edges_bandai.png --root DATA/bandai_mocap

reads a finished run of a learned graph and draws what its model sees of three pairs. No pair is
chosen by its picture, but all by this rule:

1. same speed: of the test pairs that the run found (tIoU of at least .5), with lengths of query and
   moment that differ by less than 1.2 times, the one with the median score;
2. other speed: the same among lengths that differ by 1.5 times or more;
3. other class: the moment of the first with the query of another class that the run was asked for
   as its wrong-class check.

The proposal is the true moment itself; the score is that which the model gives it. Exit status: 0,
or 1 if the figure cannot be written, 2 for bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from compare import OneLineParser
from finished_run import FinishedRun, load_run
from gather import KEYS, read_run
from options import fail
from pandas.api.types import is_numeric_dtype

from gnnreloc.data import Corpus, Pair, evaluation_pairs, wrong_class_pairs
from gnnreloc.errors import InputError
from gnnreloc.models import GraphRelocalizer
from gnnreloc.plotting import EdgeCase, plot_edges, save_figure

FOUND = 0.5
#: Ratio of the longer to the shorter of query and moment: below the first, from the second on.
SAME_SPEED, OTHER_SPEED = 1.2, 1.5

HEADINGS = {
    "learned": "learned edges: what each timestep of the query (row) takes from the video (column)",
    "encoded cosines": "cosines of the encoded timesteps, mean of {heads} heads",
    "raw cosines": "cosines of the raw features, before any training",
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of this command.

    Raises:
        InputError: if an option is unknown or missing.
    """
    parser = OneLineParser(
        prog="edges.py",
        usage="edges.py --run FOLDER --out FILE [--root FOLDER]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--run", type=Path, required=True, help="folder of a finished run of a learned graph")
    add("--out", type=Path, required=True, help="figure to write: .png, .svg or .pdf")
    add("--root", type=Path, help="folder of the data set, if not the one that the run names")
    options = parser.parse_args(list(arguments))
    if options.out.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"--out {options.out}: a figure ends in .png, .svg or .pdf")
    return options


def edge_cases(run: FinishedRun, predictions: pd.DataFrame) -> list[EdgeCase]:
    """The three pairs of the rule above, in its order.

    Args:
        run: the run.
        predictions: its ``predictions.csv``.

    Raises:
        InputError: if the model has no learned edges between query and proposal, the predictions
            are of other pairs, or no pair with such lengths was found.
    """
    config, corpus, model = run
    adjacency = model.adjacency if isinstance(model, GraphRelocalizer) else None
    if adjacency is None or adjacency.support == "intra":
        raise InputError(f"a run of {config.system} learned no edges from proposal to query")
    pairs = evaluation_pairs(corpus, "test", **vars(config.evaluation))
    wrong = wrong_class_pairs(corpus, "test", pairs)
    check_predictions(predictions, pairs)
    same = median_pair(predictions, 1.0, SAME_SPEED)
    other = median_pair(predictions, OTHER_SPEED, np.inf)
    chosen = [
        ("same class, same speed", pairs[same], same),
        ("same class, other speed", pairs[other], other),
        ("other class, moment of the first", wrong[same], same),
    ]
    return [
        edge_case(name, model, corpus, pair, predictions.loc[row]) for name, pair, row in chosen
    ]


def check_predictions(predictions: pd.DataFrame, pairs: Sequence[Pair]) -> None:
    """Check that each row of the predictions is of the pair of its number, and whole.

    Raises:
        InputError: if it is not.
    """
    for name in ("score", "true_start", "true_end"):
        if name not in predictions or not is_numeric_dtype(predictions[name]):
            raise InputError(f"predictions.csv is damaged: wanted a column {name} of numbers")
    asked = [(pair.reference, pair.query_video) for pair in pairs]
    found = list(predictions[KEYS[:2]].itertuples(index=False, name=None))
    times = [pair.query_segment for pair in pairs]
    if found != asked or not np.allclose(predictions[KEYS[2:]], times):
        raise InputError("predictions.csv is of other pairs than those that config.yaml asks for")


def median_pair(predictions: pd.DataFrame, low: float, high: float) -> int:
    """The found pair with the median score among those of a range of length ratios.

    Of an even number of pairs it is the one with the lower of the two middle scores.

    Args:
        predictions: of a run, see ``predictions.csv``.
        low: smallest ratio of the longer to the shorter of query and moment.
        high: end of the range, not in it.

    Returns:
        Number of the row.

    Raises:
        InputError: if there is none.
    """
    query = predictions["query_end"] - predictions["query_start"]
    moment = predictions["true_end"] - predictions["true_start"]
    # Rounded: lengths that are equal differ in their last digits.
    ratio = np.maximum(query / moment, moment / query).round(6)
    fits = (predictions["tiou"] >= FOUND) & (ratio >= low) & (ratio < high)
    scores = predictions.loc[fits, "score"].sort_values(kind="stable")
    if scores.empty:
        below = f" and less than {high:g}" if np.isfinite(high) else ""
        raise InputError(
            f"the run found no pair whose lengths differ by at least {low:g}{below} times"
        )
    return int(scores.index[(len(scores) - 1) // 2])


def edge_case(
    name: str, model: GraphRelocalizer, corpus: Corpus, pair: Pair, row: pd.Series
) -> EdgeCase:
    """What a model sees of a query with a true moment.

    Args:
        name: what the case shows.
        model: a trained model with learned edges.
        corpus: the corpus of the pair.
        pair: the pair.
        row: the prediction whose true moment is taken.
    """
    query = corpus.features[pair.query_video].slice(*pair.query_segment)
    moment = torch.tensor([[row["true_start"], row["true_end"]]], dtype=torch.float64)
    batch = model.pair_graphs(query, corpus.features[pair.reference], moment)
    with torch.no_grad():
        score = float(model(batch).scores)
    pictures = {kind: edges[0] for kind, edges in model.edges(batch).items()}
    heads = len(pictures.get("encoded cosines", ()))
    duration = float(moment[0, 1] - moment[0, 0])
    return EdgeCase(
        title=f"{name}\nquery: {query.duration:.1f} s of {pair.query_label}\n"
        f"moment: {duration:.1f} s of {pair.label}\nscore: {score:.2f}",
        query_duration=query.duration,
        duration=duration,
        surroundings=model.context * duration,
        pictures={
            HEADINGS[kind].format(heads=heads): edges if edges.dim() == 2 else edges.mean(dim=0)
            for kind, edges in pictures.items()
        },
    )


def main(arguments: Sequence[str]) -> None:
    """Read the run, draw, say where the figure is."""
    try:
        options = parse(arguments)
        run = load_run(options.run, options.root)
        found = read_run(options.run.expanduser())
        if found is None:
            raise InputError(f"{options.run}: its metrics.json or predictions.csv is damaged")
        cases = edge_cases(run, found[1])
        title = f"{run.corpus.name}, split {run.config.split}, seed {run.config.seed}"
        figure = plot_edges(cases, title=f"What the learned graph sees: {title}")
        print(save_figure(figure, options.out.expanduser()))
    except InputError as error:
        fail(error)
    except OSError as error:  # a folder in the way, a full disk
        fail(error, status=1)


if __name__ == "__main__":
    main(sys.argv[1:])
