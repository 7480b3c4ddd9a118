"""The features of one's own videos: found, read once, checked against each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from gnnreloc.data.feature_store import (
    DirectoryFeatureStore,
    FeatureStore,
    InMemoryFeatureStore,
    open_features,
)
from gnnreloc.data.features import Features
from gnnreloc.datasets.official_files import FEATURE_NAMES, MissingFileError
from gnnreloc.errors import InputError

#: Features that are together smaller than this (bytes) are kept in memory.
MOST_IN_MEMORY = 2**31
#: What features say of a single video, not of how all were made.
OF_ONE_VIDEO = (
    *("file", "bytes", "changed", "sha256", "checksum"),
    *("damaged", "clip_start", "clip_end"),
)


@dataclass(frozen=True)
class FolderFeatures:
    """Features of some videos, and what was learned when they were read.

    Attributes:
        store: the features; in memory, if they are not too large.
        durations: video to the time in seconds at which its last row ends.
        steps: video to the seconds from one row to the next.
        metadata: what all videos say alike, such as ``backbone``; and ``step``, if it is one.
    """

    store: FeatureStore
    durations: Mapping[str, float]
    steps: Mapping[str, float]
    metadata: Mapping[str, Any]


def find_store(
    root: str | Path, given: str | Path | None = None, **options: Any
) -> tuple[Path, FeatureStore]:
    """Open the features of a folder.

    Args:
        root: the folder; ``features.h5``, ``features.hdf5`` or ``features`` in it, or feature files
            that lie in it themselves.
        given: another path, if it is not one of these.
        **options: ``step`` and ``durations``, see :func:`~gnnreloc.data.open_features`.

    Returns:
        Path and store.

    Raises:
        MissingFileError: if there are no features.
        InputError: if there is no such folder, or features in two places.
    """
    if given is not None:
        path = Path(given).expanduser()
        return path, open_features(path, **options)
    root = Path(root).expanduser()
    if not root.is_dir():
        raise InputError(f"{root}: found no such folder")
    found = [root / name for name in FEATURE_NAMES if (root / name).exists()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise InputError(f"{root}: found {names}, wanted one of them: name it with features")
    if found:
        return found[0], open_features(found[0], **options)
    store = DirectoryFeatureStore(root, **options)
    if not len(store):
        raise MissingFileError(
            f"{root}: found no features: make them with gnnreloc features VIDEOS --out "
            f"{root / 'features'}, or name them with features"
        )
    return root, store


def names_in_store(store: FeatureStore, videos: Iterable[str]) -> dict[str, str]:
    """The names by which a store knows videos.

    Example:
        >>> import torch
        >>> one = Features(torch.zeros(1, 1), step=1.0)
        >>> store = InMemoryFeatureStore({"a.mp4": one, "day 1%2Fb.mp4": one, "c": one})
        >>> names_in_store(store, ["a", "day 1/b.mp4", "c.avi", "d"])
        {'a': 'a.mp4', 'day 1/b.mp4': 'day 1%2Fb.mp4', 'c.avi': 'c', 'd': 'd'}

    Args:
        store: the features; a name may have the suffix of its file and, where the file lies in
            another folder, ``%2F`` for ``/``, as ``gnnreloc features`` gives them.
        videos: how the user calls them, with the suffix or without.

    Returns:
        What the user calls a video to its name; to the same where the store has none, or several.
    """
    names = {unquote(name): name for name in store}
    without: dict[str, list[str]] = {}
    for path, name in names.items():
        without.setdefault(_without_suffix(path), []).append(name)
    found: dict[str, str] = {}
    for video in videos:
        near = without.get(video, []) + [names[p] for p in [_without_suffix(video)] if p in names]
        chosen = near[0] if len(near) == 1 else video
        found[video] = video if video in store else names.get(video, chosen)
    return found


def _without_suffix(path: str) -> str:
    return str(PurePosixPath(path).with_suffix("")) if PurePosixPath(path).name else path


def load_features(store: FeatureStore, videos: Sequence[str], path: Path) -> FolderFeatures:
    """Read the features of some videos once.

    Args:
        store: the features.
        videos: names of the videos.
        path: where the features lie, for the messages.

    Raises:
        InputError: if features are not usable, or two videos have another width or backbone.
    """
    durations: dict[str, float] = {}
    steps: dict[str, float] = {}
    kept: dict[str, Features] = {}
    common: dict[str, Any] = {}
    size, first = 0, ""
    for video in videos:
        features = store[video]
        durations[video], steps[video] = features.duration, features.step
        own = {name: value for name, value in features.metadata.items() if name not in OF_ONE_VIDEO}
        if not first:
            first, width, common = video, features.num_channels, own
        for what, one, other in (
            ("channels", width, features.num_channels),
            ("backbone", common.get("backbone"), own.get("backbone")),
        ):
            if one != other:
                raise InputError(
                    f"{path}: video {video!r} has {what} {other!r}, video {first!r} {one!r}: all "
                    "features must be made alike"
                )
        common = {name: value for name, value in common.items() if own.get(name) == value}
        size += features.values.numel() * features.values.element_size()
        if size <= MOST_IN_MEMORY:
            kept[video] = features
        else:
            kept.clear()
    alike = max(steps.values()) <= min(steps.values()) * (1 + 1e-6)
    metadata = {**common, "step": steps[first]} if alike else common
    return FolderFeatures(
        store if size > MOST_IN_MEMORY else InMemoryFeatureStore(kept), durations, steps, metadata
    )
