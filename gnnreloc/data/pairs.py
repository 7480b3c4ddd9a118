"""Query-reference pairs: which clip is searched in which video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnreloc.data.corpus import Corpus
from gnnreloc.errors import InputError


@dataclass(frozen=True)
class Pair:
    """One search: a query clip, and a reference video that shows its action at least once.

    Args:
        query_video: video that the query clip is cut from.
        query_segment: (start, end) of the query clip in seconds.
        query_label: class of the query clip.
        reference: video to search in; never ``query_video``.
        label: class of the moments to be found (that of the query, but for the wrong-class check).
        targets: all moments of ``label`` in the reference, float64 ``[g, 2]`` in seconds.
    """

    query_video: str
    query_segment: tuple[float, float]
    query_label: str
    reference: str
    label: str
    targets: Tensor


class PairSampler:
    """Draws pairs from one subset of a corpus.

    A query is never paired with its own video, nor with a video that holds the same recording
    (column ``clip`` of the moment table, if there is one; a missing entry is a recording of its
    own).

    Args:
        corpus: the corpus.
        subset: ``"train"``, ``"validation"`` or ``"test"``.

    Raises:
        InputError: if no class of the subset has moments in two different videos.
    """

    def __init__(self, corpus: Corpus, subset: str) -> None:
        self.corpus = corpus
        self.subset = subset
        self.moments = corpus.subset(subset)
        clips = self.moments.index.to_series().map("row {}".format)
        if "clip" in self.moments:
            named = self.moments["clip"].astype(object)
            clips = named.where(named.notna(), clips)
        self._clips = clips.astype(str).to_numpy(dtype=object)
        self._labels = self.moments["label"].to_numpy(dtype=object)
        # A row of a table takes long to read, and is read for every sample.
        columns = self.moments[["video", "start", "end", "label"]].itertuples(index=False)
        self._moments = [(str(v), (float(s), float(e)), str(c)) for v, s, e, c in columns]
        self._references: dict[int, list[str]] = {}
        self._clips_of = self.moments.groupby("video").indices
        self.targets: dict[tuple[str, str], Tensor] = {}
        self._holders: dict[str, list[str]] = {}
        for (label, video), rows in self.moments.groupby(["label", "video"]):
            self._holders.setdefault(str(label), []).append(str(video))
            bounds = rows[["start", "end"]].to_numpy(dtype=np.float64)
            self.targets[str(label), str(video)] = torch.from_numpy(bounds.copy())
        self.labels = [label for label, videos in sorted(self._holders.items()) if len(videos) > 1]
        self.rows = {
            str(label): rows.index.to_numpy() for label, rows in self.moments.groupby("label")
        }
        if not self.labels:
            raise InputError(
                f"{corpus.name}: no class of subset {subset!r} appears in two videos, "
                "so no query has another video to be found in"
            )

    def moment(self, row: int) -> tuple[str, tuple[float, float], str]:
        """Video, start and end (s), and class of the moment of a row."""
        return self._moments[row]

    def references(self, row: int) -> list[str]:
        """Videos in which the moment of a row can be searched for, sorted."""
        if row not in self._references:
            own, _, label = self._moments[row]
            clip = self._clips[row]
            self._references[row] = [
                video
                for video in self._holders[label]
                if video != own and clip not in self._clips[self._clips_of[video]]
            ]
        return self._references[row]

    def other_class_rows(self, label: str, reference: str) -> NDArray[np.intp]:
        """Moments of other classes whose recording, so also their video, is not the reference's."""
        met = np.isin(self._clips, self._clips[self._clips_of[reference]])
        return np.flatnonzero((self._labels != label) & ~met)

    def pair(self, row: int, reference: str) -> Pair:
        """The pair of the moment of a row with a reference video."""
        video, segment, label = self._moments[row]
        return Pair(
            query_video=video,
            query_segment=segment,
            query_label=label,
            reference=reference,
            label=label,
            targets=self.targets[label, reference],
        )

    def draw(self, rng: np.random.Generator, label: str | None = None) -> Pair:
        """A random pair: a class (unless given), one of its moments, one possible reference.

        Raises:
            InputError: if a thousand draws find no moment that has a reference.
        """
        for _ in range(1000):
            chosen = label or self.labels[int(rng.integers(len(self.labels)))]
            row = int(rng.choice(self.rows[chosen]))
            references = self.references(row)
            if references:
                return self.pair(row, references[int(rng.integers(len(references)))])
        raise InputError(f"{self.corpus.name}: no query of {self.subset!r} has another video")


def evaluation_pairs(
    corpus: Corpus,
    subset: str,
    *,
    queries: int = 150,
    references_per_query: int = 2,
    seed: int = 0,
) -> list[Pair]:
    """A fixed list of pairs of one subset, the classes taken in turn.

    Args:
        corpus: the corpus.
        subset: the subset to draw from.
        queries: number of query moments, without repetition (fewer if the subset has fewer).
        references_per_query: reference videos drawn for each query, without repetition.
        seed: seed of the draw, at least 0; the same seed always gives the same pairs.

    Raises:
        InputError: if a count is not positive, the seed is negative, or no pair exists.
    """
    if queries < 1 or references_per_query < 1:
        raise InputError(
            "queries and references_per_query must be at least 1, "
            f"got {queries} and {references_per_query}"
        )
    if seed < 0:
        raise InputError(f"seed must be at least 0, got {seed}")
    sampler = PairSampler(corpus, subset)
    rng = np.random.default_rng([seed, 1])
    rows = [rng.permutation(sampler.rows[label]) for label in sampler.labels]
    in_turn = [int(r[i]) for i in range(max(map(len, rows))) for r in rows if i < len(r)]
    pairs: list[Pair] = []
    used = 0
    for row in in_turn:
        references = sampler.references(row)
        if not references:
            continue
        chosen = rng.permutation(references)[:references_per_query]
        pairs += [sampler.pair(row, str(reference)) for reference in chosen]
        used += 1
        if used == queries:
            break
    if not pairs:
        raise InputError(f"{corpus.name}: no query of {subset!r} has another video to search")
    return pairs


def wrong_class_pairs(
    corpus: Corpus, subset: str, pairs: Sequence[Pair], *, seed: int = 0
) -> list[Pair]:
    """The same references and targets, each with a query of another class.

    A system that does not look at its query scores on these pairs what it scores on the right
    ones; one that does should fall to the level of chance or below. The other class may well occur
    in the reference, but the query's own video and recording do not.

    Args:
        corpus: the corpus.
        subset: the subset that the pairs were drawn from.
        pairs: the pairs.
        seed: seed of the draw, at least 0.

    Raises:
        InputError: if the seed is negative, a pair is of another subset, or a reference leaves no
            moment of another class.
    """
    if seed < 0:
        raise InputError(f"seed must be at least 0, got {seed}")
    sampler = PairSampler(corpus, subset)
    rng = np.random.default_rng([seed, 2])
    wrong: list[Pair] = []
    for pair in pairs:
        if (pair.label, pair.reference) not in sampler.targets:
            raise InputError(
                f"{corpus.name}: the pair with reference {pair.reference!r} is not of subset "
                f"{subset!r}"
            )
        others = sampler.other_class_rows(pair.label, pair.reference)
        if len(others) == 0:
            raise InputError(
                f"{corpus.name}: subset {subset!r} has no moment of another class than "
                f"{pair.label!r} to search for in video {pair.reference!r}"
            )
        row = int(others[int(rng.integers(len(others)))])
        video, segment, label = sampler.moment(row)
        wrong.append(replace(pair, query_video=video, query_segment=segment, query_label=label))
    return wrong
