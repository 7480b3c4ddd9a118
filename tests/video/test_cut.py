"""Clips as files of their own: the frames of the moment, and what cannot be cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("av", reason="the extra 'video' is not installed")

from gnnreloc.errors import InputError
from gnnreloc.video import VideoClip, probe
from gnnreloc.video.cut import cut_clip
from gnnreloc.video.decode import decode


@pytest.mark.parametrize("fps", [25, "30000/1001", "variable"])
def test_the_frames_of_the_moment(rendered_videos: ModuleType, tmp_path: Path, fps: str) -> None:
    video = rendered_videos.render(tmp_path / "v.mkv", duration=3.0, fps=fps)
    target = cut_clip(VideoClip(video.path, 1.0, 2.2), tmp_path / "new" / "clip.mp4")
    assert probe(target).duration == pytest.approx(1.2, abs=0.05)
    for frame in decode(target, fps=10):
        number = rendered_videos.read_number(frame.image)
        assert abs(number - video.number_at(1.0 + frame.time)) <= 1


def test_what_cannot_be_cut(
    rendered_videos: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = rendered_videos.render(tmp_path / "v.mp4", duration=1.0, size=(64, 48)).path
    with pytest.raises(InputError, match="end at 9 s is beyond the end"):
        cut_clip(VideoClip(video, 0, 9), tmp_path / "c.mp4")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"c.mp4: cannot be written"):
        cut_clip(VideoClip(video), tmp_path / "file" / "c.mp4")
    thin = replace(probe(video), width=1)
    monkeypatch.setattr("gnnreloc.video.cut.probe", lambda path: thin)
    with pytest.raises(InputError, match="found 1 x 48 pixels, wanted 2 x 2"):
        cut_clip(VideoClip(video), tmp_path / "c.mp4")
    assert not (tmp_path / "c.mp4").exists()
