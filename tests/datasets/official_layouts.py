"""Writes small data sets in the official layouts, with C3D-shaped features made up for them.

    python tests/datasets/official_layouts.py activitynet12 OUT [--real FOLDER]

Annotations and proposals are a subset of the real ones where ``--real`` names their folder, else
invented. The features are noise in which a class is a direction of its own that turns into another
one in the course of a moment.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

CHANNELS = 500
FRAMES_PER_SECOND = 30
FRAMES_PER_ROW = 8
ACTIVITYNET_JSON = "activity_net.v1-2.trainval.json"
ACTIVITYNET_LIST = "activitynet1.2_tag_val_normalized_proposal_list.txt"
C3D_FILE = "sub_activitynet_v1-3.c3d.hdf5"
THUMOS_CLASSES = (
    "BaseballPitch BasketballDunk Billiards CleanAndJerk CliffDiving CricketBowling CricketShot "
    "Diving FrisbeeCatch GolfSwing HammerThrow HighJump JavelinThrow LongJump PoleVault Shotput "
    "SoccerPenalty TennisSwing ThrowDiscus VolleyballSpiking"
).split()
THUMOS_EXCLUDED = ("video_test_0000270", "video_test_0001496")

Moment = tuple[float, float, str]


class Video(NamedTuple):
    """A video: seconds, official part, moments (start s, end s, class), proposals as shares."""

    duration: float
    part: str
    moments: list[Moment]
    proposals: list[tuple[float, float]]


def c3d_rows(name: str, rows: int, moments: Iterable[Moment]) -> NDArray[np.float16]:
    """Features ``[rows, 500]``; moments are given in rows."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    values = 0.3 * rng.normal(size=(rows, CHANNELS)) + 0.3 * rng.normal(size=CHANNELS)
    centre = np.arange(rows) + 0.5
    for start, end, label in moments:
        inside = (start <= centre) & (centre < end)
        place = (centre[inside] - start) / (end - start) * np.pi / 2
        early, late = np.random.default_rng(zlib.crc32(label.encode())).normal(size=(2, CHANNELS))
        values[inside] += np.cos(place)[:, None] * early + np.sin(place)[:, None] * late
    return values.astype(np.float16)


