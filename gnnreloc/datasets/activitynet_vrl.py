"""The splits of Feng et al. for video relocalization: the data set ``activitynet_vrl``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from gnnreloc.data.annotations import validate_moments
from gnnreloc.data.corpus import Corpus
from gnnreloc.data.lazy_proposals import LazyProposals
from gnnreloc.datasets.activitynet12 import FEATURES
from gnnreloc.datasets.cut_out_store import CutOut, CutOutStore
from gnnreloc.datasets.official_files import (
    OfficialFile,
    OnMissing,
    find_features,
    keep_available,
)
from gnnreloc.datasets.root_files import read_json
from gnnreloc.errors import InputError
from gnnreloc.proposals import window_proposals

#: A unit is one kept feature row: 16 frames, at a nominal rate of 30 frames a second.
SECONDS_PER_UNIT = 16 / 30
#: Rows of the official features for each unit.
ROWS_PER_UNIT = 2
#: Lengths of the candidates in units; the longest is that of the longest moments.
WINDOW_UNITS = (2.0, 4.0, 8.0, 16.0, 32.0)

_SOURCE = "https://github.com/fengyang0317/video_reloc (folder data)"
#: Subset to its file.
ITEMS = {
    "train": OfficialFile("train.json", _SOURCE),
    "validation": OfficialFile("val.json", _SOURCE),
    "test": OfficialFile("test.json", _SOURCE),
}


def activitynet_vrl(
    root: str | Path,
    *,
    split: int = 0,
    features: str | Path | None = None,
    rows_per_unit: int = ROWS_PER_UNIT,
    on_missing: OnMissing = "raise",
) -> Corpus:
    """7593, 829 and 978 items of 160, 20 and 20 classes, cut out of ActivityNet v1.3 videos.

    An item is a reference video of its own, named ``<id>_<start>_<end>``: units ``start`` to
    ``end`` (at most 300) of the long video ``id``, with one moment of at most 32 units in it. The
    column ``clip`` names the long video, so that a query never meets its own recording. The classes
    are named by their number in the ActivityNet taxonomy.

    All places are given in units of one kept feature row. A row covers 16 frames; the official file
    has one every 8 frames, of which every second is kept. The frame rates of the videos are not
    given, so that seconds are nominal: 16/30 s a unit. Overlaps do not depend on this.

    Features are read when asked for, and then only the rows of the cut-out. Candidates are windows
    of 2, 4, 8, 16 and 32 units, each three quarters in common with its neighbour: the moments of
    this set are short by construction, and windows need no actionness model.

    Args:
        root: folder with ``train.json``, ``val.json``, ``test.json`` and the C3D features
            ``sub_activitynet_v1-3.c3d.hdf5``.
        split: 0; the files give one split.
        features: an HDF5 file of features that lies elsewhere.
        rows_per_unit: rows of the file for each unit: 2 for the official one, 1 for a file that
            holds the kept rows alone.
        on_missing: what to do about items whose video has no features: an error, or go on without.

    Raises:
        InputError: if a file is missing or not in the expected layout, a video has no features, a
            long video is in more than one subset, or the split is not 0.

    Warns:
        UserWarning: with ``on_missing="drop"``, if items are dropped.

    Source: Feng et al., "Video Re-localization", ECCV 2018; MIT licence.
    """
    if split != 0:
        raise InputError(f"activitynet_vrl: the files give one split: split must be 0, got {split}")
    table = read_items(root)
    for recording in shared_between_subsets(table, "clip"):
        raise InputError(f"activitynet_vrl: {root}: video {recording!r} is in more than one subset")
    columns = (table[name].tolist() for name in ("video", "clip", "first", "beyond"))
    cut_outs = {name: CutOut(*place) for name, *place in zip(*columns, strict=True)}
    path = find_long_features(root, features)
    store = CutOutStore(path, cut_outs, step=SECONDS_PER_UNIT, rows_per_unit=rows_per_unit)
    moments = keep_available(
        table.drop(columns=["first", "beyond"]),
        store,
        path=path,
        source=FEATURES.source,
        on_missing=on_missing,
        held_by={name: cut.video for name, cut in cut_outs.items()},
    )
    return Corpus(
        name="activitynet_vrl",
        moments=moments,
        features=store,
        proposals=LazyProposals(moments["video"], _Windows(cut_outs)),
        settings={"split": split, "rows_per_unit": rows_per_unit, "on_missing": on_missing},
    )


def find_long_features(root: str | Path, given: str | Path | None = None) -> Path:
    """The file of the features of the long videos.

    Raises:
        InputError: if there is none, or a folder in its place.
    """
    path = find_features(root, FEATURES, given)
    if path.is_dir():
        raise InputError(f"{path}: found a folder, wanted an HDF5 file to read cut-outs from")
    return path


def shared_between_subsets(table: pd.DataFrame, column: str) -> list[str]:
    """The entries of a column, classes or long videos, that stand in more than one subset."""
    subsets = table.groupby(column)["subset"].nunique()
    return [str(name) for name in subsets.index[subsets > 1]]


def read_items(root: str | Path) -> pd.DataFrame:
    """The items of the three files as a moment table.

    Returns:
        The table, with the name of the long video in the column ``clip`` and the place of the
        cut-out in it, in units, in ``first`` and ``beyond`` (its last unit is the one before).

    Raises:
        InputError: if a file is missing or holds no item, or an item is not as expected; names the
            file and the item (from 1).
    """
    rows: list[dict[str, Any]] = []
    for subset, file in ITEMS.items():
        path = file.at(root)
        items = read_json(path)
        if not isinstance(items, list):
            raise InputError(f"{path}: found a JSON {type(items).__name__}, wanted a list")
        if not items:
            raise InputError(f"{path}: found an empty list, wanted at least one item")
        for number, item in enumerate(items, start=1):
            try:
                first, beyond = map(int, item["location"])
                start, end = map(int, item["groundtruth"])
                recording, label = str(item["id"]), int(item["label"])
                good = 0 <= first < beyond and 0 <= start < end <= beyond - first
            except (KeyError, TypeError, ValueError):
                good = False
            if not good:
                raise InputError(
                    f"{path}: item {number}: wanted id, label, location [start, end) and "
                    f"groundtruth [start, end) within it, found {item!r}"
                )
            rows.append(
                {"video": f"{recording}_{first}_{beyond}", "label": f"class-{label:03d}"}
                | {"start": start * SECONDS_PER_UNIT, "end": end * SECONDS_PER_UNIT}
                | {"subset": subset, "duration": (beyond - first) * SECONDS_PER_UNIT}
                | {"clip": recording, "first": first, "beyond": beyond}
            )
    return validate_moments(pd.DataFrame(rows), source=str(root))


class _Windows:
    """Cut-out to its candidates in seconds."""

    def __init__(self, cut_outs: dict[str, CutOut]) -> None:
        self.cut_outs = cut_outs

    def __call__(self, video: str) -> Tensor:
        cut = self.cut_outs[video]
        duration = float(cut.end - cut.start)
        units = window_proposals(duration, lengths=WINDOW_UNITS, overlap=0.75)
        return units * SECONDS_PER_UNIT
