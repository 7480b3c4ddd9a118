"""Files that hold the features of one video: .safetensors, .npz and .npy.

================  ====================  ========================================
suffix            feature rows          step, offset and other metadata
================  ====================  ========================================
``.safetensors``  tensor ``features``   header, one text entry for each name
``.npz``          array ``features``    array ``metadata`` that holds a JSON object
``.npy``          the array             none
================  ====================  ========================================

Pickled data is never read.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors
import safetensors.torch
from numpy.typing import NDArray
from torch import Tensor

from gnnreloc.atomic_write import atomic_write
from gnnreloc.data.features import Features, validate_features
from gnnreloc.errors import InputError

FEATURE_SUFFIXES = (".safetensors", ".npz", ".npy")

#: Share of a duration, and number of steps, by which the end of the last row may miss it.
LENGTH_SHARE, LENGTH_STEPS = 0.1, 2.0

_DAMAGE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    zlib.error,
    zipfile.BadZipFile,
    safetensors.SafetensorError,
)


def write_features(path: Path | str, features: Features) -> None:
    """Write the features of one video to a file, whole or not at all.

    The rows go to a temporary file beside ``path``, which then takes its place; missing parent
    folders are made. A ``.npy`` file keeps the rows alone: give step and offset in the
    ``metadata.json`` of its folder.

    Args:
        path: File to write; its suffix (``.safetensors``, ``.npz``, ``.npy``) chooses the format.
        features: What to write. Metadata values must fit into JSON.

    Raises:
        InputError: If the suffix is unknown or the metadata does not fit into JSON.
    """
    path = Path(path)
    if path.suffix not in FEATURE_SUFFIXES:
        raise InputError(f"{path}: found suffix {path.suffix!r}, wanted one of {FEATURE_SUFFIXES}")
    metadata = {**features.metadata, "step": features.step, "offset": features.offset}
    try:
        document = json.dumps(metadata)
    except TypeError as error:
        raise InputError(f"{path}: metadata does not fit into JSON: {error}") from error
    values = features.values.detach().cpu().contiguous()
    with atomic_write(path) as file:
        _write_values(file, path.suffix, values, metadata, document)


def _write_values(
    file: BinaryIO, suffix: str, values: Tensor, metadata: Mapping[str, Any], document: str
) -> None:
    if suffix == ".npy":
        np.save(file, values.numpy(), allow_pickle=False)
    elif suffix == ".npz":
        np.savez(file, features=values.numpy(), metadata=np.array(document))
    else:
        header = {name: _to_text(value) for name, value in metadata.items()}
        file.write(safetensors.torch.save({"features": values}, header))


def read_feature_file(path: Path | str) -> tuple[Tensor | NDArray[Any], dict[str, Any]]:
    """Read the feature rows of one file, not yet checked, and the metadata it carries.

    Args:
        path: A file with one of the suffixes ``.safetensors``, ``.npz``, ``.npy``.

    Returns:
        The rows as stored, and the metadata with ``step`` and ``offset`` where the file gives them.

    Raises:
        InputError: If the file is missing, damaged, pickled or without an entry ``features``.
    """
    path = Path(path)
    try:
        return _read_safetensors(path) if path.suffix == ".safetensors" else _read_numpy(path)
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path}: cannot be read as {path.suffix} features: {error}") from error


def read_feature_header(path: Path | str) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Read the shape of the feature rows of one file, and the metadata it carries, but no row.

    Args:
        path: A file with one of the suffixes ``.safetensors``, ``.npz``, ``.npy``.

    Returns:
        The shape, ``(n, C)`` if all is well, and the metadata as :func:`read_feature_file` does.

    Raises:
        InputError: If the file is missing, damaged or without an entry ``features``.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            with safetensors.safe_open(path, framework="pt") as file:
                _check_entry(path, list(file.keys()))
                shape = tuple(file.get_slice("features").get_shape())
                return shape, _read_entries(file.metadata())
        if path.suffix == ".npy":
            with path.open("rb") as stream:
                return _read_numpy_shape(stream), {}
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            _check_entry(path, [name.removesuffix(".npy") for name in archive.namelist()])
            with archive.open("features.npy") as member:
                shape = _read_numpy_shape(member)
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as loaded:
            return shape, _read_document(path, loaded)
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path}: cannot be read as {path.suffix} features: {error}") from error


def _read_numpy_shape(stream: Any) -> tuple[int, ...]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape: tuple[int, ...] = read(stream)[0]
    return shape


def _read_safetensors(path: Path) -> tuple[Tensor, dict[str, Any]]:
    with safetensors.safe_open(path, framework="pt") as file:
        _check_entry(path, list(file.keys()))
        values: Tensor = file.get_tensor("features")
        return values, _read_entries(file.metadata())


def _read_numpy(path: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    with path.open("rb") as file:  # given a path, np.load leaves a damaged archive open
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded, {}
        _check_entry(path, loaded.files)
        values: NDArray[Any] = loaded["features"]
        return values, _read_document(path, loaded)


def _read_entries(header: Mapping[str, str] | None) -> dict[str, Any]:
    """The metadata in the header of a ``.safetensors`` file."""
    entries = (header or {}).items()
    return {name: _from_text(text) for name, text in entries if name != "format"}


def _read_document(path: Path, loaded: Any) -> dict[str, Any]:
    """The metadata in an open ``.npz`` file."""
    document = str(loaded["metadata"]) if "metadata" in loaded.files else "{}"
    metadata = json.loads(document)
    if not isinstance(metadata, dict):
        raise InputError(f"{path}: found metadata {document!r}, wanted a JSON object")
    return metadata


def _check_entry(path: Path, names: list[str]) -> None:
    if "features" not in names:
        raise InputError(f"{path}: found entries {sorted(names)}, wanted one named 'features'")


def _from_text(text: str) -> Any:
    """Read a header entry: JSON where it is JSON, the plain text otherwise."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _to_text(value: Any) -> str:
    """Write a header entry so that ``_from_text`` gives the value back, as plain text if it can."""
    if isinstance(value, str) and _from_text(value) == value:
        return value
    return json.dumps(value)


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        InputError: If the file cannot be read, is not JSON or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: found a JSON {type(content).__name__}, wanted an object")
    return content


