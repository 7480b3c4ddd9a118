"""What ``bandai`` says about files that are missing, damaged or of another layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gnnreloc.datasets import bandai
from gnnreloc.errors import InputError

Clips = list[tuple[str, NDArray[np.float32]]]
Write = Callable[..., Path]
Damage = Callable[[Path, Write, Clips], object]


def remove(name: str) -> Damage:
    def damage(root: Path, write: Write, clips: Clips) -> None:
        write(root)
        (root / name).unlink()

    return damage


def replace_arrays(**arrays: Any) -> Damage:
    return lambda root, write, clips: write(root, arrays=arrays)


def replace_meta(meta: object) -> Damage:
    return lambda root, write, clips: write(root, meta=meta)


def truncate(root: Path, write: Write, clips: Clips) -> None:
    path = write(root) / "bandai_joints_10fps_f16.npz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_json(root: Path, write: Write, clips: Clips) -> None:
    path = write(root) / "meta.json"
    path.write_text(path.read_text()[:-20])


def nan_in_joints(root: Path, write: Write, clips: Clips) -> None:
    damaged = [(label, joints.copy()) for label, joints in clips]
    damaged[1][1][3, 7, 1] = np.nan
    write(root, damaged)


def one_frame(root: Path, write: Write, clips: Clips) -> None:
    write(root, [clips[0], (clips[1][0], clips[1][1][:1]), *clips[2:]])


def too_few_classes(root: Path, write: Write, clips: Clips) -> None:
    write(root, clips[:-30])


def no_object(root: Path, write: Write, clips: Clips) -> None:
    write(root, arrays={"joints": np.array([{}, None], dtype=object)})


NPZ = r"bandai_joints_10fps_f16\.npz"


@pytest.mark.parametrize(
    ("damage", "culprit"),
    [
        (remove("meta.json"), r"meta\.json is missing; --root"),
        (remove("bandai_joints_10fps_f16.npz"), rf"{NPZ} is missing; --root"),
        (truncate, rf"{NPZ}: cannot be read as \.npz"),
        (no_object, rf"{NPZ}: cannot be read as \.npz"),
        (nan_in_joints, rf"{NPZ}: NaN or inf in 'joints', frame \d+"),
        (one_frame, rf"{NPZ}: clip 'clip-001.bvh' has 1 frames, wanted 2 or more"),
        (replace_arrays(joints=np.zeros((9, 22))), rf"{NPZ}: found 'joints' .*\[9, 22\]"),
        (replace_arrays(joints=np.zeros((9, 22, 3), int)), rf"{NPZ}: found 'joints' of type int64"),
        (replace_arrays(joint_names=np.array(["Hips"])), rf"{NPZ}: found 1 joint names"),
        (replace_arrays(offsets=np.array([0, 5, 9])), rf"{NPZ}: 'offsets' must be whole numbers"),
        (replace_arrays(offsets=np.array(0)), rf"{NPZ}: 'offsets' must be whole numbers"),
        (replace_meta({"clips": []}), r"meta\.json: found a JSON dict, wanted a list"),
        (replace_meta([]), rf"{NPZ} holds 314 clips, .*meta\.json describes 0"),
        (replace_meta(["clip-000.bvh"]), r"meta\.json: entry 1: wanted an object .*'clip-000.bvh'"),
        (
            replace_meta([{"file": "a", "dataset": "d", "content": "c"}, {"file": "b"}]),
            r"meta\.json: entry 2: wanted an object with 'file', 'dataset' and 'content'",
        ),
        (
            replace_meta([{"file": "a", "dataset": "d", "content": "c"}] * 314),
            r"meta\.json: entry 2 repeats the file 'a'",
        ),
        (cut_json, r"meta\.json: cannot be read as JSON"),
        (too_few_classes, r"meta\.json: found 18 classes with at least 15 clips, wanted 20"),
    ],
)
def test_bad_files_are_named(
    damage: Damage,
    culprit: str,
    write_bandai: Write,
    bandai_clips: Clips,
    tmp_path: Path,
) -> None:
    damage(tmp_path, write_bandai, bandai_clips)
    with pytest.raises(InputError, match=culprit) as caught:
        bandai(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_array_is_named(bandai_clips: Clips, write_bandai: Write, tmp_path: Path) -> None:
    path = write_bandai(tmp_path) / "bandai_joints_10fps_f16.npz"
    np.savez(path, joints=np.zeros((9, 22, 3)), joint_names=np.array(["Hips"]))
    with pytest.raises(InputError, match=rf"{NPZ}: found no 'offsets', only"):
        bandai(tmp_path)


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"train_videos": 0}, "train_videos must be at least 1, got 0"),
        ({"test_videos": -3}, "test_videos must be at least 1, got -3"),
        ({"split": -1}, "split must be at least 0, got -1"),
    ],
)
def test_bad_options_are_named(bandai_root: Path, options: dict[str, int], culprit: str) -> None:
    with pytest.raises(InputError, match=f"bandai: {culprit}"):
        bandai(bandai_root, **options)


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere.* is missing; --root must be the folder"):
        bandai(tmp_path / "nowhere")
