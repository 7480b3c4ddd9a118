"""Features of many videos, read when they are asked for: ``store[video] -> Features``.

A store is a read-only mapping. It reads a video when it is asked for and keeps nothing in memory
(except :class:`InMemoryFeatureStore`), so it may be larger than memory, and it can be handed to the
workers of a ``torch.utils.data.DataLoader``.

The step (seconds from one feature row to the next) is taken from the first place that gives it: the
file of the video, the metadata of the collection, the argument ``step``, and last the argument
``durations``: the length of the video after its offset, divided by the number of rows.
"""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gnnreloc.data.feature_files import (
    FEATURE_SUFFIXES,
    build_features,
    read_feature_file,
    read_json_object,
)
from gnnreloc.data.features import Features, validate_features
from gnnreloc.errors import InputError


class MissingVideoError(InputError, KeyError):
    """A video that a store does not hold; a ``KeyError``, so that ``store.get(video)`` works."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        return str(self.args[0])


class FeatureStore(Mapping[str, Features]):
    """Read-only mapping from the name of a video to its :class:`Features`.

    Asking for a video raises :class:`MissingVideoError` when the store does not hold it, and
    :class:`gnnreloc.errors.InputError`, which names the video, when its features are not usable.
    ``video in store``, ``len(store)`` and iteration read no features.
    """

    @abstractmethod
    def __contains__(self, video: object) -> bool:
        """Whether the store holds the video, without reading its features."""


class InMemoryFeatureStore(FeatureStore):
    """Features that are already in memory, checked once, here.

    Args:
        videos: Features of every video; all of the same width.

    Raises:
        InputError: If a video has NaN or infinite values or differs in width from the first one.
    """

    def __init__(self, videos: Mapping[str, Features]) -> None:
        self._videos = dict(videos)
        channels = next((features.num_channels for features in self._videos.values()), None)
        for video, features in self._videos.items():
            validate_features(features.values, video, channels)

    def __getitem__(self, video: str) -> Features:
        if video not in self._videos:
            raise MissingVideoError(f"video {video!r} is not among {len(self)} videos in memory")
        return self._videos[video]

    def __contains__(self, video: object) -> bool:
        return video in self._videos

    def __iter__(self) -> Iterator[str]:
        return iter(self._videos)

    def __len__(self) -> int:
        return len(self._videos)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} videos)"


class DirectoryFeatureStore(FeatureStore):
    """A folder with one file for each video: ``<video>.safetensors``, ``.npz`` or ``.npy``.

    See :mod:`gnnreloc.data.feature_files` for the inside of the files. The folder may hold a
    ``metadata.json`` that speaks for all of them::

        {"step": 0.5, "offset": 0.0, "backbone": "c3d", "checksum": {"<video>": "<sha256>"}}

    Every key is optional, and ``step`` and ``offset`` may be objects ``{"<video>": seconds}``. A
    file with a checksum is checked against it when it is first read. All keys but these two go into
    ``Features.metadata``, where those of the file itself win.

    Args:
        root: The folder.
        step: Seconds from one row to the next, for all videos or for each.
        durations: Length of each video in seconds.
        channels: Width wanted of every feature row, or ``None`` for any.

    Raises:
        InputError: If the folder is missing or its ``metadata.json`` is not a JSON object.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        step: float | Mapping[str, float] | None = None,
        durations: Mapping[str, float] | None = None,
        channels: int | None = None,
    ) -> None:
        self.root = Path(root)
        self.step = step
        self.durations = durations
        self.channels = channels
        if not self.root.is_dir():
            raise InputError(f"{self.root}: found no such folder of features")
        shared = self.root / "metadata.json"
        self._metadata = read_json_object(shared) if shared.is_file() else {}
        self._checksums = self._metadata.pop("checksum", {})
        if not isinstance(self._checksums, dict):
            raise InputError(f"{shared}: checksum: wanted an object {{video: sha256}}")
        self._verified: set[str] = set()

    def __getitem__(self, video: str) -> Features:
        paths = self._paths(video)
        if not paths:
            wanted = " or ".join(FEATURE_SUFFIXES)
            raise MissingVideoError(f"video {video!r}: found no such {wanted} file in {self.root}")
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            raise InputError(f"video {video!r}: found {names} in {self.root}, wanted one file")
        values, metadata = read_feature_file(paths[0])
        if video in self._checksums:
            self._verify(video, paths[0])
            metadata["checksum"] = self._checksums[video]
        given = (metadata, self._metadata, {"step": self.step})
        return build_features(values, video, paths[0], given, self.durations, self.channels)

    def _paths(self, video: object) -> list[Path]:
        """The files of a video: one, none, or by mistake several."""
        if not _is_plain_name(video):
            return []
        paths = (self.root / f"{video}{suffix}" for suffix in FEATURE_SUFFIXES)
        return [path for path in paths if path.is_file()]

    def _verify(self, video: str, path: Path) -> None:
        if video in self._verified:
            return
        found, wanted = hashlib.sha256(path.read_bytes()).hexdigest(), self._checksums[video]
        if found != wanted:
            raise InputError(f"{path}: found sha256 {found}, wanted {wanted} (metadata.json)")
        self._verified.add(video)

    def __contains__(self, video: object) -> bool:
        return bool(self._paths(video))

    def __iter__(self) -> Iterator[str]:
        names = {path.stem for path in self.root.iterdir() if path.suffix in FEATURE_SUFFIXES}
        return iter(sorted(filter(_is_plain_name, names)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r})"


