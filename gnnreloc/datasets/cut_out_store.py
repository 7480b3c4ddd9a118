"""Features of parts of longer videos, read part by part from the file of the whole ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import h5py

from gnnreloc.data.feature_files import build_features
from gnnreloc.data.feature_store import HDF5FeatureStore, MissingVideoError, find_group
from gnnreloc.data.features import Features
from gnnreloc.errors import InputError


class CutOut(NamedTuple):
    """Part of a long video.

    Attributes:
        video: name of the long video.
        start: its first unit.
        end: the unit after its last.
    """

    video: str
    start: int
    end: int


def count_units(rows: int, rows_per_unit: int) -> int:
    """Units that a video of so many rows holds: the rows that are kept of it."""
    return -(-rows // rows_per_unit)


class CutOutStore(HDF5FeatureStore):
    """A store whose videos are cut out of those in an HDF5 file.

    Only the rows of the part are read, and of these every ``rows_per_unit``-th is kept: unit ``u``
    of a long video is row ``u * rows_per_unit`` of its data set.

    Args:
        path: the file, in the layout of the ActivityNet C3D features.
        cut_outs: name of each cut-out to its place.
        step: seconds from one unit to the next.
        rows_per_unit: distance of the kept rows, at least 1.

    Raises:
        InputError: if the file is missing, or ``rows_per_unit`` is below 1.
    """

    def __init__(
        self,
        path: Path | str,
        cut_outs: Mapping[str, CutOut],
        *,
        step: float,
        rows_per_unit: int = 2,
    ) -> None:
        super().__init__(path, step=step)
        if rows_per_unit < 1:
            raise InputError(f"rows_per_unit must be at least 1, got {rows_per_unit}")
        self.cut_outs = cut_outs
        self.rows_per_unit = rows_per_unit
        self._held: dict[str, bool] = {}

    def __getitem__(self, video: str) -> Features:
        if video not in self.cut_outs:
            raise MissingVideoError(f"video {video!r} is not among {len(self.cut_outs)} cut-outs")
        cut = self.cut_outs[video]
        group = find_group(self._file(), cut.video, self.prefix) or f"{self.prefix}{cut.video}"
        name = f"{group}/{self.dataset}"
        data = self._file().get(name)
        if not isinstance(data, h5py.Dataset):
            raise MissingVideoError(f"video {video!r}: found no data set {name!r} in {self.path}")
        units = count_units(len(data), self.rows_per_unit)
        if cut.end > units:
            raise InputError(
                f"video {video!r}: {self.path}: {name} has {len(data)} rows, that is {units} "
                f"units, wanted {cut.end} or more"
            )
        first = cut.start * self.rows_per_unit
        # Without the rows after the last one kept, which the file need not hold.
        beyond = (cut.end - 1) * self.rows_per_unit + 1
        try:
            # One piece of the file, thinned out in memory: faster than to skip in the file.
            values = data[first:beyond][:: self.rows_per_unit]
        except OSError as error:
            raise InputError(f"video {video!r}: {self.path} is damaged: {error}") from error
        return build_features(values, video, self.path, ({"step": self.step},))

    def __contains__(self, video: object) -> bool:
        if not isinstance(video, str) or video not in self.cut_outs:
            return False
        whole = self.cut_outs[video].video
        if whole not in self._held:
            self._held[whole] = super().__contains__(whole)
        return self._held[whole]

    def __iter__(self) -> Iterator[str]:
        return (video for video in self.cut_outs if video in self)
