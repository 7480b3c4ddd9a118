"""A video file, or a part of it: ``match.mp4#t=3,7.5``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from gnnreloc.errors import InputError

#: Seconds by which a clip may end after its video, as lengths are often told rounded.
ROUNDING = 0.1

_FRAGMENT = re.compile(r"(?P<path>.*)#t=(?:npt:)?(?P<range>[^#/]*)", re.DOTALL)
# "float" also reads digits of other scripts, and 1_0 as 10.
_NO_NUMBER = re.compile(r"[^\x20-\x7e]|_")


@dataclass(frozen=True)
class VideoClip:
    """A part of a video file, by default all of it.

    Written as a temporal media fragment (W3C Media Fragments URI 1.0, section 4.2.1) in seconds:
    ``a.mp4#t=3,7.5`` from 3 s to 7.5 s, ``a.mp4#t=3`` from 3 s to the end, ``a.mp4#t=,7.5`` from
    the beginning.

    Example:
        >>> clip = VideoClip.parse("match.mp4#t=3,7.5")
        >>> clip.path.name, clip.start, clip.end
        ('match.mp4', 3.0, 7.5)
        >>> str(clip), VideoClip.parse("match.mp4").is_whole
        ('match.mp4#t=3,7.5', True)

    Args:
        path: The file.
        start: First moment in seconds, 0 or more.
        end: Last moment in seconds, after ``start``; ``None`` for the end of the video.

    Raises:
        InputError: If the times are not finite, negative, or in the wrong order.
    """

    path: Path
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if not (math.isfinite(self.start) and self.start >= 0):
            raise InputError(
                f"{self.path}: the clip starts at {self.start:g} s, wanted 0 s or later"
            )
        if self.end is not None and not (math.isfinite(self.end) and self.end > self.start):
            raise InputError(
                f"{self.path}: the clip ends at {self.end:g} s, wanted an end after its start at "
                f"{self.start:g} s"
            )

    @classmethod
    def parse(cls, text: str) -> VideoClip:
        """Read a path that may end in ``#t=START,END``, in seconds.

        Args:
            text: The path; another ``#`` in it is a character like others.

        Raises:
            InputError: If the path is empty, or what stands after ``#t=`` is no range of seconds.
        """
        found = _FRAGMENT.fullmatch(text)
        path, times = (found["path"], found["range"]) if found else (text, None)
        if not path:
            raise InputError(f"{text!r}: found no path of a video")
        if times is None:
            return cls(Path(path))
        start, comma, end = times.partition(",")
        try:
            if not (start or end) or (comma and not end) or _NO_NUMBER.search(times):
                raise ValueError
            return cls(Path(path), float(start or 0), float(end) if end else None)
        except InputError:
            raise
        except ValueError:
            raise InputError(
                f"{text}: found #t={times}, wanted seconds such as #t=3,7.5 or #t=3 or #t=,7.5; "
                "if that is the name of a file, add #t=0"
            ) from None

    @classmethod
    def of(cls, source: VideoClip | Path | str) -> VideoClip:
        """A clip as it is, the whole file of a ``Path``, or a text read by :meth:`parse`."""
        if isinstance(source, VideoClip):
            return source
        return cls.parse(source) if isinstance(source, str) else cls(source)

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole video, as far as can be told without its length."""
        return self.start == 0 and self.end is None

    def within(self, duration: float) -> VideoClip:
        """The clip with both ends given, in a video of this length.

        An end that is late by a tenth of a second or less becomes the end of the video.

        Args:
            duration: Length of the video in seconds.

        Raises:
            InputError: If the clip does not lie within the video.
        """
        end = duration if self.end is None else self.end
        if self.start >= duration or end > duration + ROUNDING:
            late = f"start at {self.start:g} s" if self.start >= duration else f"end at {end:g} s"
            raise InputError(f"{self.path}: the clip's {late} is beyond the end, {duration:.2f} s")
        return VideoClip(self.path, self.start, min(end, duration))

    def __str__(self) -> str:
        if self.is_whole:
            # A name that would be read as a part of another file.
            return str(self.path) + ("#t=0" if _FRAGMENT.fullmatch(str(self.path)) else "")
        return f"{self.path}#t={self.start:.10g}" + (f",{self.end:.10g}" if self.end else "")
