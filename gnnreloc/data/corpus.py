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
    proposals; features are read lazily and checked when read.

    Args:
        name: name of the data set, written into results.
        moments: validated moment table (:func:`gnnreloc.data.validate_moments`). An optional column
            ``clip`` names the recording a moment was taken from; a query is never paired with a
            reference that holds the same recording.
        features: video name to :class:`~gnnreloc.data.Features`.
        proposals: video name to candidate moments, float64 ``[m, 2]`` in seconds.
        settings: how the corpus was made (split, seed, options), kept with the results.
        unseen_classes: whether the subsets have disjoint classes; false only for a data set too
            small to hold classes back, which then says so.

    Raises:
        InputError: if two subsets share a video, or a class although ``unseen_classes``, or an
            annotated video has no proposal list.
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
            if video not in self.proposals:
                raise InputError(f"{self.name}: video {video!r} has moments but no proposals")

    def subset(self, name: str) -> pd.DataFrame:
        """The moments of one subset, with a fresh index.

        Raises:
            InputError: if the subset holds no moment.
        """
        rows = self.moments[self.moments["subset"] == name].reset_index(drop=True)
        if rows.empty:
            raise InputError(f"{self.name}: subset {name!r} holds no moments")
        return rows

    def classes(self, subset: str) -> list[str]:
        """The sorted class names of one subset."""
        return sorted(self.subset(subset)["label"].unique())

    @property
    def num_channels(self) -> int:
        """Width of the feature rows, read from the first annotated video."""
        return self.features[str(self.moments["video"].iloc[0])].num_channels