def build_features(
    values: Tensor | NDArray[Any],
    video: str,
    source: Path,
    given: Sequence[Mapping[str, Any]],
    durations: Mapping[str, float] | None = None,
    channels: int | None = None,
) -> Features:
    """Check the rows of a video and join them with what is known about them.

    Args:
        values: Feature rows as stored, ``[n, C]``.
        video: Name of the video.
        source: File that the rows come from, for the messages.
        given: Metadata, the most trusted first; ``step`` and ``offset`` are seconds for all videos
            or a mapping from video to seconds.
        durations: Length of each video in seconds; see :func:`place_rows`.
        channels: Width wanted, or ``None`` for any.

    Raises:
        InputError: If the rows are not usable, or for what :func:`place_rows` finds.
    """
    tensor = validate_features(values, video, channels)
    step, offset = place_rows(len(tensor), video, source, given, durations)
    metadata: dict[str, Any] = {}
    for entries in reversed(given):
        metadata.update(entries)
    timing = ("step", "offset")
    metadata = {name: value for name, value in metadata.items() if name not in timing}
    return Features(tensor, step, offset, metadata)


def place_rows(
    rows: int,
    video: str,
    source: Path,
    given: Sequence[Mapping[str, Any]],
    durations: Mapping[str, float] | None = None,
) -> tuple[float, float]:
    """Step and offset of the feature rows of a video, in seconds.

    Where both the step and the length of the video are known, the rows must end where the video
    does, give or take a tenth of its length or two steps: a step in frames or milliseconds would
    move every moment, unseen.

    Example:
        >>> place_rows(4, "v", Path("v.npy"), [{"offset": 1.0}], {"v": 9.0})
        (2.0, 1.0)

    Args:
        rows: Number of feature rows, at least 1.
        video: Name of the video.
        source: File that the rows come from, for the messages.
        given: Metadata, as for :func:`build_features`.
        durations: Length of each video in seconds; gives the step where ``given`` does not.

    Raises:
        InputError: If the step is unknown or not above 0, the offset is not finite, or the rows do
            not end where the video does.
    """
    where = f"{source}: video {video!r}"
    offset = read_seconds("offset", given, video, source) or 0.0
    step = read_seconds("step", given, video, source)
    if not math.isfinite(offset):
        raise InputError(f"{where}: found offset {offset}, wanted a finite time in seconds")
    duration = None if durations is None or video not in durations else float(durations[video])
    known = step is not None
    if step is None and duration is not None:
        step = (duration - offset) / rows
    if step is None:
        raise InputError(
            f"{source}: found no step for video {video!r}; give the seconds between feature rows "
            "in the file or in metadata.json, or pass step= or durations="
        )
    if not (math.isfinite(step) and step > 0):
        raise InputError(f"{where}: found step {step}, wanted seconds greater than 0")
    end = offset + rows * step
    if known and duration is not None:
        if abs(end - duration) > max(LENGTH_SHARE * duration, LENGTH_STEPS * step):
            raise InputError(
                f"{where}: found {rows} rows of {step:g} s from {offset:g} s on, which end at "
                f"{end:g} s, wanted about {duration:g} s, the length of the video; step and offset "
                "are seconds, not frames"
            )
    return step, offset


def read_seconds(
    name: str, given: Sequence[Mapping[str, Any]], video: str, source: Path
) -> float | None:
    """The first time in seconds that ``given`` holds under ``name``, for this video.

    Raises:
        InputError: If it is no number.
    """
    for entries in given:
        value = entries.get(name)
        if isinstance(value, Mapping):
            value = value.get(video)
        if value is not None:
            try:
                return float(value)
            except (TypeError, ValueError) as error:
                message = f"{source}: video {video!r}: found {name} {value!r}, wanted seconds"
                raise InputError(message) from error
    return None
