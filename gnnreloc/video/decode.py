"""Frames of a video at wanted seconds.

Second 0 is the moment at which the first frame appears. The frame shown at ``t`` is the last one
whose presentation time is ``t`` or earlier, by the times that the container gives, so that a
variable frame rate changes nothing. Frames come one after the other: a long video never lies in
memory as a whole.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gnnreloc.errors import InputError
from gnnreloc.video.clip import VideoClip
from gnnreloc.video.frame import Frame
from gnnreloc.video.opened_video import OpenedVideo
from gnnreloc.video.pictures import import_av
from gnnreloc.video.torchcodec_frames import decode_by_torchcodec, import_torchcodec

#: What decodes.
DECODERS = ("pyav", "torchcodec")

# Seconds by which a wanted time may fall short of a frame's own through rounding.
_ROUNDING = 1e-6


class DamagedVideoWarning(UserWarning):
    """A video could be read in part only."""


def decode(
    source: VideoClip | Path | str,
    *,
    times: Iterable[float] | None = None,
    fps: float | None = None,
    phase: float = 0.5,
    size: tuple[int, int] | None = None,
    decoder: str = "pyav",
    on_damage: Callable[[str], None] | None = None,
) -> Iterator[Frame]:
    """Frames of a video, or of a clip in it, at the wanted seconds.

    With ``fps``, frame ``k`` is the one shown at ``start + (k + phase) / fps``, as long as that
    lies before the end; there is always one at least.

    Args:
        source: The file: a path, or a text such as ``a.mp4#t=3,7.5``.
        times: Seconds on the axis of the video, not falling, within the clip.
        fps: Frames per second wanted, instead of ``times``.
        phase: Where in each ``1 / fps`` seconds its frame is taken, in ``[0, 1)``: the middle.
        size: Width and height wanted; the whole picture is stretched to it.
        decoder: ``"pyav"``, or ``"torchcodec"`` where that is installed.
        on_damage: Called with a message when a part of the file cannot be read; without it, that is
            a :class:`DamagedVideoWarning`.

    Returns:
        The frames, decoded when they are asked for. What is wrong with the file as a whole, or with
        the arguments, is raised at once.

    Raises:
        InputError: If the file is no readable video, the clip or a time is beyond its end, or an
            argument is out of range; names the file and the reason.
    """
    clip = VideoClip.of(source)
    check_decoder(decoder)
    _check(clip, times, fps, phase, size)
    wanted = _wanted(times, fps, phase)
    if decoder == "torchcodec":
        return decode_by_torchcodec(clip, wanted, size)
    video = OpenedVideo(clip.path)
    try:
        clip = clip.within(video.info.duration)
    except InputError:
        video.close()
        raise
    return _stream(video, clip, wanted, size, on_damage or _warn, by_rate=times is None)


def check_decoder(decoder: str) -> None:
    """Raise unless a decoder is known and installed.

    Raises:
        InputError: If it is not.
    """
    if decoder == "pyav":
        import_av()
    elif decoder == "torchcodec":
        import_torchcodec()
    else:
        raise InputError(f"unknown decoder {decoder!r}; known are: {', '.join(DECODERS)}")


#: Gives the wanted seconds in a clip.
Wanted = Callable[[VideoClip], Iterator[float]]


def _check(
    clip: VideoClip,
    times: Iterable[float] | None,
    fps: float | None,
    phase: float,
    size: tuple[int, int] | None,
) -> None:
    if (times is None) == (fps is None):
        raise InputError(f"{clip}: found times={times} and fps={fps}, wanted one of them")
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise InputError(f"{clip}: found fps {fps}, wanted more than 0 frames per second")
    if not 0 <= phase < 1:
        raise InputError(f"{clip}: found phase {phase}, wanted 0 or more, and less than 1")
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise InputError(f"{clip}: found size {size}, wanted width and height of 1 or more")


def _wanted(times: Iterable[float] | None, fps: float | None, phase: float) -> Wanted:
    def by_rate(clip: VideoClip) -> Iterator[float]:
        assert fps is not None and clip.end is not None
        if clip.start + phase / fps >= clip.end:
            yield (clip.start + clip.end) / 2
        for k in itertools.count():
            time = clip.start + (k + phase) / fps
            if time >= clip.end - _ROUNDING:
                return
            yield time

    def as_given(clip: VideoClip) -> Iterator[float]:
        assert times is not None and clip.end is not None
        last = clip.start
        for time in map(float, times):
            if not last <= time < clip.end:
                raise InputError(
                    f"{clip.path}: found time {time:g} s, wanted times that do not fall, from "
                    f"{clip.start:g} s to before {clip.end:g} s"
                )
            last = time
            yield time

    return by_rate if times is None else as_given


def _stream(
    video: OpenedVideo,
    clip: VideoClip,
    wanted: Wanted,
    size: tuple[int, int] | None,
    on_damage: Callable[[str], None],
    *,
    by_rate: bool,
) -> Iterator[Frame]:
    with video:
        seconds = wanted(clip)
        time, given = next(seconds, None), False
        for shown, until, stored in video.frames(clip.start):
            image: NDArray[np.uint8] | None = None
            while time is not None and time < until - _ROUNDING:
                image = video.picture(stored, size) if image is None else image
                yield Frame(time, shown, image)
                time, given = next(seconds, None), True
            if time is None:
                break
        if video.damage:
            on_damage(video.damage)
        if time is not None and not (given and (by_rate or video.damage)):
            raise InputError(
                f"{clip.path}: found no frame at {time:.2f} s; it can be read to "
                f"{video.readable_until:.2f} s"
            )


def _warn(message: str) -> None:
    warnings.warn(message, DamagedVideoWarning, stacklevel=3)