class HDF5FeatureStore(FeatureStore):
    """One HDF5 file, by default in the layout of the official ActivityNet C3D features.

    The rows of a video lie in the data set ``<prefix><video>/<dataset>``, that is
    ``v_<id>/c3d_features``; a group without the prefix is as good. Attributes of the data set and
    of the file are taken as metadata (also ``step`` and ``offset``); the official file has none, so
    give ``step`` or ``durations``.

    The file is opened when a process first reads from it, so a store can go to worker processes.

    Args:
        path: The file.
        step: Seconds from one row to the next, for all videos or for each.
        durations: Length of each video in seconds.
        dataset: Name of the data set in the group of a video.
        prefix: What stands before the name of the video in the name of its group.
        channels: Width wanted of every feature row, or ``None`` for any.

    Raises:
        InputError: If the file is missing or (when it is first read) is not an HDF5 file.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        step: float | Mapping[str, float] | None = None,
        durations: Mapping[str, float] | None = None,
        dataset: str = "c3d_features",
        prefix: str = "v_",
        channels: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.step = step
        self.durations = durations
        self.dataset = dataset
        self.prefix = prefix
        self.channels = channels
        self._handle: h5py.File | None = None
        self._process = -1
        if not self.path.is_file():
            raise InputError(f"{self.path}: found no such HDF5 file")

    def _file(self) -> h5py.File:
        """The open file of this process; a handle inherited through a fork is not safe to use."""
        if self._handle is None or self._process != os.getpid():
            try:
                self._handle = h5py.File(self.path, "r", locking="best-effort")
            except OSError as error:
                raise InputError(f"{self.path}: cannot be read as HDF5: {error}") from error
            self._process = os.getpid()
        return self._handle

    def close(self) -> None:
        """Close the file in this process; the next read opens it again."""
        if self._handle is not None and self._process == os.getpid():
            self._handle.close()
        self._handle = None

    def __getitem__(self, video: str) -> Features:
        group = find_group(self._file(), video, self.prefix)
        if group is None:
            raise MissingVideoError(
                f"video {video!r}: found no group '{self.prefix}{video}' in {self.path}"
            )
        name = f"{group}/{self.dataset}"
        data = self._file().get(name)
        if not isinstance(data, h5py.Dataset):
            raise InputError(f"video {video!r}: found no data set {name!r} in {self.path}")
        try:
            values = data[()]
        except OSError as error:
            raise InputError(f"video {video!r}: {self.path} is damaged: {error}") from error
        given = (read_attributes(data), read_attributes(self._file()), {"step": self.step})
        return build_features(values, video, self.path, given, self.durations, self.channels)

    def __contains__(self, video: object) -> bool:
        return find_group(self._file(), video, self.prefix) is not None

    def __iter__(self) -> Iterator[str]:
        names = (name.removeprefix(self.prefix) for name in self._file())
        return iter(dict.fromkeys(name for name in names if name in self))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"


def open_features(path: Path | str, **options: Any) -> FeatureStore:
    """Open the store that lies at ``path``.

    Args:
        path: A folder (:class:`DirectoryFeatureStore`), or a file with the suffix ``.h5`` or
            ``.hdf5`` (:class:`HDF5FeatureStore`).
        **options: Keyword arguments of that store, such as ``step`` or ``durations``.

    Raises:
        InputError: If there is nothing at ``path``, or a file of another kind.
    """
    path = Path(path)
    if path.is_dir():
        return DirectoryFeatureStore(path, **options)
    if path.suffix not in (".h5", ".hdf5"):
        found = f"suffix {path.suffix!r}" if path.exists() else "nothing"
        raise InputError(
            f"{path}: found {found}, wanted a folder of features or an .h5 / .hdf5 file"
        )
    return HDF5FeatureStore(path, **options)


def find_group(file: h5py.File, video: object, prefix: str = "v_") -> str | None:
    """Name of the group of a video: with the prefix or, where there is none, without it."""
    if not _is_plain_name(video):
        return None
    if f"{prefix}{video}" in file:
        return f"{prefix}{video}"
    return f"{video}" if file.get(f"{video}", getclass=True) is h5py.Group else None


def _is_plain_name(video: object) -> bool:
    """Whether a video name can be a file name: no path, not hidden; nothing outside is reached."""
    if not isinstance(video, str) or not video or video.startswith("."):
        return False
    return not any(character in video for character in "/\\\0")


def read_attributes(node: Any) -> dict[str, Any]:
    """HDF5 attributes as plain Python values."""
    attributes: dict[str, Any] = {}
    for name, value in node.attrs.items():
        plain = value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value
        attributes[name] = plain.decode(errors="replace") if isinstance(plain, bytes) else plain
    return attributes
