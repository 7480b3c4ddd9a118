"""The files under the root of a data set, read with errors that name the file."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gnnreloc.errors import InputError

# A damaged archive fails in the zip directory, in the compressed data or in the header of an array.
_DAMAGE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    MemoryError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an ``.npz`` file; pickled objects are not read.

    Args:
        path: the file.

    Returns:
        Name of each array to the array.

    Raises:
        InputError: if the file is missing, damaged, or something else than an ``.npz``.
    """
    _require(path)
    try:
        # np.load leaves a file that it opened itself open when the archive is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {str(name): archive[name] for name in archive.files}
    except _DAMAGE as error:
        raise InputError(f"{path}: cannot be read as .npz: {error!r}") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file (UTF-8, with or without a byte order mark).

    Args:
        path: the file.

    Raises:
        InputError: if the file is missing or holds something else.
    """
    _require(path)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error


def _require(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path} is missing; --root must be the folder that holds it")
