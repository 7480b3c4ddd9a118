"""Made-up files in the layout of the real data sets, and where the real ones may lie."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[np.float32]

JOINT_NAMES = (
    *("joint_Root", "Hips", "Spine", "Chest", "Neck", "Head"),
    *("Shoulder_L", "UpperArm_L", "LowerArm_L", "Hand_L"),
    *("Shoulder_R", "UpperArm_R", "LowerArm_R", "Hand_R"),
    *("UpperLeg_L", "LowerLeg_L", "Foot_L", "Toes_L"),
    *("UpperLeg_R", "LowerLeg_R", "Foot_R", "Toes_R"),
)


def made_up_clips(frames: tuple[int, int] = (24, 40)) -> list[tuple[str, Array]]:
    """Class and joints ``[n, 22, 3]`` of clips: 20 classes of 15, one of 14 that is too rare.

    A class has a pose of its own, around which its joints swing smoothly. The hips of clip ``k``
    stay at the height ``1 + k / 256``, so that a frame tells which clip it came from.
    """
    rng = np.random.default_rng(0)
    side = np.array([name.endswith("_L") * 1.0 - name.endswith("_R") for name in JOINT_NAMES])
    clips: list[tuple[str, Array]] = []
    for number in range(21):
        pose = rng.normal(size=(22, 3)) * 0.1
        pose[:, 0] += 0.5 * side
        swing, phase = 0.15 * rng.random((22, 3)), 2 * np.pi * rng.random((22, 3))
        for _ in range(14 if number == 20 else 15):
            seconds = np.arange(rng.integers(frames[0], frames[1] + 1)) / 10
            angle = 2 * np.pi * rng.uniform(0.3, 0.5) * seconds
            joints = pose + swing * np.sin(angle[:, None, None] + phase)
            joints[..., 1] += 1.0
            joints[:, JOINT_NAMES.index("Hips"), 1] = 1 + len(clips) / 256
            clips.append((f"move-{number:02d}", joints.astype(np.float32)))
    return clips


def write_bandai_files(
    root: Path,
    clips: list[tuple[str, Array]] | None = None,
    *,
    arrays: dict[str, Any] | None = None,
    meta: object = None,
) -> Path:
    """Write clips in the layout of ``bandai``; ``arrays`` and ``meta`` replace what is written."""
    clips = made_up_clips() if clips is None else clips
    written: dict[str, Any] = {
        "joints": np.concatenate([joints for _, joints in clips]),
        "offsets": np.cumsum([0, *(len(joints) for _, joints in clips)]),
        "joint_names": np.array(JOINT_NAMES),
    }
    np.savez(root / "bandai_joints_10fps_f16.npz", **(written | (arrays or {})))
    if meta is None:
        meta = [
            {"file": f"clip-{number:03d}.bvh", "dataset": "made-up", "content": label}
            for number, (label, _) in enumerate(clips)
        ]
    (root / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    return root


def made_up_database(videos: int = 14) -> dict[str, Any]:
    """Annotations in the layout of ``fir``: videos of 60 s with three moments of three classes."""
    return {
        f"video-{number:02d}": {
            "duration": 60.0,
            "segments": [
                {"seconds": [2.0 + shift + number / 4, 9.0 + shift], "label": label}
                for shift, label in ((0.0, "walk"), (15.0, "sit"), (30.0, "lie"))
            ],
        }
        for number in range(videos)
    }


def write_fir_files(
    root: Path,
    database: dict[str, Any] | None = None,
    *,
    arrays: dict[str, Any] | None = None,
    text: str | None = None,
) -> Path:
    """Write annotations and features in the layout of ``fir``; ``text`` replaces the annotations.

    ``arrays`` replaces features, and removes those of a video where its value is ``None``.
    """
    database = made_up_database() if database is None else database
    rng = np.random.default_rng(1)
    written: dict[str, Any] = {
        video: (rng.normal(size=(125, 6)) * 3 + 5).astype(np.float16) for video in database
    }
    written |= arrays or {}
    kept = {video: values for video, values in written.items() if values is not None}
    np.savez(root / "effnetlite0_stride12.npz", **kept)
    content = json.dumps({"database": database}) if text is None else text
    (root / "segments.json").write_text(content, encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def write_bandai() -> Callable[..., Path]:
    """``write_bandai(root, clips, arrays=, meta=)`` writes a small data set and returns root."""
    return write_bandai_files


@pytest.fixture(scope="session")
def write_fir() -> Callable[..., Path]:
    """``write_fir(root, database, arrays=, text=)`` writes a small data set and returns root."""
    return write_fir_files


@pytest.fixture(scope="session")
def bandai_clips() -> list[tuple[str, Array]]:
    """The clips that ``bandai_root`` holds, in order; never change them."""
    return made_up_clips()


@pytest.fixture
def fir_database() -> dict[str, Any]:
    """The annotations that ``fir_root`` holds."""
    return made_up_database()


@pytest.fixture(scope="session")
def bandai_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with made-up motion capture; never change it."""
    return write_bandai_files(tmp_path_factory.mktemp("bandai"))


@pytest.fixture(scope="session")
def fir_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with made-up features of untrimmed videos; never change it."""
    return write_fir_files(tmp_path_factory.mktemp("fir"))


@pytest.fixture(scope="session")
def layouts() -> ModuleType:
    """The module ``official_layouts``, which writes small data sets in the official layouts."""
    path = Path(__file__).with_name("official_layouts.py")
    location = importlib.util.spec_from_file_location("official_layouts", path)
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Name of a data set to its real folder; skips the test where there is none.

    The folder lies in the one that the environment variable ``GNNRELOC_DATA`` names, or in
    ``shared/data`` beside the repository.
    """
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    home = Path(os.environ.get("GNNRELOC_DATA", beside))

    def folder(name: str) -> Path:
        if not (home / name).is_dir():
            pytest.skip(f"no real data in {home / name}; set GNNRELOC_DATA to the folder above it")
        return home / name

    return folder
