"""Files of videos: those in folders, the names of their features, whether they can be read."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gnnreloc.errors import InputError

#: Endings by which a file in a folder is taken for a video. A file that is named takes any.
VIDEO_SUFFIXES = frozenset(
    ".3gp .asf .avi .divx .f4v .flv .gif .m2ts .m2v .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogm "
    ".ogv .rm .rmvb .ts .vob .webm .wmv .y4m".split()
)

# Bytes of the name of features: with its ending and that of a temporary file, 255 at most.
_LONGEST_NAME = 205

# What may not stand in the name of a file, or would be read as something else there.
_UNSAFE = re.compile(r"[%/\\\x00-\x1f\x7f\udc80-\udcff]|^\.")


def feature_name(video: str) -> str:
    """Name under which a store of features holds a video: plain, one for each video.

    Of a name that is too long for a file its beginning is kept, and a checksum takes the place of
    the rest.

    Args:
        video: Path of the video from its folder, with ``/`` between the parts.

    Example:
        >>> feature_name("day 1/cam.2.mp4"), feature_name(".../100%.avi")
        ('day 1%2Fcam.2.mp4', '%2E..%2F100%25.avi')
    """
    name = _UNSAFE.sub(lambda found: "".join(f"%{c:02X}" for c in os.fsencode(found[0])), video)
    content = os.fsencode(name)
    if len(content) <= _LONGEST_NAME:
        return name
    # "%-" stands in no other name, as two digits follow every other "%".
    ending = f"%-{hashlib.sha256(content).hexdigest()[:32]}"
    return content[: _LONGEST_NAME - len(ending)].decode(errors="ignore") + ending


def find_videos(sources: Iterable[Path | str] | Path | str) -> dict[str, Path]:
    """Name and path of every video.

    A folder inside a source that cannot be read stands among them, so that it is told as what
    failed: its name ends in ``/``, see :func:`unreadable_folders`.

    Args:
        sources: Folders, of which all files with an ending of a video are taken, also those in
            folders inside; and files. Hidden ones in folders are left out.

    Returns:
        Sorted by name: the path from the folder, or of a file its last part.

    Raises:
        InputError: If a source is missing or cannot be read, two videos have one name, or there
            are no videos.
    """
    given = [sources] if isinstance(sources, (str, Path)) else list(sources)
    found: dict[str, Path] = {}
    for source in map(Path, given):
        for name, path in _walk(source) if _is_folder(source) else iter([(source.name, source)]):
            if name in found and not _is_same(found[name], path):
                if not name.endswith("/"):
                    raise InputError(f"{found[name]} and {path} would both be called {name!r}")
                name = f"{path.as_posix()}/"
            found[name] = path
    if not found:
        places = ", ".join(map(str, given)) or "nothing"
        raise InputError(f"{places}: found no videos ({' '.join(sorted(VIDEO_SUFFIXES))})")
    return dict(sorted(found.items()))


def unreadable_folders(videos: Iterable[str]) -> tuple[str, ...]:
    """The folders that could not be read, among the names that :func:`find_videos` gives.

    Nothing is known of the videos whose names begin with one of them.

    Example:
        >>> "day 1/a.mp4".startswith(unreadable_folders(["a.mp4", "day 1/"]))
        True
    """
    return tuple(name for name in videos if name.endswith("/"))


def _is_folder(source: Path) -> bool:
    try:
        return stat.S_ISDIR(source.stat().st_mode)
    except FileNotFoundError as error:
        raise InputError(f"{source}: found no such file or folder") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{source}: cannot be read: {reason}") from error


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # a link that leads nowhere
        return one.absolute() == other.absolute()


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    unreadable: list[Path] = []

    def note(error: OSError) -> None:
        path = Path(error.filename)
        if path == folder:
            raise InputError(f"{folder}: cannot be read: {error.strerror}") from error
        unreadable.append(path)

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(parent, name)
            if path.suffix.lower() in VIDEO_SUFFIXES and not name.startswith("."):
                yield path.relative_to(folder).as_posix(), path
    for path in unreadable:
        yield f"{path.relative_to(folder).as_posix()}/", path


def check_file(path: Path) -> None:
    """Raise unless there is a file with content at ``path`` that may be read.

    Raises:
        InputError: naming the file and the reason.
    """
    kind = 0
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            reason = "is a folder, wanted a video file"
            os.scandir(path).close()
        elif not stat.S_ISREG(kind):  # to open a pipe is to wait for one who writes
            reason = "is a pipe or a device, wanted a video file"
        else:
            with path.open("rb") as file:
                if file.read(1):
                    return
            reason = "is empty, wanted a video"
    except FileNotFoundError:
        reason = "found no such file"
    except PermissionError:
        is_folder = stat.S_ISDIR(kind)
        reason = "the folder cannot be read: " if is_folder else ""
        reason += "no permission to read it"
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
