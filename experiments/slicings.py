"""Slices of the pairs, by what is known of a pair before any system sees it.

* length ratio: the longer of query clip and moment over the shorter, in two parts and in four;
* moment length: thirds of the pairs, in seconds;
* distractors: moments of other classes that are annotated in the reference (always 5 on bandai);
* distractors about as long as the query: those whose length ratio to it is below 1.5, so that the
  length alone does not give them away;
* tIoU of the best proposal: the highest of a candidate with a moment of the class.

Of several moments of the class in a reference, "the moment" is the one nearest in length to the
query clip. A slice holds its lower bound and not its upper one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from gnnreloc.data import Corpus
from gnnreloc.data.overlap import best_overlap
from gnnreloc.errors import InputError

#: Slicing: the property of a pair that it looks at, and bounds between its slices; thirds without.
SLICINGS: dict[str, tuple[str, tuple[float, ...]]] = {
    "length ratio": ("length_ratio", (1.5,)),
    "length ratio, finer": ("length_ratio", (1.2, 1.5, 2.0)),
    "moment length": ("moment_length", ()),
    "distractors": ("distractors", (3, 5, 10)),
    "distractors about as long as the query": ("alike", (1, 2, 3)),
    "tIoU of the best proposal": ("best_proposal", (0.6, 0.75, 0.9)),
}
#: Lengths are alike where the longer is shorter than this many times the shorter.
ALIKE = 1.5
#: Bounds are compared, and clips found, after rounding: 4.5 s are 1.5 times 3 s.
_DECIMALS = 6


def pair_properties(pairs: pd.DataFrame, corpus: Corpus) -> pd.DataFrame:
    """What the slicings look at.

    Args:
        pairs: of one split, with the columns of :data:`gather.KEYS` and ``label``.
        corpus: the data set of that split.

    Returns:
        One row a pair: ``length_ratio``, ``moment_length`` (s), ``distractors``, ``alike`` (of
        these, about as long as the query) and ``best_proposal`` (tIoU).

    Raises:
        InputError: if the corpus does not hold a query clip, or no moment of its class in the
            reference.
    """
    test = corpus.subset("test").round({"start": _DECIMALS, "end": _DECIMALS})
    clips = {*test[["video", "start", "end", "label"]].itertuples(index=False, name=None)}
    moments = dict([*test.groupby("video")])
    rows = []
    for pair in pairs.itertuples():
        times = [round(float(time), _DECIMALS) for time in (pair.query_start, pair.query_end)]
        held = moments.get(pair.video, test.iloc[:0])
        own = (held["label"] == pair.label).to_numpy()
        if (pair.query_video, *times, pair.label) not in clips or not own.any():
            raise InputError(
                f"{corpus.name}: no pair of {pair.label!r} in {pair.query_video!r} from {times[0]} "
                f"to {times[1]} s and in {pair.video!r}: these are not the data of the runs"
            )
        lengths = (held["end"] - held["start"]).to_numpy()
        query = times[1] - times[0]
        ratios = np.maximum(lengths / query, query / lengths).round(_DECIMALS)
        nearest = int(np.where(own, ratios, np.inf).argmin())
        targets = torch.tensor(held.loc[own, ["start", "end"]].to_numpy())
        best = float(best_overlap(corpus.proposals[pair.video], targets).max())
        others = ratios[~own]
        alike = int((others < ALIKE).sum())
        rows.append((ratios[nearest], lengths[nearest], len(others), alike, best))
    names = ["length_ratio", "moment_length", "distractors", "alike", "best_proposal"]
    return pd.DataFrame(rows, columns=names, index=pairs.index).round(_DECIMALS)


def partition(
    values: pd.Series[float], bounds: Sequence[float]
) -> dict[str, npt.NDArray[np.bool_]]:
    """The slices between bounds, by name; those that hold no pair are left out.

    Args:
        values: a property of each pair, ``[pairs]``.
        bounds: in increasing order, whole for counts; empty for thirds, in seconds.
    """
    unit = "" if bounds else " s"
    if not bounds:
        bounds = np.unique(values.quantile([1 / 3, 2 / 3]).round(2)).tolist()
    found = {}
    for low, high in pairwise([-np.inf, *bounds, np.inf]):
        if high == np.inf:
            name = f">={low:g}"
        elif isinstance(high, int):
            first = max(0, low)
            name = f"{first}" if first == high - 1 else f"{first}-{high - 1}"
        else:
            name = f"<{high:g}" if low == -np.inf else f"{low:g}-{high:g}"
        inside = ((values >= low) & (values < high)).to_numpy()
        if inside.any():
            found[name + unit] = inside
    return found
