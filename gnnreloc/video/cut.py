"""Cut a part of a video into a file of its own."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from gnnreloc.atomic_write import atomic_write
from gnnreloc.errors import InputError
from gnnreloc.video.clip import VideoClip
from gnnreloc.video.decode import decode
from gnnreloc.video.opened_video import probe
from gnnreloc.video.pictures import import_av


def cut_clip(clip: VideoClip, target: Path | str) -> Path:
    """Write the pictures of a clip as H.264 into an ``.mp4`` file, frame for frame, without sound.

    They are encoded anew, so that the clip begins and ends where it should and not at the next key
    frame. A variable rate becomes the mean rate of the video.

    Args:
        clip: what to cut.
        target: the file; its folder is made where it is missing.

    Returns:
        The file.

    Raises:
        InputError: if the video cannot be read, the clip lies outside of it, or the file cannot be
            written.
    """
    av = import_av()
    target = Path(target)
    info = probe(clip.path)
    clip = clip.within(info.duration)
    if min(info.width, info.height) < 2:
        raise InputError(
            f"{clip.path}: found {info.width} x {info.height} pixels, wanted 2 x 2 to cut a clip"
        )
    rate = max(Fraction(info.fps).limit_denominator(1001), Fraction(1, 1001))
    try:
        with atomic_write(target) as file, av.open(file, "w", format="mp4") as container:
            stream: Any = None
            for number, frame in enumerate(decode(clip, fps=float(rate), phase=0.5)):
                height, width = (side // 2 * 2 for side in frame.image.shape[:2])
                if stream is None:
                    stream = container.add_stream("h264", rate=rate)
                    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                picture = av.VideoFrame.from_ndarray(frame.image[:height, :width].copy(), "rgb24")
                picture.pts, picture.time_base = number, 1 / rate
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    except av.FFmpegError as error:
        raise InputError(f"{target}: {clip} cannot be encoded: {error}") from error
    return target
