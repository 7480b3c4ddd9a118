"""One writer at a time in a folder of features."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gnnreloc.errors import InputError


@contextmanager
def lock_store(folder: Path | str) -> Iterator[Path]:
    """Hold a folder of features, made where it is missing, for this process.

    Half-written files of a process that was killed are removed. The lock ends with the process.

    Args:
        folder: The folder.

    Raises:
        InputError: If the folder cannot be made or written, or another process holds it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with lock_store(f"{folder}/store") as store:
        ...         store.name
        'store'
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise InputError(
                f"{folder} is being written by another process ({lock.read().strip()}): wait for it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        yield folder
