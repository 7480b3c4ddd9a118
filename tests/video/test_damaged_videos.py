"""Files that are cut short, damaged, or no videos at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gnnreloc.errors import InputError
from gnnreloc.video import DamagedVideoWarning, extract_features, probe
from gnnreloc.video.decode import decode
from gnnreloc.video.opened_video import OpenedVideo


def truncate(path: Path, share: float) -> Path:
    """The first part of a file, as a new one."""
    content = path.read_bytes()
    cut = path.with_name(f"cut_{path.name}")
    cut.write_bytes(content[: int(len(content) * share)])
    return cut


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("v.mkv", {}),
        ("v.webm", {}),
        ("v.avi", {}),
        ("v.mp4", {"format_options": {"movflags": "faststart"}}),
        ("sound.mp4", {"format_options": {"movflags": "faststart"}, "sound": 3.0}),
    ],
)
def test_what_is_readable_of_a_truncated_file_is_used(
    rendered_videos: ModuleType, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    video = rendered_videos.render(tmp_path / name, duration=4.0, **options)
    cut = truncate(video.path, 0.6)
    with pytest.warns(DamagedVideoWarning) as caught:
        frames = list(decode(cut, fps=25))
    (message,) = [str(warning.message) for warning in caught]
    found = re.match(
        rf"{re.escape(str(cut))}: truncated or damaged: readable to (.*) s of (.*) s", message
    )
    assert found and float(found[2]) == pytest.approx(4.0, abs=0.05)
    end = float(found[1])
    assert 1.0 < end < 3.5
    numbers = [rendered_videos.read_number(frame.image) for frame in frames]
    # The last frames may lack what they were to be made from.
    assert numbers[:-4] == list(range(len(numbers)))[:-4]
    assert len(numbers) / 25 == pytest.approx(end, abs=0.05)
    # A time after that, which the file says it has.
    with pytest.raises(
        InputError, match=rf"found no frame at 3.90 s; it can be read to {end:.2f} s"
    ):
        list(decode(cut, times=[3.9], on_damage=lambda message: None))
    # Up to there nothing is wrong.
    assert len(list(decode(f"{cut}#t=0,0.8", fps=25))) == 20


def test_a_truncated_stream_without_a_told_length(
    rendered_videos: ModuleType, tmp_path: Path
) -> None:
    cut = truncate(rendered_videos.render(tmp_path / "v.ts", duration=4.0).path, 0.6)
    numbers = []
    for frame in decode(cut, fps=25, on_damage=lambda message: None):
        numbers.append(rendered_videos.read_number(frame.image))
    assert numbers[:40] == list(range(40)) and len(numbers) < 95


def test_the_damage_is_in_the_metadata(rendered_videos: ModuleType, tmp_path: Path) -> None:
    cut = truncate(rendered_videos.render(tmp_path / "v.mkv", duration=4.0).path, 0.6)
    with pytest.warns(DamagedVideoWarning, match="cut_v.mkv"):
        features = extract_features(cut)
    assert "readable to" in features.metadata["damaged"]
    assert features.num_steps in (4, 5)


def test_a_hole_in_a_file_does_not_end_it(rendered_videos: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    rendered_videos.render(path, duration=6.0, size=(320, 240))
    content = bytearray(path.read_bytes())
    begin = content.index(b"mdat") + (len(content) - content.index(b"mdat")) // 2
    content[begin : begin + 400] = bytes(400)
    path.write_bytes(content)
    damage: list[str] = []
    frames = list(decode(path, fps=5, on_damage=damage.append))
    numbers = [rendered_videos.read_number(frame.image) for frame in frames]
    assert len(frames) == 30
    assert numbers[:9] == list(range(2, 45, 5)) and numbers[-10:] == list(range(102, 150, 5))
    (message,) = damage
    assert message.startswith(f"{path}: damaged: read to 5.92 s of 6.00 s, with ")
    assert message.endswith("frame(s) damaged or missing")


@pytest.fixture
def bad_files(rendered_videos: ModuleType, tmp_path: Path) -> dict[str, Path]:
    """Files that are no videos, by what they are."""
    files = {name: tmp_path / f"{name}.mp4" for name in ("text", "empty", "header", "missing")}
    files["text"].write_text("no video\n" * 100)
    files["empty"].touch()
    # An .mp4 file with its index at the end, which is cut off.
    video = rendered_videos.render(tmp_path / "whole.mp4", duration=2.0)
    files["header"].write_bytes(video.path.read_bytes()[:3000])
    files["sound"] = rendered_videos.render_sound(tmp_path / "sound.mp4")
    files["folder"] = tmp_path
    return files


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("text", "cannot be read as a video: Invalid data found"),
        ("empty", "is empty, wanted a video"),
        ("header", "cannot be read as a video: Invalid data found"),
        ("sound", "found no video in it, only audio"),
        ("missing", "found no such file"),
        ("folder", "is a folder, wanted a video file"),
    ],
)
def test_what_is_no_video_is_told_with_its_reason(
    bad_files: dict[str, Path], kind: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = bad_files[kind]
    for use in (lambda: probe(path), lambda: decode(path, fps=1), lambda: extract_features(path)):
        with pytest.raises(InputError) as caught:
            use()
        assert str(caught.value).startswith(f"{path}: {reason}")
    assert capfd.readouterr().err == ""  # FFmpeg says nothing on its own


def test_a_cover_is_no_video(rendered_videos: ModuleType, tmp_path: Path) -> None:
    import av

    path = tmp_path / "song.mp4"
    sound = rendered_videos.render_sound(tmp_path / "sound.mp4")
    with av.open(str(sound)) as source, av.open(str(path), "w") as target:
        voice = target.add_stream_from_template(source.streams.audio[0])
        cover = target.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame(64, 64, "yuvj420p")
        target.mux(cover.encode(picture) + cover.encode(None))
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = voice
                target.mux(packet)
    with pytest.raises(InputError, match="song.mp4: found no video in it, only audio, video"):
        probe(path)


@pytest.fixture
def unprivileged_folder() -> Iterator[Path]:
    """A folder that any user may look into; this process has no special rights meanwhile."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_no_permission(rendered_videos: ModuleType, unprivileged_folder: Path) -> None:
    path = rendered_videos.render(unprivileged_folder / "v.mp4", duration=0.2).path
    path.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:  # root may read everything
        os.seteuid(65534)
    try:
        with pytest.raises(InputError, match="v.mp4: no permission to read it"):
            probe(path)
    finally:
        if is_root:
            os.seteuid(0)


