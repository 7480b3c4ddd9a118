"""Files of videos: those in folders, the names of their features, whether they can be read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gnnreloc.errors import InputError

#: Endings by which a file in a folder is taken for a video. A file that is named takes any.
VIDEO_SUFFIXES = frozenset(
    ".3gp .asf .avi .divx .f4v .flv .gif .m2ts .m2v .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogm "
    ".ogv .rm .rmvb .ts .vob .webm .wmv .y4m".split()
)

# What may not stand in the name of a file, or would be read as something else there.
_UNSAFE = re.compile(r"[%/\\\x00-\x1f\x7f\udc80-\udcff]|^\.")


def feature_name(video: str) -> str:
    """Name under which a store of features holds a video: plain, one for each video.

    Args:
        video: Path of the video from its folder, with ``/`` between the parts.

    Example:
        >>> feature_name("day 1/cam.2.mp4"), feature_name(".../100%.avi")
        ('day 1%2Fcam.2.mp4', '%2E..%2F100%25.avi')
    """
    return _UNSAFE.sub(lambda found: "".join(f"%{c:02X}" for c in os.fsencode(found[0])), video)


def find_videos(sources: Iterable[Path | str] | Path | str) -> dict[str, Path]:
    """Name and path of every video.

    Args:
        sources: Folders, of which all files with an ending of a video are taken, also those in
            folders inside; and files. Hidden ones in folders are left out.

    Returns:
        Sorted by name: the path from the folder, or of a file its last part.

    Raises:
        InputError: If a source is missing, a folder cannot be read, two videos have one name, or
            there are no videos.
    """
    given = [sources] if isinstance(sources, (str, Path)) else list(sources)
    found: dict[str, Path] = {}
    for source in map(Path, given):
        videos = _walk(source) if source.is_dir() else iter([(source.name, source)])
        for name, path in videos:
            if name in found and not found[name].samefile(path):
                raise InputError(f"{found[name]} and {path} would both be called {name!r}")
            found[name] = path
        if not source.exists():
            raise InputError(f"{source}: found no such file or folder")
    if not found:
        places = ", ".join(map(str, given)) or "nothing"
        raise InputError(f"{places}: found no videos ({' '.join(sorted(VIDEO_SUFFIXES))})")
    return dict(sorted(found.items()))


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    def stop(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error

    for parent, folders, files in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(parent, name)
            if path.suffix.lower() in VIDEO_SUFFIXES and not name.startswith("."):
                yield path.relative_to(folder).as_posix(), path


def check_file(path: Path) -> None:
    """Raise unless there is a file with content at ``path`` that may be read.

    Raises:
        InputError: naming the file and the reason.
    """
    try:
        if path.is_dir():
            reason = "is a folder, wanted a video file"
        else:
            with path.open("rb") as file:
                if file.read(1):
                    return
            reason = "is empty, wanted a video"
    except FileNotFoundError:
        reason = "found no such file"
    except PermissionError:
        reason = "no permission to read it"
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    raise InputError(f"{path}: {reason}")


def file_identity(path: Path) -> dict[str, Any]:
    """Name, size and time of change of a file: if these are as before, so is very likely the file.

    Raises:
        InputError: If there is no such file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    name = os.fsencode(path.name).decode(errors="replace")
    return {"file": name, "bytes": status.st_size, "changed": status.st_mtime_ns}


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
