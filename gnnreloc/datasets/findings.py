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
from gnnreloc.datasets.feature_shapes import Shape, read_shapes
from gnnreloc.datasets.official_files import MissingFileError, OfficialFile, find_features
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


def check_moments(what: str, moments: pd.DataFrame) -> Generator[Finding, None, None]:
    """Bad moments, which the official files hold too; loading drops them."""
    with warnings.catch_warnings(record=True) as dropped:
        warnings.simplefilter("always")
        good = yield from attempt(
            what, lambda: validate_moments(moments, source=what, on_bad="drop")
        )
    if good is not None and dropped:
        yield Finding("present", "bad moments", f"{dropped[0].message}")


def check_features(
    root: Path, official: OfficialFile, videos: Sequence[str]
) -> Generator[Finding, None, dict[str, Shape]]:
    """Shapes of the features of those videos that have some; only headers are read."""
    path = yield from attempt(official.name, lambda: find_features(root, official, None))
    if path is None:
        return {}
    shapes = yield from attempt(path.name, lambda: read_shapes(path, videos))
    if shapes is None:
        return {}
    lacking = [video for video in videos if video not in shapes]
    if lacking:
        detail = f"{name_some(lacking)}: no features of them in {path}: get them from "
        yield Finding("missing", f"features of {len(lacking)} videos", detail + official.source)
    damaged = [video for video, shape in shapes.items() if len(shape) != 2 or 0 in shape]
    if damaged:
        detail = f"{name_some(damaged)}: not readable as features [rows, channels]"
        yield Finding("inconsistent", path.name, detail)
    good = {video: shape for video, shape in shapes.items() if video not in set(damaged)}
    if good:
        width = statistics.mode(shape[1] for shape in good.values())
        yield Finding("present", path.name, f"{len(good)} videos, {width} channels")
        other = [video for video, shape in good.items() if shape[1] != width]
        if other:
            detail = f"{name_some(other)}: another number of channels than {width}"
            yield Finding("inconsistent", path.name, detail)
    return good


def check_lengths(
    durations: Mapping[str, float],
    shapes: Mapping[str, Shape],
    good: Callable[[int, float], bool],
    wanted: str,
) -> Finding:
    """Whether the rows of every video fit its duration, ``good(rows, seconds)``."""
    off = [video for video, shape in shapes.items() if not good(shape[0], durations[video])]
    if not off:
        detail = f"rows of all {len(shapes)} videos fit their durations ({wanted})"
        return Finding("present", "feature lengths", detail)
    first = off[0]
    detail = f"{name_some(off)}: {shapes[first][0]} rows in {durations[first]:g} s, wanted {wanted}"
    return Finding("inconsistent", "feature lengths", detail)


def name_some(names: Collection[str]) -> str:
    """The first three names and how many there are."""
    first = ", ".join(list(names)[:3])
    return f"{first}{', ...' * (len(names) > 3)} ({len(names)})"
