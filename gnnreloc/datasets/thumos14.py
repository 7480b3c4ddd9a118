"""THUMOS14 with its annotation files and features of one's own: the data set ``thumos14``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from gnnreloc.data.annotations import validate_moments
from gnnreloc.data.corpus import Corpus
from gnnreloc.data.feature_store import open_features
from gnnreloc.data.lazy_proposals import LazyProposals
from gnnreloc.datasets.class_split import assign_subsets, split_classes
from gnnreloc.datasets.official_files import (
    OfficialFile,
    OnMissing,
    find_features,
    keep_available,
    read_lines,
)
from gnnreloc.errors import InputError
from gnnreloc.proposals import TagOnActionness

CLASSES = (
    *("BaseballPitch", "BasketballDunk", "Billiards", "CleanAndJerk", "CliffDiving"),
    *("CricketBowling", "CricketShot", "Diving", "FrisbeeCatch", "GolfSwing"),
    *("HammerThrow", "HighJump", "JavelinThrow", "LongJump", "PoleVault"),
    *("Shotput", "SoccerPenalty", "TennisSwing", "ThrowDiscus", "VolleyballSpiking"),
)
SIZES = {"train": 12, "validation": 2, "test": 6}
#: Test videos with wrong annotations, which the paper leaves out (section 5.1.2).
EXCLUDED = ("video_test_0000270", "video_test_0001496")

_SOURCE = "https://github.com/yjxiong/action-detection (folder data/thumos_14)"
#: Official part to the folder of its annotations, the end of a file's name, and its durations.
PARTS = {
    "validation": (
        OfficialFile("temporal_annotations_validation", _SOURCE),
        "_val.txt",
        OfficialFile("validation_durations.txt", _SOURCE, aliases=("th14_val_durations.txt",)),
    ),
    "test": (
        OfficialFile("temporal_annotations_test", _SOURCE),
        "_test.txt",
        OfficialFile("test_durations.txt", _SOURCE, aliases=("th14_test_durations.txt",)),
    ),
}
FEATURES = OfficialFile(
    "features.h5", "a feature extractor of your choice, such as C3D, over the THUMOS14 videos"
)


def thumos14(
    root: str | Path,
    *,
    split: int = 0,
    features: str | Path | None = None,
    on_missing: OnMissing = "raise",
) -> Corpus:
    """THUMOS14: 20 classes in 200 validation and 212 test videos (section 5.1.2 of the paper).

    That is 3007 and 3358 annotated moments, those of the class ``Ambiguous`` not counted. Of these
    412 videos, two test videos with wrong annotations are left out. The paper draws 14 classes for
    training and 6 for test; something must be chosen on, so 2 of the 14 are validation classes
    (ours). A video that shows classes of several subsets goes to test if one of them is a test
    class, else to validation, and loses its other moments (``settings["left_out_moments"]``; most
    videos of cricket show both ``CricketBowling`` and ``CricketShot``). The few moments that lie
    after the end of their video, by its duration file, are dropped with one warning.

    Every moment of ``CliffDiving`` is annotated as ``Diving`` too. Here it is a cliff dive alone,
    so that no moment counts as both, and the two classes always fall into the same subset, so that
    no test class is a kind of a training class or the other way round (ours).

    Features may have any width. A row's place is read from the file where it gives a step in
    seconds, which must agree with the duration; else the rows are spread evenly over it. They are
    read when asked for; loading the corpus reads none. Candidates are those of TAG on our own
    actionness model, which is trained on the moments of training classes alone when its first
    proposal is asked for.

    Args:
        root: folder with ``temporal_annotations_validation/<Class>_val.txt``,
            ``temporal_annotations_test/<Class>_test.txt``, ``validation_durations.txt``,
            ``test_durations.txt``, and the features: ``features.h5``, ``features.hdf5`` (groups
            ``<video>`` or ``v_<video>`` with a data set ``c3d_features``) or a folder ``features``
            (one file a video).
        split: seed of the class split.
        features: features that lie elsewhere.
        on_missing: what to do about videos without features: an error, or go on without them.

    Raises:
        InputError: if a file is missing or not in the expected layout, a video has no features, or
            the split is negative.

    Warns:
        UserWarning: if bad moments or, with ``on_missing="drop"``, videos are dropped.
    """
    if split < 0:
        raise InputError(f"thumos14: split must be at least 0, got {split}")
    everything = one_class_a_moment(read_annotations(root))
    everything = everything[~everything["video"].isin(EXCLUDED)]
    everything = validate_moments(
        everything, source=f"{root}/temporal_annotations_*", on_bad="drop"
    )
    subset_of = split_classes(CLASSES, SIZES, split=split, together=(("Diving", "CliffDiving"),))
    table = assign_subsets(everything, subset_of)
    path = find_features(root, FEATURES, features)
    store = open_features(path, durations=dict(zip(table["video"], table["duration"], strict=True)))
    moments = keep_available(table, store, path=path, source=FEATURES.source, on_missing=on_missing)
    own_tag = TagOnActionness(moments[moments["subset"] == "train"], store, 0)
    return Corpus(
        name="thumos14",
        moments=moments,
        features=store,
        proposals=LazyProposals(moments["video"], own_tag),
        settings={"split": split, "on_missing": on_missing}
        | {"left_out_moments": len(everything) - len(table)},
    )


def read_annotations(root: str | Path) -> pd.DataFrame:
    """All moments of the 20 classes as they stand in the files, unchecked, excluded videos too.

    Returns:
        A moment table with the official part (``validation`` or ``test``) in the column
        ``official``; its column ``subset`` is only a place-holder.

    Raises:
        InputError: if a file is missing or holds no moment, or a line is not as expected; names
            both.
    """
    rows: list[dict[str, Any]] = []
    for part, (folder, ending, times) in PARTS.items():
        durations = _read_durations(times.at(root))
        for label in CLASSES:
            name = OfficialFile(f"{folder.name}/{label}{ending}", folder.source)
            path = name.at(root)
            lines = [(n, line) for n, line in enumerate(read_lines(path), start=1) if line.strip()]
            if not lines:
                raise InputError(f"{path}: found no moment, wanted at least one of {label}")
            for number, line in lines:
                video, start, end = _read_moment(path, number, line)
                if video not in durations:
                    raise InputError(
                        f"{path}: line {number}: {times.name} holds no duration of {video!r}"
                    )
                rows.append(
                    {"video": video, "start": start, "end": end, "label": label}
                    | {"subset": "train", "duration": durations[video], "official": part}
                )
    return pd.DataFrame(rows)


def one_class_a_moment(moments: pd.DataFrame) -> pd.DataFrame:
    """The moments without those of ``Diving`` that repeat one of ``CliffDiving``."""
    place = pd.MultiIndex.from_frame(moments[["video", "start", "end"]])
    cliff = place[moments["label"] == "CliffDiving"]
    repeated = (moments["label"] == "Diving") & place.isin(cliff)
    return moments[~repeated].reset_index(drop=True)


def _read_moment(path: Path, number: int, line: str) -> tuple[str, float, float]:
    """Video, start and end of one line."""
    try:
        video, start, end = line.split()
        return video, float(start), float(end)
    except ValueError as error:
        raise InputError(
            f"{path}: line {number}: wanted 'video start end', found {line!r}"
        ) from error


def _read_durations(path: Path) -> dict[str, float]:
    """Duration of every video in seconds; a line with a file name, then a line with a number."""
    lines = [line.strip() for line in read_lines(path) if line.strip()]
    durations: dict[str, float] = {}
    for position in range(0, len(lines), 2):
        video = Path(lines[position]).stem
        try:
            durations[video] = float(lines[position + 1])
        except (IndexError, ValueError):
            durations[video] = math.nan
        if not (math.isfinite(durations[video]) and durations[video] > 0):
            raise InputError(f"{path}: video {video!r}: wanted its duration in seconds below it")
    return durations
