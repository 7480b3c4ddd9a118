"""The right frame at every second, in every container, at every rate; what is asked for wrongly."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gnnreloc.errors import InputError
from gnnreloc.video import probe
from gnnreloc.video.decode import decode
from gnnreloc.video.opened_video import OpenedVideo
from gnnreloc.video.pictures import Orientation, stretch
from gnnreloc.video.torchcodec_frames import import_torchcodec

NTSC = Fraction(30000, 1001)

FILES: dict[str, dict[str, Any]] = {
    "h264_25.mp4": {},
    "h264_ntsc.mp4": {"fps": NTSC},
    "h264_24.mkv": {"fps": 24},
    "h264_variable.mp4": {"fps": "variable"},
    "h264_variable.mkv": {"fps": "variable"},
    "h264_sound.mp4": {"sound": 4.0},
    "h264_25.ts": {},
    "mpeg4_25.avi": {},
    "mpeg4_ntsc.avi": {"fps": NTSC},
    "mpeg4_b_frames.avi": {"options": {"bf": "2"}},
    "mpeg4_24.mp4": {"codec": "mpeg4", "fps": 24},
    "vp9_24.webm": {"fps": 24},
    "vp9_ntsc.mkv": {"fps": NTSC, "codec": "vp9"},
    "vp9_variable.webm": {"fps": "variable"},
    "turned.mp4": {"rotation": 90},
}

# What torchcodec 0.12 finds no frames in, or the wrong ones.
BY_PYAV_ALONE = ("h264_25.ts", "mpeg4_b_frames.avi")

Render = Callable[[str], Any]


@pytest.fixture(scope="module")
def rendered(
    rendered_videos: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Any]:
    """Renders one of ``FILES`` when it is first asked for: 2 s, a circle from 0.5 s to 1.5 s."""
    folder, made = tmp_path_factory.mktemp("videos"), dict[str, Any]()
    scenes = [rendered_videos.Scene("circle_bounces", 0.5, 1.5)]

    def render(name: str) -> Any:
        if name not in made:
            options = FILES[name]
            made[name] = rendered_videos.render(folder / name, scenes, duration=2.0, **options)
        return made[name]

    return render


@pytest.mark.parametrize("name", FILES)
def test_the_right_frame_at_every_time(
    rendered: Render, rendered_videos: ModuleType, name: str
) -> None:
    video = rendered(name)
    # Times of their own, and the frames' own times, a little before and after.
    near = [time + shift for time in video.times[1:-1] for shift in (-1e-3, 0, 1e-3)]
    times = sorted([*np.arange(0, 1.9, 0.037), *near])
    frames = list(decode(video.path, times=times))
    assert [frame.time for frame in frames] == times
    numbers = [rendered_videos.read_number(frame.image) for frame in frames]
    assert numbers == [video.number_at(time) for time in times]
    shown = [video.times[number] for number in numbers]
    assert [frame.shown for frame in frames] == pytest.approx(shown, abs=1e-4)


@pytest.mark.parametrize("name", FILES)
def test_what_probe_says(rendered: Render, name: str) -> None:
    video = rendered(name)
    info = probe(video.path)
    # After a variable rate the last frame's length is whatever the container says.
    tolerance = 0.15 if "variable" in name else 0.01
    assert info.duration == pytest.approx(video.duration, abs=tolerance)
    assert (info.width, info.height) == (160, 120)
    if "variable" not in name:
        assert info.fps == pytest.approx(float(FILES[name].get("fps", 25)), rel=1e-4)
    assert info.codec == name.partition("_")[0].replace("turned.mp4", "h264")


@pytest.mark.parametrize("name", [name for name in FILES if name not in BY_PYAV_ALONE])
def test_torchcodec_gives_the_same_frames(rendered: Render, name: str) -> None:
    try:
        import_torchcodec()
    except InputError as error:
        pytest.skip(str(error))
    path, times = rendered(name).path, list(np.arange(0, 1.9, 0.037))
    ways: list[dict[str, Any]] = [{"times": times}, {"fps": 9.5, "size": (64, 48)}]
    for options in ways:
        frames = zip(
            decode(path, **options), decode(path, decoder="torchcodec", **options), strict=True
        )
        for one, other in frames:
            assert one.time == other.time and one.shown == pytest.approx(other.shown, abs=1e-6)
            assert np.array_equal(one.image, other.image)


def test_torchcodec_is_missed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchcodec", None)
    monkeypatch.setitem(__import__("sys").modules, "torchcodec.decoders", None)
    with pytest.raises(InputError, match="decoder 'torchcodec' is not to be had here"):
        decode("a.mp4", fps=1, decoder="torchcodec")


def test_frames_at_a_rate(rendered: Render, rendered_videos: ModuleType) -> None:
    video = rendered("h264_25.mp4")
    for phase in (0.0, 0.5):
        frames = list(decode(video.path, fps=4, phase=phase))
        times = [(k + phase) / 4 for k in range(8)]
        assert [frame.time for frame in frames] == times
        numbers = [rendered_videos.read_number(frame.image) for frame in frames]
        assert numbers == [int(time * 25 + 1e-9) for time in times]
    # More than there are: frames are held. Fewer than one: the one in the middle.
    assert len(list(decode(video.path, fps=100))) == 200
    assert [frame.time for frame in decode(video.path, fps=0.1)] == [1.0]


def test_frames_of_a_clip(rendered: Render, rendered_videos: ModuleType) -> None:
    video = rendered("vp9_24.webm")
    frames = list(decode(f"{video.path}#t=0.5,1.5", fps=4))
    assert [frame.time for frame in frames] == [0.625, 0.875, 1.125, 1.375]
    numbers = [rendered_videos.read_number(frame.image) for frame in frames]
    assert numbers == [video.number_at(frame.time) for frame in frames]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".ts"])
def test_a_late_clip_is_reached_by_a_jump(
    rendered_videos: ModuleType, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"long{suffix}"
    video = rendered_videos.render(path, duration=16.0, fps=10, size=(96, 64))
    for start in (10.0, 12.34, 15.9):
        frames = list(decode(f"{path}#t={start}", fps=20))
        numbers = [rendered_videos.read_number(frame.image) for frame in frames]
        assert numbers == [video.number_at(frame.time) for frame in frames]
    with OpenedVideo(path) as opened:
        assert 0 < next(opened.frames(12.34))[0] <= 12.34


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_pictures_are_upright(rendered_videos: ModuleType, tmp_path: Path, rotation: int) -> None:
    scenes = [rendered_videos.Scene("triangle_zigzags", 0, 1)]
    path = tmp_path / "turned.mp4"
    rendered_videos.render(path, scenes, rotation=rotation, numbered=False)
    assert (probe(path).width, probe(path).height) == (160, 120)
    (frame,) = decode(path, times=[0.5])
    wanted = rendered_videos.draw(0.48, scenes).astype(float)
    assert frame.image.shape == wanted.shape
    assert abs(frame.image - wanted).mean() < 6
    for other in (wanted[::-1], wanted[:, ::-1], wanted[::-1, ::-1]):
        assert abs(frame.image - other).mean() > 12
    assert next(decode(path, times=[0.5], size=(40, 30))).image.shape == (30, 40, 3)


def test_orientation_follows_the_matrix() -> None:
    picture = np.arange(6).reshape(2, 3)
    for turned, sx, sy in itertools.product((False, True), (1, -1), (1, -1)):
        matrix = (0, sy, 0, sx, 0) if turned else (sx, 0, 0, 0, sy)
        shown = {}
        for (y, x), value in np.ndenumerate(picture):
            right, down = matrix[0] * x + matrix[3] * y, matrix[1] * x + matrix[4] * y
            shown[down, right] = value
        rows = sorted({place[0] for place in shown})
        columns = sorted({place[1] for place in shown})
        wanted = [[shown[row, column] for column in columns] for row in rows]
        assert Orientation(matrix).apply(picture).tolist() == wanted


def test_size_stretches_by_means_of_areas(rendered: Render) -> None:
    path = rendered("h264_25.mp4").path
    (whole,) = decode(path, times=[1.0])
    (half,) = decode(path, times=[1.0], size=(80, 60))
    means = whole.image.reshape(60, 2, 80, 2, 3).mean(axis=(1, 3))
    assert half.image.shape == (60, 80, 3) and half.image.dtype == np.uint8
    assert abs(half.image - means).max() <= 2
    assert np.array_equal(stretch(whole.image, (160, 120)), whole.image)


@pytest.mark.parametrize("name", ["sound.mp4", "sound.mkv"])
def test_sound_that_lasts_longer_adds_no_frames(
    rendered_videos: ModuleType, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    rendered_videos.render(path, duration=1.0, sound=3.0)
    assert probe(path).duration == pytest.approx(1.0, abs=0.01)
    assert len(list(decode(path, fps=10))) == 10


def test_a_single_frame_is_a_video(rendered_videos: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "one.mp4"
    rendered_videos.render(path, duration=0.04)
    assert len(list(decode(path, fps=2))) == 1


def test_few_frames_are_in_memory(rendered: Render) -> None:
    alive: list[weakref.ref[Any]] = []
    most = 0
    for frame in decode(rendered("h264_25.mp4").path, fps=25):
        alive = [*(one for one in alive if one() is not None), weakref.ref(frame.image)]
        most = max(most, len(alive))
    assert 1 <= most <= 3


def test_decoding_can_be_left(rendered: Render) -> None:
    frames = decode(rendered("h264_25.mp4").path, fps=25)
    assert next(frames).time == 0.02
    frames.close()  # type: ignore[attr-defined]  # it is a generator
    assert list(frames) == []


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({}, "found times=None and fps=None, wanted one of them"),
        ({"times": [0.0], "fps": 1}, "wanted one of them"),
        ({"fps": 0}, "found fps 0"),
        ({"fps": float("inf")}, "found fps inf"),
        ({"fps": 1, "phase": 1.0}, "found phase 1.0"),
        ({"fps": 1, "size": (0, 5)}, r"found size \(0, 5\)"),
        ({"fps": 1, "decoder": "vlc"}, "unknown decoder 'vlc'; known are: pyav, torchcodec"),
    ],
)
def test_wrong_arguments_are_told_at_once(
    rendered: Render, options: dict[str, Any], culprit: str
) -> None:
    with pytest.raises(InputError, match=culprit):
        decode(rendered("h264_25.mp4").path, **options)


@pytest.mark.parametrize("times", [[0.5, 0.4], [-0.1], [2.0], [float("nan")]])
def test_times_that_cannot_be(rendered: Render, times: list[float]) -> None:
    with pytest.raises(InputError, match=r"found time .* wanted times that do not fall, from 0 s"):
        list(decode(rendered("h264_25.mp4").path, times=times))


def test_a_clip_beyond_the_end(rendered: Render) -> None:
    path = rendered("h264_25.mp4").path
    with pytest.raises(InputError, match=r"h264_25.mp4: the clip's end at 5 s is beyond the end"):
        decode(f"{path}#t=1,5", fps=1)
    with pytest.raises(InputError, match="start at 3 s is beyond the end, 2.00 s"):
        decode(f"{path}#t=3", fps=1)


def test_a_stream_without_a_container(rendered_videos: ModuleType, tmp_path: Path) -> None:
    """No length, no times: 25 frames a second, counted to the end."""
    import av

    video = rendered_videos.render(tmp_path / "v.mp4", duration=2.0)
    path = tmp_path / "v.h264"
    with av.open(str(video.path)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        convert = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in source.demux(stream):
            for part in convert.filter(packet if packet.size else None):
                part.stream = copy
                target.mux(part)
    assert probe(path).duration == pytest.approx(2.0)
    numbers = [rendered_videos.read_number(frame.image) for frame in decode(path, fps=5)]
    assert numbers == list(range(2, 50, 5))


@pytest.mark.parametrize("late", [0.0, 1.4])
@pytest.mark.parametrize("name", ["v.mpg", "v.mkv", "v.webm", "v.mp4", "v.ts"])
def test_the_length_is_that_of_the_picture_from_its_first_frame(
    rendered_videos: ModuleType, tmp_path: Path, name: str, late: float
) -> None:
    import av

    source_name = {"v.webm": "o.webm", "v.mpg": "o.avi"}.get(name, "o.mp4")
    video = rendered_videos.render(tmp_path / source_name, duration=2.0)
    path = tmp_path / name
    with av.open(str(video.path)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                shift = round(late / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, copy
                target.mux(packet)
    assert probe(path).duration == pytest.approx(2.0, abs=0.045)
    numbers = [rendered_videos.read_number(frame.image) for frame in decode(path, fps=5)]
    assert numbers == list(range(2, 50, 5))
