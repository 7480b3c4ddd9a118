"""How many rows and channels the features of videos have, without reading a value."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import safetensors

from gnnreloc.data.feature_files import FEATURE_SUFFIXES
from gnnreloc.errors import InputError

Shape = tuple[int, ...]


def read_shapes(path: Path, videos: Iterable[str]) -> dict[str, Shape]:
    """Shapes of the features of videos, as they stand in their headers.

    Args:
        path: an HDF5 file with ``<video>/c3d_features`` or ``v_<video>/c3d_features``, or a folder
            with one ``.safetensors``, ``.npz`` or ``.npy`` file for each video.
        videos: the videos asked for.

    Returns:
        Video to shape, ``(rows, channels)`` if all is well; videos that are not there are left out.
        What is there but cannot be read as features has the shape ``()``.

    Raises:
        InputError: if ``path`` is no folder and cannot be read as HDF5.
    """
    return _read_folder(path, videos) if path.is_dir() else _read_hdf5(path, videos)


def _read_hdf5(path: Path, videos: Iterable[str]) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    try:
        with h5py.File(path, "r") as file:
            for video in videos:
                group = next((name for name in (f"v_{video}", video) if name in file), None)
                if group is not None:
                    data = file.get(f"{group}/c3d_features")
                    shapes[video] = data.shape if isinstance(data, h5py.Dataset) else ()
    except OSError as error:
        raise InputError(f"{path}: cannot be read as HDF5: {error}") from error
    return shapes


def _read_folder(path: Path, videos: Iterable[str]) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for video in videos:
        for suffix in FEATURE_SUFFIXES:
            file = path / f"{video}{suffix}"
            if file.is_file():
                try:
                    shapes[video] = _read_header(file)
                except (OSError, ValueError, KeyError, *_DAMAGED):
                    shapes[video] = ()
                break
    return shapes


_DAMAGED = (EOFError, zipfile.BadZipFile, safetensors.SafetensorError)


def _read_header(file: Path) -> Shape:
    if file.suffix == ".safetensors":
        with safetensors.safe_open(file, framework="numpy") as content:
            return tuple(content.get_slice("features").get_shape())
    if file.suffix == ".npy":
        with file.open("rb") as stream:
            return _read_npy_header(stream)
    with zipfile.ZipFile(file) as archive, archive.open("features.npy") as stream:
        return _read_npy_header(stream)


def _read_npy_header(stream: Any) -> Shape:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape: Shape = read(stream)[0]
    return shape