def test_names_are_no_addresses_or_patterns(rendered_videos: ModuleType, tmp_path: Path) -> None:
    for name in ("pipe:0.mp4", "http:%03d.mp4", "concat:a|b.mp4", "-.mp4", "日本.mp4"):
        video = rendered_videos.render(tmp_path / "v.mp4", duration=0.2)
        path = video.path.rename(tmp_path / name)
        assert probe(path).duration == pytest.approx(0.2)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(
        InputError, match=r"needs the extra 'video': pip install 'gnnreloc\[video\]"
    ):
        probe(tmp_path / "v.mp4")


def test_a_time_stamp_that_cannot_be_ends_the_video(
    rendered_videos: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rendered_videos.render(tmp_path / "v.mp4", duration=2.0).path
    decoded = OpenedVideo._decoded

    def broken(video: OpenedVideo, faults: Any) -> Iterator[Any]:
        for number, frame in enumerate(decoded(video, faults)):
            if number == 30:
                frame.pts = 2**50
            yield frame

    monkeypatch.setattr(OpenedVideo, "_decoded", broken)
    damage: list[str] = []
    frames = list(decode(path, fps=25, on_damage=damage.append))
    assert len(frames) == 30
    assert damage == [
        f"{path}: truncated or damaged: readable to 1.20 s of 2.00 s, with 1 frame(s) damaged or "
        "missing"
    ]
