"""The second decoder: torchcodec, where it is installed and finds the libraries of FFmpeg."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from gnnreloc.errors import InputError
from gnnreloc.video.clip import VideoClip
from gnnreloc.video.frame import Frame
from gnnreloc.video.opened_video import probe
from gnnreloc.video.pictures import stretch

# Frames that are asked for, and lie in memory, at once.
_AT_ONCE = 16

# Containers in which torchcodec (0.12) jumps to the wrong frames.
_WITHOUT_INDEX = ("mpegts", "mpeg")


def import_torchcodec() -> Any:
    """The class ``VideoDecoder`` of torchcodec.

    Raises:
        InputError: If torchcodec is not installed, or finds no libraries of FFmpeg.
    """
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"decoder 'torchcodec' is not to be had here: {reason}") from error
    return VideoDecoder


def decode_by_torchcodec(
    clip: VideoClip,
    wanted: Callable[[VideoClip], Iterator[float]],
    size: tuple[int, int] | None,
) -> Iterator[Frame]:
    """Frames of a clip, as :func:`gnnreloc.video.decode.decode` gives them.

    torchcodec finds the time of every frame by reading the whole file first. A part of a file that
    cannot be decoded is an error.

    Args:
        clip: The clip.
        wanted: Gives the wanted seconds in it.
        size: Width and height wanted.

    Raises:
        InputError: If torchcodec is not to be had, or cannot read the file.
    """
    decoder = import_torchcodec()
    told = probe(clip.path)
    if told.container in _WITHOUT_INDEX:
        raise InputError(
            f"{clip.path}: decoder 'torchcodec' misses frames in {told.container}, wanted 'pyav'"
        )
    try:
        video = decoder(str(clip.path), dimension_order="NHWC", seek_mode="exact")
        origin = float(video.metadata.begin_stream_seconds)
        duration = min(float(video.metadata.end_stream_seconds) - origin, told.duration)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{clip.path}: cannot be read as a video: {error}") from error
    clip = clip.within(duration)
    return _stream(video, clip, origin, wanted(clip), size)


def _stream(
    video: Any,
    clip: VideoClip,
    origin: float,
    times: Iterator[float],
    size: tuple[int, int] | None,
) -> Iterator[Frame]:
    while batch := list(itertools.islice(times, _AT_ONCE)):
        try:
            found = video.get_frames_played_at([origin + time + 1e-6 for time in batch])
        except (IndexError, RuntimeError, ValueError) as error:
            raise InputError(f"{clip.path}: cannot be decoded: {error}") from error
        shown = (found.pts_seconds - origin).tolist()
        for time, appeared, picture in zip(batch, shown, found.data.numpy(), strict=True):
            yield Frame(time, appeared, picture if size is None else stretch(picture, size))
