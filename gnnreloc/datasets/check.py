"""Is a data set complete? What is present, missing or inconsistent under its root."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from gnnreloc.data.corpus import Corpus
from gnnreloc.datasets.activitynet12 import ANNOTATIONS, PROPOSALS, require_listed
from gnnreloc.datasets.activitynet12 import FEATURES as C3D_FEATURES
from gnnreloc.datasets.activitynet12 import read_annotations as read_activitynet
from gnnreloc.datasets.activitynet_vrl import (
    ITEMS,
    ROWS_PER_UNIT,
    find_long_features,
    read_items,
    shared_between_subsets,
)
from gnnreloc.datasets.bandai import bandai
from gnnreloc.datasets.cut_out_store import count_units
from gnnreloc.datasets.findings import (
    Finding,
    attempt,
    check_features,
    check_lengths,
    check_moments,
    check_times,
    count_moments,
    name_some,
)
from gnnreloc.datasets.fir import fir
from gnnreloc.datasets.folder import folder
from gnnreloc.datasets.official_files import OfficialFile, find_features
from gnnreloc.datasets.root_files import read_json
from gnnreloc.datasets.tag_list import TagEntry, read_tag_list
from gnnreloc.datasets.thumos14 import CLASSES as THUMOS_CLASSES
from gnnreloc.datasets.thumos14 import EXCLUDED, one_class_a_moment
from gnnreloc.datasets.thumos14 import FEATURES as THUMOS_FEATURES
from gnnreloc.datasets.thumos14 import read_annotations as read_thumos
from gnnreloc.errors import InputError

#: A C3D row stands for 8 frames. ActivityNet videos have 6 to 60 frames a second (one, of a wrong
#: duration, 2), half of them 30: bounds for any video, and for the median of all.
FRAMES_PER_ROW = 8
FRAME_RATES = (2.0, 62.0)
MEDIAN_FRAME_RATES = (20.0, 36.0)

BANDAI_FILES = tuple(
    OfficialFile(name, "the Bandai Namco Research motion data set (joints at 10 frames a second)")
    for name in ("bandai_joints_10fps_f16.npz", "meta.json")
)
FIR_FILES = tuple(
    OfficialFile(name, "FIR-Image-Action-Dataset (EfficientNet-Lite0, one frame in 12)")
    for name in ("segments.json", "effnetlite0_stride12.npz")
)


def check_dataset(name: str, root: str | Path) -> list[Finding]:
    """What is present, missing or inconsistent in a data set.

    Of the large data sets no feature value is read, only how many rows and channels there are.

    Args:
        name: name of a data set that has a root.
        root: its folder.

    Returns:
        The findings, in the order of reading; all ``present`` if all is well.

    Raises:
        InputError: if there is no such data set, it has no root, or the root is no folder.
    """
    if name == "synthetic":
        raise InputError("synthetic is generated: there are no files to check")
    if name not in CHECKS:
        raise InputError(f"unknown data set {name!r}; known are: {', '.join(CHECKS)}")
    if not Path(root).is_dir():
        raise InputError(f"{root}: found no such folder")
    return list(CHECKS[name](Path(root)))


def _check_activitynet12(root: Path) -> Iterator[Finding]:
    table = yield from attempt(ANNOTATIONS.name, lambda: read_activitynet(root))
    used = None
    if table is not None:
        yield count_moments(ANNOTATIONS.name, table, classes=100)
        used = yield from check_moments(ANNOTATIONS.name, table)
    listed: dict[str, TagEntry] | None
    listed = yield from attempt(PROPOSALS.name, lambda: read_tag_list(PROPOSALS.at(root)))
    if listed is not None:
        many = sum(len(entry.proposals) for entry in listed.values())
        yield Finding("present", PROPOSALS.name, f"{len(listed)} videos, {many} proposals")
    if table is None or used is None:
        return
    known = set(table["video"])
    strange = [video for video in listed or {} if video not in known]
    if strange:
        detail = f"{name_some(strange)}: not in {ANNOTATIONS.name}"
        yield Finding("inconsistent", PROPOSALS.name, detail)
    if listed is not None:
        entries, path = listed, PROPOSALS.at(root)
        yield from attempt(PROPOSALS.name, lambda: require_listed(entries, used, path))
    durations = dict(zip(used["video"], used["duration"], strict=True))
    headers = yield from check_features(
        C3D_FEATURES, lambda: find_features(root, C3D_FEATURES, None), list(durations)
    )
    counts = yield from check_times(durations, headers)
    if not counts:
        return
    low, high = FRAME_RATES
    yield check_lengths(
        durations,
        counts,
        lambda rows, seconds: low <= FRAMES_PER_ROW * (rows + 1) / seconds <= high,
        f"a row for 8 frames at {low:g} to {high:g} frames a second",
    )
    median = statistics.median(
        FRAMES_PER_ROW * rows / durations[video] for video, rows in counts.items()
    )
    low, high = MEDIAN_FRAME_RATES
    if not low <= median <= high:
        detail = f"a row for 8 frames means {median:.1f} frames a second in half of the videos, "
        yield Finding("inconsistent", "feature lengths", f"{detail}wanted {low:g} to {high:g}")


def _check_thumos14(root: Path) -> Iterator[Finding]:
    table = yield from attempt("temporal_annotations_*", lambda: read_thumos(root))
    if table is None:
        return
    yield count_moments("temporal_annotations_*", table, classes=len(THUMOS_CLASSES))
    annotated = one_class_a_moment(table[~table["video"].isin(EXCLUDED)])
    detail = f"{annotated['video'].nunique()} videos, {len(annotated)} moments, without those of "
    detail += f"{' and '.join(EXCLUDED)}, and cliff dives counted once"
    yield Finding("present", "used of these", detail)
    used = yield from check_moments("temporal_annotations_*", annotated)
    if used is None:
        return
    durations = dict(zip(used["video"], used["duration"], strict=True))
    headers = yield from check_features(
        THUMOS_FEATURES, lambda: find_features(root, THUMOS_FEATURES, None), list(durations)
    )
    counts = yield from check_times(durations, headers)
    if counts:
        # One extractor and videos of one frame rate: the same step in all of them.
        step = statistics.median(durations[video] / rows for video, rows in counts.items())
        yield check_lengths(
            durations,
            counts,
            lambda rows, seconds: abs(rows * step - seconds) <= max(0.1 * seconds, 2 * step),
            f"a row for {step:.3f} s as in the other videos",
        )


def _check_activitynet_vrl(root: Path) -> Iterator[Finding]:
    names = ", ".join(file.name for file in ITEMS.values())
    table = yield from attempt(names, lambda: read_items(root))
    if table is None:
        return
    for subset, own in table.groupby("subset", sort=False):
        detail = f"{len(own)} items of {own['clip'].nunique()} videos, "
        detail += f"{own['label'].nunique()} classes"
        yield Finding("present", ITEMS[str(subset)].name, detail)
    for column, things in (("label", "classes"), ("clip", "videos")):
        shared = shared_between_subsets(table, column)
        if shared:
            yield Finding("inconsistent", things, f"{name_some(shared)}: in more than one subset")
    reach = {str(video): int(end) for video, end in table.groupby("clip")["beyond"].max().items()}
    headers = yield from check_features(C3D_FEATURES, lambda: find_long_features(root), list(reach))
    units = {video: count_units(own.shape[0], ROWS_PER_UNIT) for video, own in headers.items()}
    short = [video for video, count in units.items() if count < reach[video]]
    if short:
        detail = f"{name_some(short)}: {units[short[0]]} rows when every second is kept, but items "
        yield Finding("inconsistent", "feature lengths", f"{detail}reach to {reach[short[0]]}")
    elif units:
        yield Finding("present", "feature lengths", f"all {len(units)} videos hold their items")
    if units and (root / "length.json").exists():
        yield from _check_unit_counts(root / "length.json", units)


def _check_unit_counts(path: Path, units: dict[str, int]) -> Iterator[Finding]:
    """Kept rows against the published numbers of them; a row more or less is rounding."""
    lengths: dict[str, Any] | None = yield from attempt(path.name, lambda: read_json(path))
    if lengths is None:
        return
    try:
        wanted = {video: int(lengths[video]["n_feat"]) for video in units if video in lengths}
    except (KeyError, TypeError, ValueError) as error:
        detail = f"wanted the layout video / n_feat, found {error!r}"
        yield Finding("inconsistent", path.name, detail)
        return
    off = [video for video, count in wanted.items() if abs(units[video] - count) > 1]
    if off:
        detail = f"{name_some(off)}: {units[off[0]]} rows when every second is kept, wanted "
        yield Finding("inconsistent", "feature lengths", f"{detail}{wanted[off[0]]} ({path.name})")
    else:
        yield Finding("present", path.name, f"agrees with the features of {len(wanted)} videos")


def _check_bandai(root: Path) -> Iterator[Finding]:
    if (yield from _all_there(root, BANDAI_FILES)):
        few = {"train_videos": 1, "validation_videos": 1, "test_videos": 1}
        corpus = yield from attempt("clips", lambda: bandai(root, **few))
        if corpus is not None:
            clips = read_json(root / "meta.json")
            contents = {(clip["dataset"], clip["content"]) for clip in clips}
            detail = f"{len(clips)} clips of {len(contents)} classes, all readable"
            yield Finding("present", "clips", detail)


def _check_fir(root: Path) -> Iterator[Finding]:
    if (yield from _all_there(root, FIR_FILES)):
        corpus = yield from attempt("moments and features", lambda: fir(root))
        if corpus is not None:
            yield count_moments("moments", corpus.moments, classes=None)
            detail = f"{len(corpus.features)} videos, {corpus.num_channels} channels, as long as "
            yield Finding("present", "features", f"{detail}their durations")


def _check_folder(root: Path) -> Iterator[Finding]:
    corpus = yield from attempt("moments and features", lambda: _read_folder(root))
    if corpus is not None:
        yield count_moments("moments", corpus.moments, classes=None)
        videos = f"{corpus.moments['video'].nunique()} videos, {corpus.num_channels} channels"
        yield Finding("present", "features", videos)
        yield Finding("present", "held back", str(corpus.settings["division"]))


def _read_folder(root: Path) -> Corpus:
    """The folder; what it warns of stands among the findings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return folder(root)


def _all_there(root: Path, files: Sequence[OfficialFile]) -> Generator[Finding, None, bool]:
    """A finding for each missing file; then whether all are there."""
    missing = [file for file in files if not (root / file.name).is_file()]
    for file in missing:
        yield Finding("missing", file.name, file.advice(root))
    return not missing


CHECKS: dict[str, Callable[[Path], Iterator[Finding]]] = {
    "bandai": _check_bandai,
    "fir": _check_fir,
    "activitynet12": _check_activitynet12,
    "thumos14": _check_thumos14,
    "activitynet_vrl": _check_activitynet_vrl,
    "folder": _check_folder,
}
