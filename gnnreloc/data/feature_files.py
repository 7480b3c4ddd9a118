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
    except (
        OSError,
        EOFError,
        KeyError,
        ValueError,
        zlib.error,
        zipfile.BadZipFile,
        safetensors.SafetensorError,
    ) as error:
        raise InputError(f"{path}: cannot be read as {path.suffix} features: {error}") from error


def _read_safetensors(path: Path) -> tuple[Tensor, dict[str, Any]]:
    with safetensors.safe_open(path, framework="pt") as file:
        _check_entry(path, list(file.keys()))
        header = file.metadata() or {}
        values: Tensor = file.get_tensor("features")
    return values, {name: _from_text(text) for name, text in header.items() if name != "format"}


def _read_numpy(path: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    with path.open("rb") as file:  # given a path, np.load leaves a damaged archive open
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded, {}
        _check_entry(path, loaded.files)
        document = str(loaded["metadata"]) if "metadata" in loaded.files else "{}"
        values: NDArray[Any] = loaded["features"]
    metadata = json.loads(document)
    if not isinstance(metadata, dict):
        raise InputError(f"{path}: found metadata {document!r}, wanted a JSON object")
    return values, metadata


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
        durations: Length of each video in seconds; gives the step where ``given`` does not.
        channels: Width wanted, or ``None`` for any.

    Raises:
        InputError: If the rows are not usable, or the step is unknown or not above 0.
    """
    tensor = validate_features(values, video, channels)
    offset = _seconds("offset", given, video, source) or 0.0
    step = _seconds("step", given, video, source)
    if step is None and durations is not None and video in durations:
        step = (float(durations[video]) - offset) / len(tensor)
    if step is None:
        raise InputError(
            f"{source}: found no step for video {video!r}; give the seconds between feature rows "
            "in the file or in metadata.json, or pass step= or durations="
        )
    metadata: dict[str, Any] = {}
    for entries in reversed(given):
        metadata.update(entries)
    timing = ("step", "offset")
    metadata = {name: value for name, value in metadata.items() if name not in timing}
    try:
        return Features(tensor, step, offset, metadata)
    except InputError as error:
        raise InputError(f"{source}: video {video!r}: {error}") from error


def _seconds(
    name: str, given: Sequence[Mapping[str, Any]], video: str, source: Path
) -> float | None:
    """The first time in seconds that ``given`` holds under ``name``, for this video."""
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
