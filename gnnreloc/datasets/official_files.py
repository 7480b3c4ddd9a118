"""Files that the user brings: which one, where from, where to, and what to do without."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from gnnreloc.data.feature_store import FeatureStore
from gnnreloc.errors import InputError

#: What to do about a video whose features are not there.
OnMissing = Literal["raise", "drop"]

#: Where a file or a folder of features may lie in a root, besides under its official name.
FEATURE_NAMES = ("features.h5", "features.hdf5", "features")


class MissingFileError(InputError):
    """A file of a data set is not there; says where it comes from and where it goes."""


@dataclass(frozen=True)
class OfficialFile:
    """A file or folder of a data set.

    Attributes:
        name: its name under the root.
        source: where it comes from: a page and what to take there.
        aliases: other names that are as good, the name it has on that page for one.
    """

    name: str
    source: str
    aliases: tuple[str, ...] = ()

    def at(self, root: str | Path) -> Path:
        """Its path under a root.

        Raises:
            MissingFileError: if it is not there.
        """
        for name in (self.name, *self.aliases):
            if (Path(root) / name).exists():
                return Path(root) / name
        raise MissingFileError(self.advice(root))

    def advice(self, root: str | Path) -> str:
        """One line: what is missing, where it comes from and where it goes."""
        return f"{Path(root) / self.name} is missing: get it from {self.source} and put it there"


def read_lines(path: Path) -> list[str]:
    """The lines of a text file (UTF-8), without their ends.

    Raises:
        InputError: if the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text: {error}") from error


def find_features(root: str | Path, official: OfficialFile, given: str | Path | None) -> Path:
    """The file or folder of features of a data set.

    Args:
        root: folder of the data set.
        official: the official file, looked for first.
        given: a path that the user names; nothing else is looked for then.

    Raises:
        MissingFileError: if there is none.
        InputError: if there is more than one of :data:`FEATURE_NAMES`.
    """
    if given is not None:
        path = Path(given).expanduser()
        if not path.exists():
            raise MissingFileError(f"{path} is missing: features names no file and no folder")
        return path
    if (Path(root) / official.name).exists():
        return Path(root) / official.name
    found = [Path(root) / name for name in FEATURE_NAMES if (Path(root) / name).exists()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise InputError(f"{root}: found {names}, wanted one of them: name it with features")
    if not found:
        others = ", ".join(name for name in FEATURE_NAMES if name != official.name)
        raise MissingFileError(
            f"{official.advice(root)} (or features of your own as one of {others}; the option "
            "features takes any other path)"
        )
    return found[0]


def keep_available(
    moments: pd.DataFrame,
    features: FeatureStore,
    *,
    path: Path,
    source: str,
    on_missing: OnMissing,
    held_by: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """The moments of the videos that have features; no feature is read.

    Args:
        moments: the moment table.
        features: the features.
        path: file or folder of the features, for the messages.
        source: where features come from, for the messages.
        on_missing: raise for the first video without features, or drop these videos and warn once.
        held_by: name of the recording that each video was cut from, for the messages.

    Raises:
        InputError: if a video has no features (``on_missing="raise"``), or none has.

    Warns:
        UserWarning: with ``on_missing="drop"``, if videos were dropped.
    """
    if on_missing not in ("raise", "drop"):
        raise InputError(f"on_missing: found {on_missing!r}, wanted 'raise' or 'drop'")
    videos: Sequence[str] = moments["video"].unique().tolist()
    missing = [video for video in videos if video not in features]
    if not missing:
        return moments
    first = (held_by or {}).get(missing[0], missing[0])
    found = (
        f"{path}: found no features of video {first!r}"
        f" ({len(missing)} of {len(videos)} videos have none)"
    )
    if on_missing == "raise" or len(missing) == len(videos):
        raise InputError(
            f"{found}; get them from {source} and put them there, or give on_missing=drop to go "
            "on without these videos"
        )
    warnings.warn(f"{found}; these videos are dropped", stacklevel=3)
    return moments[~moments["video"].isin(missing)].reset_index(drop=True)
