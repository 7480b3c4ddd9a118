"""A corpus: annotated moments, the features of their videos, and candidate proposals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from torch import Tensor

from gnnreloc.data.feature_store import FeatureStore
from gnnreloc.errors import InputError


@dataclass(frozen=True)
class Corpus:
    """Everything a relocalization experiment reads, behind one type.

    The class sets of the three subsets are disjoint (Section 4.1 of the paper): a system is judged
    on actions that it never saw. Construction checks this, and that every annotated video has
    usable proposals; features are read lazily and checked when read.

    Args:
        name: name of the data set, written into results.
        moments: validated moment table (:func:`gnnreloc.data.validate_moments`). An optional column
            ``clip`` names the recording a moment was taken from; a query is never paired with a
            reference that holds the same recording.
        features: video name to :class:`~gnnreloc.data.Features`.
        proposals: video name to candidate moments, float64 ``[m, 2]`` in seconds.
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
        for video in self.moments["video"].unique():
            if video not in self.proposals or len(self.proposals[video]) == 0:
                raise InputError(f"{self.name}: video {video!r} has moments but no proposals")
            self._check_proposals(video)

    def _check_proposals(self, video: str) -> None:
        proposals = self.proposals[video]
        culprit = f"{self.name}: video {video!r}"
        if not isinstance(proposals, Tensor):
            found = type(proposals).__name__
            raise InputError(f"{culprit}: found proposals of type {found}, wanted a tensor [m, 2]")
        if proposals.dim() != 2 or proposals.size(1) != 2:
            found = list(proposals.shape)
            raise InputError(f"{culprit}: found proposals of shape {found}, wanted [m, 2]")
        good = proposals.isfinite().all(dim=1) & (proposals[:, 0] < proposals[:, 1])
        if not bool(good.all()):
            row = int(good.int().argmin())
            found = proposals[row].tolist()
            raise InputError(
                f"{culprit}: proposal {row} (from 0) is {found}, wanted finite seconds start < end"
            )

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
