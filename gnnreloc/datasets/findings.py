"""The findings of a check, and what the checks of several data sets have in common."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import pandas as pd

from gnnreloc.data.annotations import validate_moments
from gnnreloc.data.feature_files import place_rows, read_seconds
from gnnreloc.datasets.feature_shapes import Header, read_headers
from gnnreloc.datasets.official_files import MissingFileError, OfficialFile
from gnnreloc.errors import InputError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Finding:
    """One line of a check.

    Attributes:
        status: ``inconsistent`` is what is there but does not fit, or cannot be read.
        what: the file, or what was counted.
        detail: counts, or what is wrong and what to do about it.
    """

    status: Literal["present", "missing", "inconsistent"]
    what: str
    detail: str


def attempt(what: str, read: Callable[[], Result]) -> Generator[Finding, None, Result | None]:
    """What ``read`` returns, or ``None`` and a finding that says why it cannot."""
    try:
        return read()
    except MissingFileError as error:
        yield Finding("missing", what, str(error))
    except InputError as error:
        yield Finding("inconsistent", what, str(error))
    return None


def count_moments(what: str, moments: pd.DataFrame, classes: int | None) -> Finding:
    """Videos (by official part, where there is one), moments and classes; ``classes`` is wanted."""
    videos = f"{moments['video'].nunique()} videos"
    if "official" in moments:
        parts = moments.groupby("official", sort=True)["video"].nunique()
        videos += f" ({', '.join(f'{count} {part}' for part, count in parts.items())})"
    found = int(moments["label"].nunique())
    detail = f"{videos}, {len(moments)} moments, {found} classes"
    if classes is not None and found != classes:
        return Finding("inconsistent", what, f"{detail}; wanted {classes} classes")
    return Finding("present", what, detail)


def check_moments(
    what: str, moments: pd.DataFrame
) -> Generator[Finding, None, pd.DataFrame | None]:
    """Bad moments, which the official files hold too; loading drops them. Returns the good ones.

    A class of which all moments are bad is inconsistent.
    """
    with warnings.catch_warnings(record=True) as dropped:
        warnings.simplefilter("always")
        good = yield from attempt(
            what, lambda: validate_moments(moments, source=what, on_bad="drop")
        )
    if good is not None and dropped:
        yield Finding("present", "bad moments", f"{dropped[0].message}")
        kept = set(good["label"])
        lost = [label for label in moments["label"].unique() if label not in kept]
        if lost:
            detail = f"{name_some(lost)}: all moments of the class are bad"
            yield Finding("inconsistent", "classes", detail)
    return good


def check_features(
    official: OfficialFile, find: Callable[[], Path], videos: Sequence[str]
) -> Generator[Finding, None, dict[str, Header]]:
    """Headers of the features of those videos that have some; ``find`` says where they lie."""
    path = yield from attempt(official.name, find)
    if path is None:
        return {}
    headers = yield from attempt(path.name, lambda: read_headers(path, videos))
    if headers is None:
        return {}
    lacking = [video for video in videos if video not in headers]
    if lacking:
        detail = f"{name_some(lacking)}: no features of them in {path}: get them from "
        yield Finding("missing", f"features of {len(lacking)} videos", detail + official.source)
    damaged = [video for video, own in headers.items() if len(own.shape) != 2 or 0 in own.shape]
    if damaged:
        detail = f"{name_some(damaged)}: not readable as features [rows, channels] in one file"
        yield Finding("inconsistent", path.name, detail)
    good = {video: own for video, own in headers.items() if video not in set(damaged)}
    if good:
        width = statistics.mode(own.shape[1] for own in good.values())
        yield Finding("present", path.name, f"{len(good)} videos, {width} channels")
        other = [video for video, own in good.items() if own.shape[1] != width]
        if other:
            detail = f"{name_some(other)}: another number of channels than {width}"
            yield Finding("inconsistent", path.name, detail)
    return good


def check_times(
    durations: Mapping[str, float], headers: Mapping[str, Header]
) -> Generator[Finding, None, dict[str, int]]:
    """Whether step and offset, where the features give them, fit the durations.

    Returns:
        Video to its number of rows, for the videos whose features give no step.
    """
    untimed: dict[str, int] = {}
    off: dict[str, InputError] = {}
    for video, own in headers.items():
        try:
            place_rows(own.shape[0], video, own.source, own.given, durations)
            if read_seconds("step", own.given, video, own.source) is None:
                untimed[video] = own.shape[0]
        except InputError as error:
            off[video] = error
    if off:
        detail = f"{name_some(off)}: {next(iter(off.values()))}"
        yield Finding("inconsistent", "feature times", detail)
    timed = len(headers) - len(untimed) - len(off)
    if timed:
        detail = f"the steps that {timed} videos give fit their durations"
        yield Finding("present", "feature times", detail)
    return untimed


def check_lengths(
    durations: Mapping[str, float],
    counts: Mapping[str, int],
    good: Callable[[int, float], bool],
    wanted: str,
) -> Finding:
    """Whether the rows of every video fit its duration, ``good(rows, seconds)``."""
    off = [video for video, rows in counts.items() if not good(rows, durations[video])]
    if not off:
        detail = f"rows of all {len(counts)} videos fit their durations ({wanted})"
        return Finding("present", "feature lengths", detail)
    first = off[0]
    detail = f"{name_some(off)}: {counts[first]} rows in {durations[first]:g} s, wanted {wanted}"
    return Finding("inconsistent", "feature lengths", detail)


def name_some(names: Collection[str]) -> str:
    """The first three names and how many there are."""
    first = ", ".join(list(names)[:3])
    return f"{first}{', ...' * (len(names) > 3)} ({len(names)})"
