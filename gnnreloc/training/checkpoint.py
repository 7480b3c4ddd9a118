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
