"""How many rows and channels the features of videos have and when, without reading a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from gnnreloc.data.feature_files import FEATURE_SUFFIXES, read_feature_header, read_json_object
from gnnreloc.data.feature_store import find_group, read_attributes
from gnnreloc.errors import InputError


class Header(NamedTuple):
    """What stands beside the features of a video.

    Attributes:
        shape: ``(rows, channels)`` if all is well; ``()`` if they cannot be read as features.
        source: the file they lie in.
        given: metadata, the most trusted first, as a feature store hands it to
            :func:`gnnreloc.data.feature_files.place_rows`.
    """

    shape: tuple[int, ...]
    source: Path
    given: Sequence[Mapping[str, Any]] = ()


def read_headers(path: Path, videos: Iterable[str]) -> dict[str, Header]:
    """Headers of the features of videos, found and understood as the feature stores do.

    Args:
        path: an HDF5 file with ``<video>/c3d_features`` or ``v_<video>/c3d_features``, or a folder
            with one ``.safetensors``, ``.npz`` or ``.npy`` file for each video.
        videos: the videos asked for.

    Returns:
        Video to header; videos that are not there are left out.

    Raises:
        InputError: if ``path`` is no folder and cannot be read as HDF5, or the ``metadata.json`` of
            the folder is not readable.
    """
    return _read_folder(path, videos) if path.is_dir() else _read_hdf5(path, videos)


def _read_hdf5(path: Path, videos: Iterable[str]) -> dict[str, Header]:
    headers: dict[str, Header] = {}
    try:
        with h5py.File(path, "r") as file:
            shared = read_attributes(file)
            for video in videos:
                group = find_group(file, video)
                if group is not None:
                    data = file.get(f"{group}/c3d_features")
                    headers[video] = Header((), path)
                    if isinstance(data, h5py.Dataset):
                        headers[video] = Header(data.shape, path, (read_attributes(data), shared))
    except OSError as error:
        raise InputError(f"{path}: cannot be read as HDF5: {error}") from error
    return headers


def _read_folder(path: Path, videos: Iterable[str]) -> dict[str, Header]:
    about = path / "metadata.json"
    shared = read_json_object(about) if about.is_file() else {}
    headers: dict[str, Header] = {}
    for video in videos:
        paths = (path / f"{video}{suffix}" for suffix in FEATURE_SUFFIXES)
        files = [file for file in paths if file.is_file()]
        if not files:
            continue
        headers[video] = Header((), files[0])
        if len(files) == 1:  # the stores refuse several
            with suppress(InputError):
                shape, own = read_feature_header(files[0])
                headers[video] = Header(shape, files[0], (own, shared))
    return headers
