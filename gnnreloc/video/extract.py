"""Features of one video: frames at the rate of a backbone, runs of them, rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnreloc.data.features import Features, validate_features
from gnnreloc.errors import InputError
from gnnreloc.video.backbones import Backbone, create_backbone
from gnnreloc.video.clip import VideoClip
from gnnreloc.video.decode import DamagedVideoWarning, decode
from gnnreloc.video.frame import Frame
from gnnreloc.video.video_files import check_file, file_checksum, file_identity

# Frames that go through a backbone at once: larger batches fall out of a processor's cache.
_FRAMES_AT_ONCE = {"cpu": 16}
_FRAMES_AT_ONCE_ELSEWHERE = 256


def extract_features(
    source: VideoClip | Path | str,
    backbone: Backbone | str | None = None,
    *,
    step: float | None = None,
    decoder: str = "pyav",
    progress: Callable[[float], None] | None = None,
) -> Features:
    r"""Features of a video, or of a clip in it.

    Row ``i`` describes the seconds ``[i * step, (i + 1) * step)`` after the start of the clip. It
    is made of ``L = clip_frames`` frames; frame ``j`` of them is the one shown at

    .. math:: (i + 0.5) \, \mathrm{step} + (j - (L - 1) / 2) / \mathrm{fps}

    Beyond the ends of the clip its first and last frames are repeated. Rows are made as long as at
    least half of their seconds lie in the clip, and one always.

    Args:
        source: The file: a path, or a text such as ``a.mp4#t=3,7.5``.
        backbone: What makes the rows, or its name; by default EfficientNet-Lite0.
        step: Seconds from one row to the next, for a backbone that is given by its name; by default
            as the backbone has it.
        decoder: What decodes, see :func:`gnnreloc.video.decode.decode`.
        progress: Called with the seconds of the clip that are done.

    Returns:
        The rows, with the offset 0 also for a clip. The metadata say which backbone and decoder
        made them, from which file (name, size, time of change, SHA-256), and what was ``damaged``.

    Raises:
        InputError: If the file is no readable video or changes while it is read, or the backbone
            cannot be used.

    Warns:
        DamagedVideoWarning: If the file can be read in part only.
    """
    clip = VideoClip.of(source)
    if not isinstance(backbone, Backbone):
        backbone = create_backbone(step=step, **({"name": backbone} if backbone else {}))
    elif step is not None and step != backbone.step:
        raise InputError(f"step: found {step:g}, and a backbone whose step is {backbone.step:g}")
    backbone.check()
    check_file(clip.path)
    identity = file_identity(clip.path)
    damage: list[str] = []
    frames = decode(
        clip,
        fps=backbone.fps,
        phase=_phase(backbone),
        size=backbone.frame_size,
        decoder=decoder,
        on_damage=damage.append,
    )
    rows = []
    with torch.inference_mode():
        for clips, done in _batches(frames, backbone):
            rows.append(_encode(backbone, clips, clip))
            if progress is not None:
                progress(done - clip.start)
    values = validate_features(torch.cat(rows), str(clip))
    metadata: dict[str, Any] = {**backbone.settings, "decoder": decoder, **identity}
    metadata["sha256"] = file_checksum(clip.path)
    if file_identity(clip.path) != identity:
        raise InputError(f"{clip.path}: changed while it was read: try again when it is complete")
    if not clip.is_whole:
        metadata |= {"clip_start": clip.start, "clip_end": clip.end}
    for message in damage:
        metadata["damaged"] = message
        warnings.warn(message, DamagedVideoWarning, stacklevel=2)
    return Features(values, backbone.step, metadata=metadata)


def _encode(backbone: Backbone, clips: Tensor, clip: VideoClip) -> Tensor:
    """Rows of some runs of frames, float32 on the CPU, whatever the backbone may do."""
    try:
        found = backbone.encode(clips.to(backbone.device))
    except InputError:
        raise
    except Exception as error:  # a backbone of the user's own may raise anything
        raise InputError(f"{clip.path}: {type(error).__name__}: {error}") from error
    wanted = [len(clips), backbone.channels]
    if not isinstance(found, Tensor):
        what = type(found).__name__
        raise InputError(f"backbone {backbone.name!r}: gave a {what}, wanted a tensor {wanted}")
    if list(found.shape) != wanted:
        raise InputError(
            f"backbone {backbone.name!r}: gave rows {list(found.shape)}, wanted {wanted}"
        )
    if found.is_complex():
        raise InputError(f"backbone {backbone.name!r}: gave {found.dtype}, wanted real numbers")
    return found.to("cpu", torch.float32)


def _phase(backbone: Backbone) -> float:
    """Where in ``1 / fps`` seconds frames are taken, so that runs lie around the middle of rows."""
    return 0.5 - ((backbone.clip_frames - backbone.stride) % 2) / 2


def _batches(frames: Iterator[Frame], backbone: Backbone) -> Iterator[tuple[Tensor, float]]:
    """Runs of frames ``[rows, clip_frames, height, width, 3]``, and the seconds they reach to."""
    runs = _runs(frames, backbone.clip_frames, backbone.stride)
    most = _FRAMES_AT_ONCE.get(backbone.device.type, _FRAMES_AT_ONCE_ELSEWHERE)
    size = max(1, most // backbone.clip_frames)
    while batch := list(islice(runs, size)):
        clips = np.stack([np.stack([frame.image for frame in run]) for run in batch])
        yield torch.from_numpy(clips), batch[-1][-1].time


def _runs(frames: Iterator[Frame], length: int, stride: int) -> Iterator[list[Frame]]:
    """The frames of each row: ``length`` of them around the middle of ``stride``.

    Row ``i`` begins with frame ``i * stride - (length - stride) // 2``. There is one for every
    stride of which at least half the frames are there.
    """
    start = -((length - stride) // 2)
    kept: list[Frame] = []
    count = row = 0

    def run() -> list[Frame]:
        oldest = count - len(kept)
        wanted = (min(max(start + j, 0), count - 1) for j in range(length))
        return [kept[index - oldest] for index in wanted]

    for frame in frames:
        kept.append(frame)
        count += 1
        if start + length <= count:
            yield run()
            row, start = row + 1, start + stride
        unneeded = min(start - (count - len(kept)), len(kept) - 1)
        del kept[: max(0, unneeded)]
    while row == 0 or 2 * count >= 2 * row * stride + stride:
        yield run()
        row, start = row + 1, start + stride
