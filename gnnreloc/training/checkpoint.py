"""Checkpoints: tensors and plain data, written whole or not at all."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gnnreloc.atomic_write import atomic_write
from gnnreloc.errors import InputError

FORMAT = 1


def save_checkpoint(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint through a temporary file, so that a crash leaves the old one whole.

    Args:
        path: file to write; its folder is made.
        content: tensors and plain data (numbers, strings, lists, dictionaries).
    """
    with atomic_write(path) as file:
        torch.save({"gnnreloc_checkpoint": FORMAT, **content}, file)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed (``weights_only``).

    Raises:
        InputError: if the file is missing, damaged, or not a checkpoint of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} is damaged")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler may raise anything on bytes that it did not write
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"checkpoint {path} cannot be read: {reason}") from error
    if not isinstance(content, dict) or content.get("gnnreloc_checkpoint") != FORMAT:
        raise InputError(f"checkpoint {path} was not written by this version of gnnreloc")
    return content


def check_identity(path: Path, theirs: Any, ours: Mapping[str, Any]) -> None:
    """Check that a checkpoint is of the run that is to go on.

    Args:
        path: of the checkpoint.
        theirs: what makes its run that run, such as options, data set and seed.
        ours: the same of the run that is to go on.

    Raises:
        InputError: if they differ; names the innermost option.
    """
    theirs = theirs if isinstance(theirs, Mapping) else {}
    for name in ours:
        different = _first_difference(name, theirs.get(name), ours[name])
        if different is not None:
            option, before, now = different
            raise InputError(
                f"checkpoint {path} is of another run: its {option} is {before!r}, "
                f"this run's is {now!r}"
            )


def _first_difference(name: str, theirs: Any, ours: Any) -> tuple[str, Any, Any] | None:
    """The innermost option, such as ``trainer.epochs``, in which two descriptions differ."""
    if theirs == ours:
        return None
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        parts = [(key, theirs.get(key), ours.get(key)) for key in {**theirs, **ours}]
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        parts = [(number, *pair) for number, pair in enumerate(zip(theirs, ours, strict=True))]
    else:
        return name, theirs, ours
    found = (_first_difference(f"{name}.{key}", one, other) for key, one, other in parts)
    return next(difference for difference in found if difference is not None)
