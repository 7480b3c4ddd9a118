"""The protocols: every system on the same pairs.

``open``, the main one: the query is an annotated clip of an unseen class, the reference another
video of that class, the candidates are all proposals of the reference, and the prediction is the
top one after refinement; any instance of the class in the reference counts.

``filtered``: the same, but of the candidates only those with a tIoU of at least 0.7 or below 0.3
with the truth are left, which is probably what the published tables did: their curves are flat from
0.5 to 0.7. It uses the truth at test time, so that its figures **leak** and stand here only to be
compared with those tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from torch import Tensor
from tqdm import tqdm

from gnnreloc.data.corpus import Corpus
from gnnreloc.data.overlap import best_overlap
from gnnreloc.data.pairs import Pair
from gnnreloc.evaluation.metrics import Summary, summarize
from gnnreloc.models.oracle import Oracle
from gnnreloc.models.registry import create_model
from gnnreloc.models.relocalizer import Moments, Relocalizer

#: The rows that stand beside every trained system.
BASELINES = (
    "chance",
    "random_proposal",
    "longest_proposal",
    "whole_reference",
    "training_free",
    "oracle",
)


#: Candidates between these two tIoU are what the protocol ``filtered`` takes away.
MIDDLE_FROM, MIDDLE_TO = 0.3, 0.7


#: The four ways to read one ranking, by the name of their column in the predictions.
VIEWS = ("tiou", "tiou_unrefined", "tiou_filtered", "tiou_filtered_unrefined")


@dataclass(frozen=True)
class Evaluation:
    """What a system did on a list of pairs.

    Attributes:
        summary: figures of the final predictions.
        unrefined: figures of the same predictions before refinement.
        filtered: as ``summary``, by the protocol ``filtered``, which leaks.
        filtered_unrefined: the same before refinement.
        predictions: one row a pair, the top prediction beside the truth that it fits best; ``tiou``
            and its like are those of the first of a stochastic system's answers.
    """

    summary: Summary
    unrefined: Summary
    filtered: Summary
    filtered_unrefined: Summary
    predictions: pd.DataFrame


def localize_pair(system: Relocalizer, corpus: Corpus, pair: Pair) -> Moments:
    """Ask a system for the moments of one pair.

    Raises:
        InputError: if a video has no usable features or proposals.
    """
    if isinstance(system, Oracle):
        system.targets = pair.targets
    query = corpus.features[pair.query_video].slice(*pair.query_segment)
    return system.localize(query, corpus.features[pair.reference], corpus.proposals[pair.reference])


def evaluate(
    system: Relocalizer, corpus: Corpus, pairs: Sequence[Pair], *, title: str = "evaluate"
) -> Evaluation:
    """Judge a system on a list of pairs.

    Args:
        system: any system; a stochastic one is asked :attr:`Relocalizer.repeats` times a pair.
        corpus: the corpus that the pairs come from.
        pairs: the pairs.
        title: label of the progress bar, which is silent without a terminal.
    """
    views: dict[str, list[Tensor]] = {name: [] for name in VIEWS}
    rows: list[dict[str, object]] = []
    for pair in tqdm(pairs, desc=title, disable=None, leave=False):
        for repeat in range(system.repeats):
            moments = localize_pair(system, corpus, pair)
            left = without_middle(moments, pair.targets) if system.ranks_proposals else moments
            overlaps = {
                "tiou": best_overlap(moments.segments[:5], pair.targets),
                "tiou_unrefined": best_overlap(moments.candidates[:5], pair.targets),
                "tiou_filtered": best_overlap(left.segments[:5], pair.targets),
                "tiou_filtered_unrefined": best_overlap(left.candidates[:5], pair.targets),
            }
            for name, found in overlaps.items():
                views[name].append(found)
            if repeat == 0:
                first = {
                    name: float(found[0]) if len(found) else 0.0 for name, found in overlaps.items()
                }
                rows.append(_row(pair, moments, first))
    refined, unrefined, filtered, filtered_unrefined = (summarize(views[name]) for name in VIEWS)
    return Evaluation(refined, unrefined, filtered, filtered_unrefined, pd.DataFrame(rows))


def without_middle(moments: Moments, targets: Tensor) -> Moments:
    """The moments that the protocol ``filtered`` leaves, in their order.

    Args:
        moments: ranked moments; their candidates are judged, as before refinement.
        targets: the true moments, float64 ``[g, 2]`` in seconds.
    """
    overlap = best_overlap(moments.candidates, targets)
    kept = (overlap >= MIDDLE_TO) | (overlap < MIDDLE_FROM)
    return Moments(moments.segments[kept], moments.scores[kept], moments.candidates[kept])


def evaluate_baselines(
    corpus: Corpus, pairs: Sequence[Pair], *, timesteps: int = 40, seed: int = 0
) -> dict[str, Summary]:
    """The content-free rows, the training-free row and the oracle on the same pairs.

    Args:
        corpus: the corpus that the pairs come from.
        pairs: the pairs.
        timesteps: of the training-free row.
        seed: of the stochastic rows.
    """
    options: dict[str, dict[str, int]] = {
        "chance": {"seed": seed},
        "random_proposal": {"seed": seed},
        "training_free": {"timesteps": timesteps},
    }
    return {
        name: evaluate(
            create_model(name, **options.get(name, {})), corpus, pairs, title=name
        ).summary
        for name in BASELINES
    }


def _row(pair: Pair, moments: Moments, overlaps: dict[str, float]) -> dict[str, object]:
    top = moments.segments[:1]
    with_each = [float(best_overlap(top, target.unsqueeze(0))) for target in pair.targets]
    best = max(range(len(with_each)), key=with_each.__getitem__)
    return {
        "video": pair.reference,
        "start": float(top[0, 0]),
        "end": float(top[0, 1]),
        "score": float(moments.scores[0]),
        "true_start": float(pair.targets[best, 0]),
        "true_end": float(pair.targets[best, 1]),
        **overlaps,
        "query_video": pair.query_video,
        "query_start": pair.query_segment[0],
        "query_end": pair.query_segment[1],
        "label": pair.label,
        "query_label": pair.query_label,
    }
