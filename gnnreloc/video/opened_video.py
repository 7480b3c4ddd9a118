"""A video file opened with PyAV: what it is, and its frames with their seconds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gnnreloc.errors import InputError
from gnnreloc.video.pictures import Orientation, import_av, stretch
from gnnreloc.video.video_files import check_file

if TYPE_CHECKING:
    from av import VideoFrame

# A clip that starts later than this is reached by a jump, not by decoding all that is before.
_JUMP_FROM = 10.0
# Seconds between two frames, and after the told end, that no sound file has: a broken time.
_LONGEST_GAP = 60.0
# Seconds that may be missing at the end before a file counts as truncated.
_MISSING = 0.5


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself.

    Attributes:
        path: The file.
        duration: Length of the picture in seconds; second 0 is its first frame.
        fps: Frames per second, the mean where the rate varies.
        width: Pixels of the upright picture.
        height: Pixels of the upright picture.
        codec: Name of the codec, as FFmpeg calls it.
        container: Name of the container, as FFmpeg calls it.
    """

    path: Path
    duration: float
    fps: float
    width: int
    height: int
    codec: str
    container: str


class OpenedVideo:
    """A video file that is open; a context manager.

    Args:
        path: The file, in any container and codec that FFmpeg reads.

    Raises:
        InputError: If there is no such file, it may not be read, or there is no video in it.
    """

    def __init__(self, path: Path) -> None:
        self._av = import_av()
        check_file(path)
        self.path = path
        #: Where the last frame that was read disappears, in seconds.
        self.readable_until = 0.0
        self._faults = _Faults()
        self._reformatter = self._av.video.reformatter.VideoReformatter()
        self._open()
        try:
            first = self._first_frame()
            self._origin: int = 0 if first.pts is None else first.pts
            self._rate = float(self._stream.average_rate or self._stream.base_rate or 25)
            self.orientation = Orientation.of(first)
            width, height = first.width, first.height
            if self.orientation.turned:
                width, height = height, width
            duration, self._is_exact = self._duration()
            codec, container = self._stream.codec_context.name, self._container.format.name
            self.info = VideoInfo(path, duration, self._rate, width, height, codec, container)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> OpenedVideo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @property
    def damage(self) -> str | None:
        """What was wrong with the file, as far as it was read."""
        faults, end = self._faults, self.readable_until
        if not (faults.frames or faults.broken_off or faults.is_short):
            return None
        length = f"{end:.2f} s of {max(self.info.duration, end):.2f} s"
        damaged = f", with {faults.frames} frame(s) damaged or missing" if faults.frames else ""
        if faults.broken_off or faults.is_short:
            return f"{self.path}: truncated or damaged: readable to {length}{damaged}"
        return f"{self.path}: damaged: read to {length}{damaged}"

    def picture(self, frame: VideoFrame, size: tuple[int, int] | None) -> NDArray[np.uint8]:
        """The upright picture of a frame, RGB, uint8 ``[height, width, 3]``.

        Args:
            frame: A frame of :meth:`frames`.
            size: Width and height wanted, or ``None`` for those of the video.
        """
        colours = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        upright = np.ascontiguousarray(self.orientation.apply(colours))
        return upright if size is None else stretch(upright, size)

    def frames(self, start: float = 0.0) -> Iterator[tuple[float, float, VideoFrame]]:
        """All frames from the one that is shown at ``start`` on, maybe with some before it.

        What cannot be decoded is passed over, and told in :attr:`damage`.

        Args:
            start: Seconds.

        Yields:
            The seconds at which a frame appears and disappears, rising, and the frame.
        """
        for aim in (start, start - _JUMP_FROM / 2) if start >= _JUMP_FROM else ():
            spans = self._spans() if self._jump(aim) else iter(())
            first = next(spans, None)
            if first is not None and first[0] <= start:
                yield first
                yield from spans
                return
        self._reopen()
        yield from self._spans()

    def _open(self) -> None:
        """Open the file at its beginning."""
        try:
            # "file:" keeps FFmpeg from taking the name for an address or a pattern of names.
            self._container = self._av.open(f"file:{self.path.absolute()}")
        except (self._av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{self.path}: cannot be read as a video: {reason}") from error
        # The picture on the cover of a sound file is no video.
        cover = self._av.stream.Disposition.attached_pic
        streams = [one for one in self._container.streams.video if not one.disposition & cover]
        if not streams:
            found = ", ".join(sorted({one.type for one in self._container.streams})) or "nothing"
            self._container.close()
            raise InputError(f"{self.path}: found no video in it, only {found}")
        self._stream = streams[0]
        self._stream.thread_type = "AUTO"

    def _reopen(self) -> None:
        self._container.close()
        self._open()

    def _jump(self, time: float) -> bool:
        """Go to a frame before a time from which decoding can begin; whether that worked.

        Containers without an index may go to a later one.
        """
        base = self._stream.time_base
        if not base:
            return False
        try:
            self._container.seek(self._origin + int(time / base), stream=self._stream)
        except self._av.FFmpegError:
            return False
        return True

    def _first_frame(self) -> VideoFrame:
        for frame in self._decoded(_Faults()):
            return frame
        raise InputError(f"{self.path}: no frame of it can be decoded")

    def _duration(self) -> tuple[float, bool]:
        """Length of the picture in seconds, and whether it is that of the picture alone."""
        stream, container = self._stream, self._container
        if container.format.name == "avi" and stream.frames:
            return stream.frames / self._rate, True
        # Of a program stream FFmpeg tells where the last packet begins, which may hold seconds.
        if stream.duration and container.format.name != "mpeg":
            return float(stream.duration * stream.time_base), True
        late = float(self._origin * stream.time_base) if stream.time_base else 0.0
        # Matroska and WebM: where the last frame ends, as FFmpeg and MKVToolNix write it, the
        # latter from the first frame on.
        tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
        if tag:
            hours, minutes, seconds = tag.groups()
            end = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            length = end if "_STATISTICS_TAGS" in stream.metadata else end - late
            if length > 0:
                return length, True
        if container.duration and container.format.name != "mpeg":
            length = container.duration / self._av.time_base
            if container.format.name.startswith("matroska") and length > late:
                length -= late
            return length, len(container.streams) == 1
        return self._measured_duration(), True

    def _measured_duration(self) -> float:
        """Where the last packet ends, for a container that does not tell the length."""
        self._reopen()
        last, end, untimed = 0.0, 0.0, 0.0
        try:
            for packet in self._container.demux(self._stream):
                if not packet.size:
                    continue
                length = float((packet.duration or 0) * packet.time_base) or 1 / self._rate
                if packet.pts is None:
                    untimed += length
                    continue
                time = float((packet.pts - self._origin) * packet.time_base)
                if last <= time <= last + _LONGEST_GAP:  # else in between, or a broken one
                    last, end = time, time + length
        except self._av.FFmpegError:
            pass  # the length of what is readable
        return max(end, 1 / self._rate) if last else max(end, untimed)

    def _decoded(self, faults: _Faults) -> Iterator[VideoFrame]:
        """Every frame that can be decoded from here on."""
        error_type = self._av.FFmpegError
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except error_type:
                faults.broken_off, packet = True, None
            try:
                for frame in self._stream.decode(packet):
                    faults.frames += frame.is_corrupt
                    yield frame
            except error_type:
                faults.frames += 1
            if packet is None:
                return

    def _spans(self) -> Iterator[tuple[float, float, VideoFrame]]:
        """Frames from here on with the seconds at which they appear and disappear."""
        self._faults = faults = _Faults()
        last, end = None, 0.0
        for frame in self._decoded(faults):
            base = frame.time_base or self._stream.time_base
            time = end if frame.pts is None else float((frame.pts - self._origin) * base)
            if time > max(self.info.duration, end) + _LONGEST_GAP:
                faults.frames += 1  # a time that cannot be: nothing after it makes sense
                break
            if last is not None:
                if time <= last[0]:  # no time of its own: never shown
                    continue
                self.readable_until = time
                yield last[0], time, last[1]
            last, length = (time, frame), 1 / self._rate
            if frame.duration:
                length = min(float(frame.duration * base), _LONGEST_GAP)
            end = time + length
        told = self.info.duration
        faults.is_short = self._is_exact and end < told - max(_MISSING, 2 / self._rate)
        if self._is_exact and not (faults.is_short or faults.broken_off):
            end = max(end, told)
        self.readable_until = end
        if last is not None:
            yield last[0], end, last[1]


@dataclass
class _Faults:
    """What went wrong while decoding: frames damaged or passed over, reading broken off, no end."""

    frames: int = 0
    broken_off: bool = False
    is_short: bool = False


def probe(path: Path | str) -> VideoInfo:
    """Length, rate and size of a video file.

    Args:
        path: The file.

    Raises:
        InputError: If there is no such file, it may not be read, or there is no video in it.
    """
    with OpenedVideo(Path(path)) as video:
        return video.info
