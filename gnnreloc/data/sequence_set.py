"""Training samples for sequence labelling: a query, a whole reference, a label for every step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnreloc.data.corpus import Corpus
from gnnreloc.data.features import Features, require_channels
from gnnreloc.data.sampled_set import SampledSet, require_at_least
from gnnreloc.data.training_set import SHORTEST_PART, part_of_pair
from gnnreloc.errors import InputError

#: Labels of a step, in the order of the classes of the sequence labeller.
START, END, INSIDE, OUTSIDE = range(4)


def pool_rows(features: Features, factor: int) -> Features:
    """Means of ``factor`` rows each; the last one may be of fewer.

    Example:
        >>> video = Features(torch.tensor([[1.0], [3.0], [8.0]]), step=0.5)
        >>> pooled = pool_rows(video, 2)
        >>> pooled.values.flatten().tolist(), pooled.step
        ([2.0, 8.0], 1.0)

    Args:
        features: the video.
        factor: rows that become one, at least 1.

    Raises:
        InputError: if the factor is below 1.
    """
    if factor < 1:
        raise InputError(f"factor must be at least 1, got {factor}")
    if factor == 1:
        return features
    whole = features.num_steps // factor * factor
    means = features.values[:whole].unflatten(0, (-1, factor)).mean(dim=1)
    if whole < features.num_steps:
        means = torch.cat([means, features.values[whole:].mean(dim=0, keepdim=True)])
    return replace(features, values=means, step=features.step * factor)


def pool_pair(
    query: Features, reference: Features, *, max_steps: int, max_query_steps: int
) -> tuple[Features, Features]:
    """Query and reference at a common rate that keeps both within their limits.

    A reference of up to ``max_steps`` rows keeps its rows, and so does the query. Rows of a longer
    one are averaged in groups of equal size, the query's in groups of the same size, so that an
    action takes as many steps in both; only a query that is then still too long is pooled again.

    Args:
        query: the query clip.
        reference: the whole reference video.
        max_steps: most steps of the reference.
        max_query_steps: most steps of the query.
    """
    factor = -(-reference.num_steps // max_steps)
    query, reference = pool_rows(query, factor), pool_rows(reference, factor)
    return pool_rows(query, -(-query.num_steps // max_query_steps)), reference


def label_steps(reference: Features, targets: Tensor) -> Tensor:
    """Label of every row of a reference: start, end, inside or outside of a moment.

    A row belongs to a moment if its centre lies in it; a moment between two centres gets the row
    whose centre is nearest to its middle. The first row of a moment is its start, the last one its
    end; a moment of one row has a start only. Where moments overlap, a boundary of one goes before
    the inside of another.

    Example:
        >>> video = Features(torch.zeros(6, 1), step=1.0)
        >>> label_steps(video, torch.tensor([[1.0, 4.0]]).double()).tolist()
        [3, 0, 2, 1, 3, 3]

    Args:
        reference: the video, whose rows are the steps.
        targets: the moments in seconds, float64 ``[g, 2]``.

    Returns:
        int64 ``[n]``: 0 start, 1 end, 2 inside, 3 outside.
    """
    labels = torch.full((reference.num_steps,), OUTSIDE)
    centres = reference.time
    first, beyond = torch.searchsorted(centres, targets.contiguous()).unbind(dim=1)
    nearest = (centres - targets.mean(dim=1, keepdim=True)).abs().argmin(dim=1)
    empty = beyond <= first
    first = torch.where(empty, nearest, first)
    last = torch.where(empty, nearest, beyond - 1)
    for one, other in zip(first.tolist(), last.tolist(), strict=True):
        labels[one : other + 1] = INSIDE
    labels[last] = END
    labels[first] = START
    return labels


def sequence_graph(query: Features, reference: Features, targets: Tensor | None = None) -> Data:
    """Query rows and reference rows as one PyG graph without edges.

    Args:
        query: the query clip.
        reference: the whole reference video.
        targets: the moments to be found, float64 ``[g, 2]`` in seconds, if known.

    Returns:
        :class:`~torch_geometric.data.Data` with ``x [q + r, C]``, the query's rows first,
        ``is_query [q + r]`` and, where the targets are given, ``labels [r]``
        (see :func:`label_steps`).

    Raises:
        InputError: if the two clips differ in width.
    """
    require_channels(query, reference)
    x = torch.cat([query.values, reference.values])
    graph = Data(x=x, is_query=torch.arange(x.size(0)) < query.num_steps, num_nodes=x.size(0))
    if targets is not None:
        graph.labels = label_steps(reference, targets)
    return graph


class SequenceSet(SampledSet):
    """Draws queries and whole references from the training moments of a corpus.

    Every moment of the query's class in the reference is labelled. A sample depends on seed, epoch
    and number alone, see :class:`~gnnreloc.data.sampled_set.SampledSet`.

    Args:
        corpus: the corpus; its proposals are not read.
        samples: number of samples an epoch.
        seed: seed of all draws.
        partial: share of the samples in which the same random part of the query and of the moments
            takes their place, see :class:`~gnnreloc.data.TrainingSet`.
        max_steps: most steps of a reference, see :func:`pool_pair`.
        max_query_steps: most steps of a query.
        subset: subset to draw from.

    Raises:
        InputError: if a number is out of range, or no pair can be drawn.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        samples: int = 320,
        seed: int = 0,
        partial: float = 0.0,
        max_steps: int = 256,
        max_query_steps: int = 128,
        subset: str = "train",
    ) -> None:
        super().__init__(corpus, samples=samples, seed=seed, partial=partial, subset=subset)
        require_at_least("max_steps", max_steps, 1)
        require_at_least("max_query_steps", max_query_steps, 1)
        self.max_steps = max_steps
        self.max_query_steps = max_query_steps

    def _sample(self, rng: np.random.Generator) -> list[Data]:
        drawn = self.sampler.draw(rng)
        reference = self.corpus.features[drawn.reference]
        if rng.random() < self.partial:
            drawn = part_of_pair(rng, drawn, shortest=SHORTEST_PART * reference.step)
        query = self.corpus.features[drawn.query_video].slice(*drawn.query_segment)
        query, reference = pool_pair(
            query, reference, max_steps=self.max_steps, max_query_steps=self.max_query_steps
        )
        return [sequence_graph(query, reference, drawn.targets)]
