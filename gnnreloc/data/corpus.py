"""A corpus: annotated moments, the features of their videos, and candidate proposals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from torch import Tensor

from gnnreloc.data.feature_store import FeatureStore
from gnnreloc.data.lazy_proposals import LazyProposals, check_proposals
from gnnreloc.errors import InputError


@dataclass(frozen=True)
class Corpus:
    """Everything a relocalization experiment reads, behind one type.

    The class sets of the three subsets are disjoint (Section 4.1 of the paper): a system is judged
    on actions that it never saw. Construction checks this, and that every annotated video has
    usable proposals; features, and proposals given as :class:`~gnnreloc.data.LazyProposals`, are
    read lazily and checked when read.

    Args:
        name: name of the data set, written into results.
        moments: validated moment table (:func:`gnnreloc.data.validate_moments`). An optional column
            ``clip`` names the recording a moment was taken from; a query is never paired with a
            reference that holds the same recording.
        features: video name to :class:`~gnnreloc.data.Features`.
        proposals: video name to candidate moments, float64 ``[m, 2]`` in seconds; with
            :class:`~gnnreloc.data.LazyProposals` they are computed when first asked for.
        settings: how the corpus was made: the split and the options of its function.
        unseen_classes: whether the subsets have disjoint classes; false only for a data set too
            small to hold classes back, which then says so.

    Raises:
        InputError: if two subsets share a video, or a class although ``unseen_classes``, or an
            annotated video has no proposals, or one that is not finite or ends before it starts.
    """

    name: str
    moments: pd.DataFrame
    features: FeatureStore
    proposals: Mapping[str, Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)
    unseen_classes: bool = True

    def __post_init__(self) -> None:
        for column in ("video", "label") if self.unseen_classes else ("video",):
            subsets_of = self.moments.groupby(column, sort=True)["subset"].nunique()
            for name in subsets_of.index[subsets_of > 1]:
                raise InputError(f"{self.name}: {column} {name!r} is in more than one subset")
        lazy = isinstance(self.proposals, LazyProposals)
        for video in self.moments["video"].unique():
            if video not in self.proposals or not (lazy or len(self.proposals[video])):
                raise InputError(f"{self.name}: video {video!r} has moments but no proposals")
            if not lazy:
                check_proposals(self.proposals[video], f"{self.name}: video {video!r}")

    def subset(self, name: str) -> pd.DataFrame:
        """The moments of one subset by video and time, with a fresh index.

        The order does not depend on that of the table, so neither do the pairs drawn from it.

        Raises:
            InputError: if the subset holds no moment.
        """
        rows = self.moments[self.moments["subset"] == name]
        if rows.empty:
            raise InputError(f"{self.name}: subset {name!r} holds no moments")
        return rows.sort_values(["video", "start", "end", "label"], ignore_index=True)

    def classes(self, subset: str) -> list[str]:
        """The sorted class names of one subset."""
        return sorted(self.subset(subset)["label"].unique())

    @property
    def num_channels(self) -> int:
        """Width of the feature rows, read from the first annotated video."""
        return self.features[str(self.moments["video"].iloc[0])].num_channels