def video_rows(name: str, video: Video) -> NDArray[np.float16]:
    """Features of a whole video: rows of 16 frames every 8 frames."""
    rows = int((video.duration * FRAMES_PER_SECOND - 16) // FRAMES_PER_ROW) + 1
    scale = rows / video.duration
    return c3d_rows(name, rows, [(a * scale, b * scale, label) for a, b, label in video.moments])


def write_c3d(path: Path, features: dict[str, NDArray[np.float16]]) -> None:
    """An HDF5 file in the layout of the official features."""
    with h5py.File(path, "w") as file:
        for name, values in features.items():
            file.create_dataset(f"v_{name}/c3d_features", data=values)


def write_activitynet12(
    root: Path, real: Path | None = None, *, classes: int = 20, videos: int = 4
) -> Path:
    """Annotations, TAG list and features of ``videos`` videos of each of ``classes`` classes."""
    chosen = (
        _invented_activitynet(classes, videos)
        if real is None
        else _real_activitynet(real, classes, videos)
    )
    root.mkdir(parents=True, exist_ok=True)
    database = {
        name: {
            "subset": video.part,
            "duration": video.duration,
            "url": f"https://www.youtube.com/watch?v={name}",
            "resolution": "320x240",
            "annotations": [{"segment": [a, b], "label": label} for a, b, label in video.moments],
        }
        for name, video in chosen.items()
    }
    document = {"version": "VERSION 1.2", "taxonomy": [], "database": database}
    (root / ACTIVITYNET_JSON).write_text(json.dumps(document), encoding="utf-8")
    (root / ACTIVITYNET_LIST).write_text(_tag_list(chosen), encoding="utf-8")
    write_c3d(root / C3D_FILE, {name: video_rows(name, video) for name, video in chosen.items()})
    return root


def _invented_activitynet(classes: int, videos: int) -> dict[str, Video]:
    rng = np.random.default_rng(12)
    chosen: dict[str, Video] = {}
    for number in range(classes * videos):
        label = f"Doing action {number % classes:02d}"
        duration = float(np.round(rng.uniform(25, 45), 2))
        bounds = np.sort(rng.uniform(0.05, 0.95, 4)) * duration
        if number % 3:
            bounds = np.array([bounds[0], bounds[0] + 0.3 * (duration - bounds[0])])
        moments = [(float(a), float(b), label) for a, b in bounds.reshape(-1, 2) if b > a + 1]
        moments = moments or [(5.0, 15.0, label)]
        proposals = []
        for start, end, _ in moments * 3 + [(0.0, duration, ""), (0.0, 0.5 * duration, "")]:
            jitter = rng.normal(scale=0.15 * (end - start), size=2)
            low, high = np.clip((np.array([start, end]) + jitter) / duration, 0, 1)
            if high - low > 0.02:
                proposals.append((float(low), float(high)))
        part = "validation" if (number + number // classes) % 2 else "training"
        chosen[f"inv{number:08d}"] = Video(duration, part, moments, proposals)
    return chosen


def _real_activitynet(real: Path, classes: int, videos: int) -> dict[str, Video]:
    """Short videos with background, half of them from either official subset."""
    database = json.loads((real / ACTIVITYNET_JSON).read_text(encoding="utf-8"))["database"]
    listed = _read_real_list(real / ACTIVITYNET_LIST)
    by_class: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    for name, entry in database.items():
        labels = {moment["label"] for moment in entry["annotations"]}
        seconds = sum(b - a for a, b in (moment["segment"] for moment in entry["annotations"]))
        inside = seconds / entry["duration"]
        if len(labels) == 1 and entry["duration"] > 15 and 0.1 < inside < 0.7:
            by_class[labels.pop(), entry["subset"]].append((entry["duration"], name))
    chosen: dict[str, Video] = {}
    for label in sorted({label for label, _ in by_class})[:classes]:
        for part, count in (("training", videos - videos // 2), ("validation", videos // 2)):
            for duration, name in sorted(by_class[label, part])[:count]:
                moments = [(*m["segment"], label) for m in database[name]["annotations"]]
                chosen[name] = Video(duration, part, moments, listed.get(name, []))
    return chosen


def _read_real_list(path: Path) -> dict[str, list[tuple[float, float]]]:
    lines = iter(path.read_text(encoding="utf-8").splitlines())
    listed = {}
    for line in lines:
        assert line.startswith("#")
        name, _, _ = next(lines), next(lines), next(lines)
        for _ in range(int(next(lines))):
            next(lines)
        rows = [next(lines).split() for _ in range(int(next(lines)))]
        listed[name] = [(float(row[3]), float(row[4])) for row in rows]
    return listed


def _tag_list(chosen: dict[str, Video]) -> str:
    labels = sorted({label for video in chosen.values() for _, _, label in video.moments})
    lines: list[object] = []
    validation = {name: video for name, video in chosen.items() if video.part == "validation"}
    for number, (name, video) in enumerate(validation.items(), start=1):
        lines += [f"# {number}", name, 1, 1, len(video.moments)]
        for start, end, label in video.moments:
            low, high = start / video.duration, min(end / video.duration, 1)
            lines.append(f"{labels.index(label) + 1} {low:.4f} {high:.4f}")
        lines.append(len(video.proposals))
        lines += [f"1 0.0000 0.0000 {low:.4f} {high:.4f}" for low, high in video.proposals]
    return "\n".join(map(str, lines)) + "\n"


def write_thumos14(
    root: Path, real: Path | None = None, *, videos: int = 4, directory: bool = False
) -> Path:
    """Annotation files, durations and features of ``videos`` videos of each of the 20 classes.

    The annotations of the two excluded videos are there, their features are not. The features are
    in the folder ``features`` with ``directory``, else in ``features.h5``.
    """
    chosen = _invented_thumos(videos) if real is None else _real_thumos(real, videos)
    for part, ending in (("validation", "val"), ("test", "test")):
        folder = root / f"temporal_annotations_{part}"
        folder.mkdir(parents=True, exist_ok=True)
        own = {name: video for name, video in chosen.items() if video.part == part}
        for label in (*THUMOS_CLASSES, "Ambiguous"):
            lines = [
                f"{name}  {start:.1f} {end:.1f}\n"
                for name, video in own.items()
                for start, end, other in video.moments
                if other == label
            ]
            (folder / f"{label}_{ending}.txt").write_text("".join(lines), encoding="utf-8")
        times = "".join(f"{name}.mp4\n{video.duration:.6f}\n" for name, video in own.items())
        (root / f"{part}_durations.txt").write_text(times, encoding="utf-8")
    features = {
        name: video_rows(name, video)
        for name, video in chosen.items()
        if name not in THUMOS_EXCLUDED
    }
    if directory:
        (root / "features").mkdir()
        for name, values in features.items():
            np.save(root / "features" / f"{name}.npy", values)
    else:
        write_c3d(root / "features.h5", features)
    return root


def _invented_thumos(videos: int) -> dict[str, Video]:
    rng = np.random.default_rng(14)
    chosen: dict[str, Video] = {}
    for number in range(len(THUMOS_CLASSES) * videos):
        label = THUMOS_CLASSES[number % len(THUMOS_CLASSES)]
        starts = [round(6 + 9 * place + float(rng.uniform(0, 3)), 1) for place in range(3)]
        moments = [(start, round(start + float(rng.uniform(2, 5)), 1), label) for start in starts]
        if label == "CliffDiving":
            moments += [(start, end, "Diving") for start, end, _ in moments]
        if label == "CricketBowling":
            moments.append((33.0, 35.0, "CricketShot"))
        moments.append((1.0, 2.0, "Ambiguous"))
        part = "test" if number // len(THUMOS_CLASSES) % 2 else "validation"
        chosen[f"video_{part}_{number:07d}"] = Video(36.0, part, moments, [])
    for name in THUMOS_EXCLUDED:
        chosen[name] = Video(36.0, "test", [(1.0, 3.0, "CricketShot")], [])
    return chosen


def _real_thumos(real: Path, videos: int) -> dict[str, Video]:
    """The shortest videos of each class, half of them from either part, with all their moments."""
    moments: dict[str, list[Moment]] = defaultdict(list)
    durations: dict[str, float] = {}
    for part in ("validation", "test"):
        for path in sorted((real / f"temporal_annotations_{part}").glob("*.txt")):
            for line in path.read_text(encoding="utf-8").splitlines():
                name, start, end = line.split()
                moments[name].append((float(start), float(end), path.stem.rsplit("_", 1)[0]))
        lines = (real / f"{part}_durations.txt").read_text(encoding="utf-8").split()
        durations |= {Path(n).stem: float(s) for n, s in zip(lines[::2], lines[1::2], strict=True)}
    names = sorted(moments, key=durations.__getitem__)
    wanted = set(THUMOS_EXCLUDED)
    for label in THUMOS_CLASSES:
        for part, count in (("validation", videos - videos // 2), ("test", videos // 2)):
            holders = [n for n in names if part in n and any(m[2] == label for m in moments[n])]
            wanted |= set([n for n in holders if n not in THUMOS_EXCLUDED][:count])
    return {n: Video(durations[n], n.split("_")[1], moments[n], []) for n in sorted(wanted)}


def write_activitynet_vrl(
    root: Path, real: Path | None = None, *, classes: int = 12, items: int = 4
) -> Path:
    """Three files of items and the features of their long videos, two rows a unit.

    There are ``classes`` training classes, a third of it for validation and for test, and of each
    class ``items`` items from different long videos.
    """
    root.mkdir(parents=True, exist_ok=True)
    units: dict[str, int] = {}
    moments: dict[str, list[Moment]] = defaultdict(list)
    for name, count in (("train", classes), ("val", classes // 3), ("test", classes // 3)):
        if real is None:
            chosen = _invented_items(name, count, items, units)
        else:
            chosen = _real_items(real, name, count, items, units)
        (root / f"{name}.json").write_text(json.dumps(chosen), encoding="utf-8")
        for item in chosen:
            start, end = (item["location"][0] + place for place in item["groundtruth"])
            moments[item["id"]].append((2.0 * start, 2.0 * end, str(item["label"])))
    lengths = {name: {"n_feat": n, "n_frames": 16 * n} for name, n in units.items()}
    (root / "length.json").write_text(json.dumps(lengths), encoding="utf-8")
    rows = {name: c3d_rows(name, 2 * n - 1, moments[name]) for name, n in units.items()}
    write_c3d(root / C3D_FILE, rows)
    return root


def _invented_items(name: str, classes: int, items: int, units: dict[str, int]) -> list[Any]:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    chosen = []
    for number in range(classes * items):
        first, start = int(rng.integers(0, 20)), int(rng.integers(2, 30))
        length = int(rng.integers(4, 20))
        recording = f"{name}{number:06d}"
        units[recording] = first + 60
        label = {"train": 100, "val": 200, "test": 300}[name] + number % classes
        places = {"location": [first, first + 60], "groundtruth": [start, start + length]}
        chosen.append({"id": recording, "label": label, **places})
    return chosen


def _real_items(
    real: Path, name: str, classes: int, items: int, units: dict[str, int]
) -> list[Any]:
    """Items of the shortest long videos, one item of each."""
    everything = json.loads((real / f"{name}.json").read_text(encoding="utf-8"))
    lengths = json.loads((real / "length.json").read_text(encoding="utf-8"))
    by_class: dict[int, dict[str, Any]] = defaultdict(dict)
    for item in everything:
        start, end = item["groundtruth"]
        low, high = item["location"]
        if end - start >= 3 and high - low >= 15 and end - start < 0.8 * (high - low):
            by_class[item["label"]].setdefault(item["id"], item)
    chosen = []
    for label in sorted(by_class, key=lambda label: (-len(by_class[label]), label))[:classes]:
        held = sorted(by_class[label], key=lambda recording: lengths[recording]["n_feat"])
        for recording in held[:items]:
            units[recording] = lengths[recording]["n_feat"]
            chosen.append(by_class[label][recording])
    return chosen


WRITERS: dict[str, Callable[..., Path]] = {
    "activitynet12": write_activitynet12,
    "thumos14": write_thumos14,
    "activitynet_vrl": write_activitynet_vrl,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", choices=WRITERS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--real", type=Path)
    arguments = parser.parse_args()
    print(WRITERS[arguments.dataset](arguments.out, arguments.real))
