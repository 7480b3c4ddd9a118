"""Videos of known content: moving figures at known times, and the number of every frame in it.

    python examples/videos/rendered_videos.py OUT.mp4 circle_bounces:2:5 square_rotates:8:10.5

A scene is an action that a figure performs on a textured background from one second to another.
The same action looks different with another seed (place, size, colours, phase) and another speed.
Along the lower edge, black and white blocks spell the number of the frame; ``read_number`` reads
them from a decoded frame of any size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Grid = NDArray[np.float64]

BITS = 16
CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "veryfast", "crf": "20", "g": "50"}),
    "mpeg4": ("mpeg4", {"qscale": "3", "g": "25"}),
    "vp9": (
        "libvpx-vp9",
        {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0", "g": "50"},
    ),
}
SOUND = {".webm": "libopus", ".mp4": "aac", ".mkv": "aac", ".avi": "mp2"}
_IDENTITY = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4")


class Scene(NamedTuple):
    """An action from ``start`` to ``end`` (seconds), at a speed in cycles per second.

    ``figure`` names one of ``FIGURES``; by default it is that of the action.
    """

    action: str
    start: float
    end: float
    speed: float = 1.0
    seed: int = 0
    figure: str = ""


class Rendered(NamedTuple):
    """A file with the seconds at which its frames appear, the first at 0, and its length."""

    path: Path
    times: list[float]
    duration: float
    scenes: list[Scene]

    def number_at(self, time: float) -> int:
        """Number of the frame that is shown at a time."""
        return int(np.searchsorted(self.times, time + 1e-9, side="right")) - 1


# Figures: whether a point (x right, y down, the figure within about -1 to 1) belongs to them.


def _disc(x: Grid, y: Grid) -> NDArray[np.bool_]:
    return x**2 + y**2 < 1


def _square(x: Grid, y: Grid) -> NDArray[np.bool_]:
    return np.maximum(abs(x), abs(y)) < 0.85


def _triangle(x: Grid, y: Grid) -> NDArray[np.bool_]:
    return (y < 0.7) & (y > 2 * abs(x) - 1.1)


def _bar(x: Grid, y: Grid) -> NDArray[np.bool_]:
    return (abs(x) < 0.22) & (abs(y) < 1.5)


def _ring(x: Grid, y: Grid) -> NDArray[np.bool_]:
    return abs(np.hypot(x, y) - 0.85) < 0.22


def _cross(x: Grid, y: Grid) -> NDArray[np.bool_]:
    return (np.minimum(abs(x), abs(y)) < 0.25) & (np.maximum(abs(x), abs(y)) < 1)


def _two_discs(x: Grid, y: Grid) -> NDArray[np.bool_]:
    return (abs(x) - 0.8) ** 2 + y**2 < 0.3


def _stripes(x: Grid, y: Grid) -> NDArray[np.bool_]:
    return (abs(x) < 1) & (abs(y) < 1) & (np.sin(9 * y) > 0)


#: Whether a point belongs to a figure.
Figure = Callable[[Grid, Grid], NDArray[np.bool_]]
FIGURES: dict[str, Figure] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "bar": _bar,
    "ring": _ring,
    "cross": _cross,
    "discs": _two_discs,
    "stripes": _stripes,
}

Pose = tuple[float, float, float, float]


def _wave(cycle: float) -> float:
    """From -1 to 1 and back, in straight lines."""
    return 4 * abs(cycle % 1 - 0.5) - 1


#: Name of each action to its figure, and where it is after a number of cycles: shift to the right
#: and down in figure sizes, turn in radians, size.
ACTIONS: dict[str, tuple[Figure, Callable[[float], Pose]]] = {
    "circle_bounces": (_disc, lambda c: (0, 0.9 - 1.8 * abs(np.sin(np.pi * c)), 0, 0.8)),
    "square_rotates": (_square, lambda c: (0, 0, 2 * np.pi * c, 1)),
    "triangle_zigzags": (_triangle, lambda c: (1.3 * _wave(c), 0.7 * _wave(4 * c), 0, 0.8)),
    "bar_swings": (_bar, lambda c: (0, 0, 1.1 * np.sin(2 * np.pi * c), 1)),
    "ring_grows": (_ring, lambda c: (0, 0, 0, 0.85 + 0.55 * np.sin(2 * np.pi * c))),
    "cross_orbits": (_cross, lambda c: (np.cos(2 * np.pi * c), np.sin(2 * np.pi * c), 0, 0.8)),
    "discs_turn": (_two_discs, lambda c: (0, 0, -2 * np.pi * c, 1.1)),
    "stripes_shake": (_stripes, lambda c: (0.6 * np.sin(6 * np.pi * c), 0, 0.3, 0.9)),
}


def draw(
    time: float, scenes: Sequence[Scene], size: tuple[int, int] = (160, 120), seed: int = 0
) -> Image:
    """The picture at a time, without a number.

    Args:
        time: Seconds.
        scenes: What is to be seen when.
        size: Width and height.
        seed: Of the background.
    """
    picture, x, y = _background(size, seed)
    picture = picture.copy()
    for scene in scenes:
        if scene.start <= time < scene.end:
            _draw_scene(picture, x, y, size[0] / size[1], time, scene)
    return picture.clip(0, 255).astype(np.uint8)


@cache
def _background(size: tuple[int, int], seed: int) -> tuple[NDArray[np.float64], Grid, Grid]:
    """The picture without figures, and the places of its points in heights of the picture."""
    width, height = size
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / height
    picture = np.zeros((height, width, 3))
    for waves in (2, 5, 11):
        direction, phase = random.uniform(0, 2 * np.pi, 2)
        along = x * np.cos(direction) + y * np.sin(direction)
        colour = random.uniform(-1, 1, 3)
        picture += np.sin(2 * np.pi * waves * along + phase)[..., None] * colour * 18
    return picture + random.uniform(60, 130, 3), x, y


def _draw_scene(
    picture: NDArray[np.float64], x: Grid, y: Grid, aspect: float, time: float, scene: Scene
) -> None:
    figure, move = ACTIONS[scene.action]
    figure = FIGURES[scene.figure] if scene.figure else figure
    random = np.random.default_rng(1000 + scene.seed)
    cycle = random.uniform() + scene.speed * (time - scene.start)
    scale = random.uniform(0.19, 0.24)
    right, down, turn, size = move(cycle)
    centre_x = aspect / 2 + random.uniform(-0.1, 0.1) + right * scale
    centre_y = 0.5 + random.uniform(-0.05, 0.05) + down * scale
    u, v = (x - centre_x) / (scale * size), (y - centre_y) / (scale * size)
    u, v = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
    picture[figure(u, v)] = random.uniform(170, 255, 3)


def write_number(image: Image, number: int) -> None:
    """Spell a number along the lower edge of an image, in place."""
    height, width = image.shape[:2]
    edges = np.linspace(0, width, BITS + 1).round().astype(int)
    for bit in range(BITS):
        value = 235 if number >> bit & 1 else 20
        image[height - height // 12 :, edges[bit] : edges[bit + 1]] = value


def read_number(image: Image) -> int:
    """The number that stands along the lower edge of an image of any size."""
    height, width = image.shape[:2]
    row = image[round(height * (1 - 1 / 24)) - 1].mean(axis=-1)
    middles = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    return sum(int(row[middle] > 127) << bit for bit, middle in enumerate(middles))


def variable_times(duration: float, seed: int = 0, rate: float = 25.0) -> list[float]:
    """Seconds of frames that come at a rate that changes all the time, in whole milliseconds."""
    random = np.random.default_rng(seed)
    gaps = random.choice([0.3, 0.6, 1.0, 1.5, 4.0], size=int(3 * duration * rate)) / rate
    times = np.concatenate([[0], gaps.cumsum()]).round(3)
    return [float(time) for time in times[times < duration]]


def render(
    path: Path | str,
    scenes: Sequence[Scene] = (),
    *,
    duration: float | None = None,
    fps: int | Fraction | str = 25,
    codec: str | None = None,
    size: tuple[int, int] = (160, 120),
    seed: int = 0,
    numbered: bool = True,
    rotation: int = 0,
    sound: float = 0.0,
    options: dict[str, str] | None = None,
    format_options: dict[str, str] | None = None,
) -> Rendered:
    """Write a video.

    Args:
        path: File; the ending chooses the container: .mp4, .mkv, .webm, .avi, .ts.
        scenes: What is to be seen when.
        duration: Length in seconds; by default to the end of the last scene.
        fps: Frames per second, or ``"variable"``.
        codec: One of :data:`CODECS`; by default what is usual in the container.
        size: Width and height of the upright picture, both even.
        seed: Of the background and of a variable rate.
        numbered: Whether frames carry their number.
        rotation: Degrees, by quarter turns counter-clockwise, by which a player has to turn the
            stored picture; .mp4 only.
        sound: Seconds of a tone.
        options: More options of the encoder.
        format_options: Options of the container.
    """
    path, scenes = Path(path), list(scenes)
    if duration is None:
        duration = max(scene.end for scene in scenes)
    variable = fps == "variable"
    rate = Fraction(25) if variable else Fraction(fps)
    if variable:
        times = variable_times(duration, seed)
    else:
        times = [float(k / rate) for k in range(round(duration * rate))]
    usual = {".webm": "vp9", ".avi": "mpeg4"}
    name, settings = CODECS[codec or usual.get(path.suffix, "h264")]
    with av.open(str(path), "w", options=format_options or {}) as container:
        stream: Any = container.add_stream(name, rate=rate, options={**settings, **(options or {})})
        stream.width, stream.height = size if rotation % 180 == 0 else size[::-1]
        stream.pix_fmt = "yuv420p"
        base = Fraction(1, 1000) if variable else 1 / rate
        stream.codec_context.time_base = base
        voice = _add_sound(container, path, sound)
        for number, time in enumerate(times):
            image = draw(time, scenes, size, seed)
            if numbered:
                write_number(image, number)
            stored = np.ascontiguousarray(np.rot90(image, -rotation // 90))
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
            frame.pts, frame.time_base = round(time / base), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None:
            _write_sound(container, voice, sound)
    if rotation:
        _write_rotation(path, rotation)
    if path.suffix in (".mkv", ".webm") and not variable:  # whole milliseconds
        times = [int(k / rate * 1000 + Fraction(1, 2)) / 1000 for k in range(len(times))]
    last = 1 / 25 if variable else 1 / float(rate)
    return Rendered(path, times, times[-1] + last, scenes)


def render_sound(path: Path | str, seconds: float = 1.0) -> Path:
    """Write a file with a tone and no picture."""
    path = Path(path)
    with av.open(str(path), "w") as container:
        _write_sound(container, _add_sound(container, path, seconds), seconds)
    return path


def _add_sound(container: Any, path: Path, seconds: float) -> Any:
    return container.add_stream(SOUND[path.suffix], rate=48000) if seconds else None


def _write_sound(container: Any, stream: Any, seconds: float) -> None:
    size = stream.codec_context.frame_size or 1024
    layout, fmt = stream.codec_context.layout.name, stream.codec_context.format.name
    resampler = av.AudioResampler(format=fmt, layout=layout, rate=48000, frame_size=size)
    for start in range(0, int(48000 * seconds), size):
        tone = (8000 * np.sin(np.arange(start, start + size) / 20)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        for part in resampler.resample(frame):
            container.mux(stream.encode(part))
    container.mux(stream.encode(None))


def _write_rotation(path: Path, degrees: int) -> None:
    """Replace the identity in the track header of an .mp4 file by a turn."""
    cosine, sine = round(np.cos(np.radians(degrees))), round(np.sin(np.radians(degrees)))
    turn = _IDENTITY.copy()
    turn[[0, 1, 3, 4]] = np.array([cosine, -sine, sine, cosine]) * (1 << 16)
    content = bytearray(path.read_bytes())
    place = content.index(_IDENTITY.tobytes(), content.index(b"tkhd"))
    content[place : place + turn.nbytes] = turn.tobytes()
    path.write_bytes(content)


def main(arguments: Sequence[str]) -> None:
    """Write a video from the command line."""
    path, *texts = arguments
    parsed = []
    for text in texts:
        action, start, end, *speed = text.split(":")
        parsed.append(Scene(action, float(start), float(end), *map(float, speed)))
    print(render(path, parsed, duration=max(scene.end for scene in parsed) + 2).path)


if __name__ == "__main__":
    main(sys.argv[1:])
