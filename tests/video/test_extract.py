"""Rows of features: which frames they are made of, in every container, and what they tell."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gnnreloc.errors import InputError
from gnnreloc.video import Backbone, VideoClip, extract_features, probe

NTSC = Fraction(30000, 1001)


class Numbers(Backbone):
    """Its rows are the numbers that stand in the frames, read by the renderer's own reader."""

    name, frame_size = "numbers", (96, 64)

    def __init__(self, read_number: Any, clip_frames: int = 1, stride: int = 1, fps: float = 2.0):
        self.clip_frames, self.stride, self.fps = clip_frames, stride, fps
        self.channels = clip_frames
        self.batches: list[int] = []
        self.read_number = read_number

    def encode(self, clips: Tensor) -> Tensor:
        assert clips.dtype == torch.uint8
        assert list(clips.shape[1:]) == [self.clip_frames, 64, 96, 3]
        self.batches.append(len(clips))
        return torch.tensor([[self.read_number(frame.numpy()) for frame in run] for run in clips])


FILES: list[tuple[str, dict[str, Any]]] = [
    ("25.mp4", {}),
    ("ntsc.mp4", {"fps": NTSC}),
    ("variable.mp4", {"fps": "variable"}),
    ("24.webm", {"fps": 24}),
    ("variable.mkv", {"fps": "variable"}),
    ("25.avi", {}),
    ("ntsc.ts", {"fps": NTSC}),
]

RUNS = [
    (1, 1, 2.0),
    (1, 1, 7.5),
    (4, 4, 10.0),
    (8, 4, 10.0),
    (3, 2, 5.0),
    (4, 3, 9.0),
    (2, 5, 10.0),
]


@pytest.mark.parametrize(("name", "options"), FILES, ids=[name for name, _ in FILES])
def test_rows_are_made_of_the_frames_around_their_middle(
    rendered_videos: ModuleType, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    video = rendered_videos.render(tmp_path / name, duration=3.2, size=(96, 64), **options)
    duration = probe(video.path).duration
    for length, stride, fps in RUNS:
        backbone = Numbers(rendered_videos.read_number, length, stride, fps)
        features = extract_features(video.path, backbone)
        assert features.step == stride / fps and features.offset == 0
        # The frames that the documentation promises, from its formula.
        phase = 0.5 if (length - stride) % 2 == 0 else 0.0
        last = np.ceil(duration * fps - phase - 1e-9) - 1
        rows = np.arange(features.num_steps)[:, None]
        times = (rows + 0.5) * features.step + (np.arange(length) - (length - 1) / 2) / fps
        times = times.clip(phase / fps, (last + phase) / fps)
        wanted = [[video.number_at(time) for time in row] for row in times]
        assert features.values.tolist() == wanted
        # As many as have at least half of their seconds in the video, give or take a frame.
        assert features.num_steps == pytest.approx(duration / features.step, abs=0.5 + 1 / stride)
        assert sum(backbone.batches) == features.num_steps


def test_rows_of_a_clip_begin_with_it(rendered_videos: ModuleType, tmp_path: Path) -> None:
    video = rendered_videos.render(tmp_path / "v.mp4", duration=3.0, size=(96, 64))
    backbone = Numbers(rendered_videos.read_number, fps=4.0)
    for source in (f"{video.path}#t=1.1,2.1", VideoClip(video.path, 1.1, 2.1)):
        features = extract_features(source, backbone)
        wanted = [video.number_at(1.1 + (row + 0.5) / 4) for row in range(4)]
        assert features.values.flatten().tolist() == wanted and features.offset == 0
        assert (features.metadata["clip_start"], features.metadata["clip_end"]) == (1.1, 2.1)
    short = extract_features(f"{video.path}#t=1,1.04", backbone)
    assert short.values.tolist() == [[25.0]]


def test_metadata_and_progress(rendered_videos: ModuleType, tmp_path: Path) -> None:
    video = rendered_videos.render(tmp_path / "v.mp4", duration=3.0, size=(96, 64))
    backbone, told = Numbers(rendered_videos.read_number, fps=20.0), list[float]()
    features = extract_features(video.path, backbone, progress=told.append)
    status = video.path.stat()
    assert features.metadata == {
        "backbone": "numbers",
        "weights": "",
        "fps": 20.0,
        "clip_frames": 1,
        "stride": 1,
        "frame_size": [96, 64],
        "channels": 1,
        "decoder": "pyav",
        "file": "v.mp4",
        "bytes": status.st_size,
        "changed": status.st_mtime_ns,
        "sha256": hashlib.sha256(video.path.read_bytes()).hexdigest(),
    }
    assert len(told) > 1 and told == sorted(told) and told[-1] == pytest.approx(3.0, abs=0.1)
    assert max(backbone.batches) <= 16  # a long video never lies in memory


def test_a_backbone_that_gives_other_rows(rendered_videos: ModuleType, tmp_path: Path) -> None:
    path = rendered_videos.render(tmp_path / "v.mp4", duration=1.0, size=(96, 64)).path
    backbone = Numbers(rendered_videos.read_number)
    backbone.channels = 3
    with pytest.raises(InputError, match=r"'numbers': gave rows \[2, 1\], wanted \[2, 3\]"):
        extract_features(path, backbone)
    backbone = Numbers(lambda image: float("nan"))
    with pytest.raises(InputError, match=r"v.mp4': row 0 .* holds nan"):
        extract_features(path, backbone)


def test_a_backbone_that_does_as_it_likes(rendered_videos: ModuleType, tmp_path: Path) -> None:
    path = rendered_videos.render(tmp_path / "v.mp4", duration=1.0, size=(96, 64)).path
    backbone = Numbers(rendered_videos.read_number)
    for answer, culprit in (
        ([[1.0], [2.0]], r"'numbers': gave a list, wanted a tensor \[2, 1\]"),
        (torch.ones(2, 1) * 1j, "'numbers': gave torch.complex64, wanted real numbers"),
    ):
        backbone.encode = lambda clips, answer=answer: answer  # type: ignore[method-assign]
        with pytest.raises(InputError, match=culprit):
            extract_features(path, backbone)
    backbone.encode = lambda clips: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    with pytest.raises(InputError, match="v.mp4: ZeroDivisionError: division by zero"):
        extract_features(path, backbone)


def test_a_file_that_changes_while_it_is_read(rendered_videos: ModuleType, tmp_path: Path) -> None:
    path = rendered_videos.render(tmp_path / "v.mp4", duration=1.0, size=(96, 64)).path
    backbone = Numbers(rendered_videos.read_number)

    def grow(seconds: float) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(InputError, match="v.mp4: changed while it was read"):
        extract_features(path, backbone, progress=grow)


def test_steps(rendered_videos: ModuleType, tmp_path: Path) -> None:
    path = rendered_videos.render(tmp_path / "v.mp4", duration=2.0, size=(96, 64)).path
    backbone = Numbers(rendered_videos.read_number)
    backbone.set_step(0.4)
    assert extract_features(path, backbone, step=0.4).num_steps == 5
    with pytest.raises(InputError, match="found 0.5, and a backbone whose step is 0.4"):
        extract_features(path, backbone, step=0.5)
    backbone.set_step(60.0)
    assert extract_features(path, backbone).values.tolist() == [[25.0]]
    run = Numbers(rendered_videos.read_number, clip_frames=8, stride=8, fps=16.0)
    run.set_step(0.26)
    assert (run.fps, run.stride, run.step) == (16.0, 4, 0.25)
    for step in (0.0, -1.0, float("nan"), float("inf"), 0.01):
        with pytest.raises(InputError, match="step: found"):
            run.set_step(step)
