"""Real motion capture, concatenated into untrimmed references: the data set ``bandai``."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnreloc.data.annotations import validate_moments
from gnnreloc.data.corpus import Corpus
from gnnreloc.data.feature_store import InMemoryFeatureStore
from gnnreloc.data.features import Features
from gnnreloc.datasets.root_files import read_arrays, read_json
from gnnreloc.errors import InputError
from gnnreloc.proposals import geometric_lengths, window_proposals

FRAMES_PER_SECOND = 10.0
CROSS_FADE_FRAMES = 5
CLIPS_PER_REFERENCE = 6
CLASSES = {"train": 12, "validation": 2, "test": 6}
MINIMUM_CLIPS = 15
JOINTS = 22
ACROSS = ("UpperLeg_L", "UpperLeg_R", "UpperArm_L", "UpperArm_R")

Array = NDArray[np.float32]


def bandai(
    root: str | Path,
    *,
    split: int = 0,
    train_videos: int = 240,
    validation_videos: int = 60,
    test_videos: int = 120,
) -> Corpus:
    """Untrimmed references made of motion-capture clips of the Bandai Namco research data set.

    A class is a pair (data set, content) such as ``dataset-2/walk-turn-left``; the 20 classes with
    at least 15 clips are split 12/2/6 into training, validation and test by ``split``. Both data
    sets hold ``walk`` and ``run``, as two classes each: where a split puts one of the two in test
    and the other in training, that action is not new, only its recordings are. A reference
    is six clips, joined with a cross-fade of 0.5 s so that no jump betrays a joint. A test
    reference holds each of the six test classes once, a training reference six of the twelve
    training classes; a validation reference holds the two validation classes and, not annotated,
    four training classes from clips that no training reference contains. A clip may appear in
    several references; the column ``clip`` keeps a query from meeting its own recording.

    Features (10 steps a second, 139 channels): joint positions in a frame that moves and turns with
    the body (66), their velocities (66), the body's velocity in that frame (3), its turning rate
    (1) and height (1), the speed (1) and the pose's mean joint speed (1); scaled by the mean and
    standard deviation over the training references. Candidates are multi-scale windows.

    Args:
        root: folder with ``bandai_joints_10fps_f16.npz`` and ``meta.json``.
        split: seed of the class split and of the references.
        train_videos: number of training references.
        validation_videos: number of validation references.
        test_videos: number of test references.

    Raises:
        InputError: if a file is missing or not in the expected layout, a count is not positive, or
            the split is negative.

    Source: Bandai Namco Research motion data set, CC BY-NC 4.0.
    """
    counts = {"train": train_videos, "validation": validation_videos, "test": test_videos}
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"bandai: {name}_videos must be at least 1, got {count}")
    if split < 0:
        raise InputError(f"bandai: split must be at least 0, got {split}")
    clips = _read_clips(Path(root))
    rng = np.random.default_rng([split, 20220128])
    classes = [str(name) for name in rng.permutation(sorted(clips))]
    labels: dict[str, list[str]] = {}
    for subset, count in CLASSES.items():
        labels[subset], classes = classes[:count], classes[count:]

    held_out: dict[str, list[str]] = {}
    training: dict[str, list[str]] = {}
    for label in labels["train"]:
        names = [str(name) for name in rng.permutation(sorted(clips[label]))]
        cut = max(1, len(names) // 5)
        held_out[label], training[label] = names[:cut], names[cut:]

    rows: list[dict[str, object]] = []
    videos: dict[str, Array] = {}
    for position, (subset, count) in enumerate(counts.items()):
        for number in range(count):
            # A generator of its own, so that no reference depends on how many there are.
            rng = np.random.default_rng([split, 20220128, position, number])
            video = f"{subset}-{number:04d}"
            chosen = _choose_clips(rng, subset, labels, clips, training, held_out)
            frames, bounds = _join([clips[label][clip] for label, clip in chosen])
            videos[video] = _with_velocities(frames)
            duration = len(frames) / FRAMES_PER_SECOND
            for (label, clip), (start, end) in zip(chosen, bounds, strict=True):
                if label in labels[subset]:
                    rows.append(
                        {"video": video, "start": start, "end": end, "label": label}
                        | {"subset": subset, "duration": duration, "clip": clip}
                    )

    stacked = np.concatenate([videos[name] for name in videos if name.startswith("train-")])
    mean, deviation = stacked.mean(0), stacked.std(0) + 1e-3
    features = {
        name: Features(torch.from_numpy((values - mean) / deviation), step=1.0 / FRAMES_PER_SECOND)
        for name, values in videos.items()
    }
    return Corpus(
        name="bandai",
        moments=validate_moments(pd.DataFrame(rows), source="bandai references"),
        features=InMemoryFeatureStore(features),
        proposals={name: _windows(item.duration) for name, item in features.items()},
        settings={"split": split, **{f"{name}_videos": count for name, count in counts.items()}},
    )


def _read_clips(root: Path) -> dict[str, dict[str, Array]]:
    """Class -> clip name -> per-frame body features, for classes with enough clips."""
    archive, description = root / "bandai_joints_10fps_f16.npz", root / "meta.json"
    joints, offsets, names = _read_joints(archive)
    files = _read_description(description)
    lengths = np.diff(offsets)
    if len(lengths) != len(files):
        raise InputError(
            f"bandai: {archive} holds {len(lengths)} clips, {description} describes {len(files)}"
        )
    if (lengths < 2).any():
        clip = int(np.argmax(lengths < 2))
        raise InputError(
            f"bandai: {archive}: clip {files[clip][0]!r} has {lengths[clip]} frames, wanted 2 or "
            "more"
        )
    clips: dict[str, dict[str, Array]] = defaultdict(dict)
    for (file, label), start, end in zip(files, offsets[:-1], offsets[1:], strict=True):
        clips[label][file] = _body_frame(joints[start:end], names)
    enough = {label: found for label, found in clips.items() if len(found) >= MINIMUM_CLIPS}
    if len(enough) < sum(CLASSES.values()):
        raise InputError(
            f"bandai: {description}: found {len(enough)} classes with at least {MINIMUM_CLIPS} "
            f"clips, wanted {sum(CLASSES.values())}"
        )
    return enough


def _read_joints(archive: Path) -> tuple[Array, NDArray[np.int64], list[str]]:
    """Joint positions ``[n, 22, 3]`` (m), first frame of every clip and their end, joint names."""
    arrays = read_arrays(archive)
    for name in ("joints", "offsets", "joint_names"):
        if name not in arrays:
            raise InputError(f"bandai: {archive}: found no {name!r}, only {sorted(arrays)}")
    joints, offsets = arrays["joints"], arrays["offsets"]
    names = [str(name) for name in arrays["joint_names"].ravel()]
    if joints.dtype.kind != "f" or joints.shape[1:] != (JOINTS, 3):
        raise InputError(
            f"bandai: {archive}: found 'joints' of type {joints.dtype} and shape "
            f"{list(joints.shape)}, wanted real numbers [frames, {JOINTS}, 3]"
        )
    lacking = [name for name in ("Hips", *ACROSS) if name not in names]
    if len(names) != JOINTS or lacking:
        raise InputError(
            f"bandai: {archive}: found {len(names)} joint names without {lacking}, wanted {JOINTS}"
        )
    whole = offsets.dtype.kind in "iu" and offsets.ndim == 1 and len(offsets) > 1
    if not (whole and offsets[0] == 0 and offsets[-1] == len(joints)):
        raise InputError(
            f"bandai: {archive}: 'offsets' must be whole numbers from 0 to {len(joints)}, the "
            "number of frames"
        )
    if not np.isfinite(joints).all():
        frame = int(np.argwhere(~np.isfinite(joints))[0, 0])
        raise InputError(f"bandai: {archive}: NaN or inf in 'joints', frame {frame}")
    return joints.astype(np.float32), offsets.astype(np.int64), names


def _read_description(path: Path) -> list[tuple[str, str]]:
    """File name and class of every clip, in the order of the archive."""
    rows = read_json(path)
    if not isinstance(rows, list):
        raise InputError(f"bandai: {path}: found a JSON {type(rows).__name__}, wanted a list")
    files: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        try:
            file, label = str(row["file"]), f"{row['dataset']}/{row['content']}"
        except (KeyError, TypeError) as error:
            raise InputError(
                f"bandai: {path}: entry {number}: wanted an object with 'file', 'dataset' and "
                f"'content', found {row!r}"
            ) from error
        if file in files:
            raise InputError(f"bandai: {path}: entry {number} repeats the file {file!r}")
        files[file] = label
    return list(files.items())


def _body_frame(joints: Array, names: list[str]) -> Array:
    """World joint positions ``[n, 22, 3]`` to what does not depend on place and heading.

    Columns: joint positions in the body's frame (66), velocity of the body in it (3), turning rate
    (1), height (1).
    """
    root = joints[:, names.index("Hips")]
    left_leg, right_leg, left_arm, right_arm = (joints[:, names.index(name)] for name in ACROSS)
    across = left_leg - right_leg + left_arm - right_arm
    heading = np.unwrap(np.arctan2(across[:, 2], across[:, 0]))
    cosine, sine = np.cos(heading), np.sin(heading)

    def turned(vectors: Array) -> Array:
        c = cosine.reshape(-1, *[1] * (vectors.ndim - 2))
        s = sine.reshape(-1, *[1] * (vectors.ndim - 2))
        x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
        return np.stack([c * x + s * z, y, c * z - s * x], axis=-1)

    ground = root * np.array([1.0, 0.0, 1.0], dtype=np.float32)
    pose = turned(joints - ground[:, None]).reshape(len(joints), -1)
    velocity = turned(np.gradient(root, axis=0) * FRAMES_PER_SECOND)
    turning = np.gradient(heading) * FRAMES_PER_SECOND
    columns = [pose, velocity, turning[:, None], root[:, 1:2]]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _choose_clips(
    rng: np.random.Generator,
    subset: str,
    labels: dict[str, list[str]],
    clips: dict[str, dict[str, Array]],
    training: dict[str, list[str]],
    held_out: dict[str, list[str]],
) -> list[tuple[str, str]]:
    """The (class, clip) pairs of one reference, in order."""
    own = labels[subset]
    picked = [str(name) for name in rng.permutation(own)[:CLIPS_PER_REFERENCE]]
    others = CLIPS_PER_REFERENCE - len(picked)
    if others:
        picked += [str(name) for name in rng.permutation(labels["train"])[:others]]
        picked = [str(name) for name in rng.permutation(picked)]

    def pool(label: str) -> list[str]:
        if subset == "train":
            return training[label]
        return sorted(clips[label]) if label in own else held_out[label]

    return [(label, str(rng.choice(pool(label)))) for label in picked]


def _join(clips: list[Array]) -> tuple[Array, list[tuple[float, float]]]:
    """Concatenate with a linear cross-fade; bounds (s) lie in the middle of each fade.

    A fade takes at most half of either clip, so that a short clip still has a moment of its own.
    """
    joined = clips[0]
    bounds: list[tuple[float, float]] = []
    begin = 0.0
    for before, clip in pairwise(clips):
        fade = min(CROSS_FADE_FRAMES, len(before) // 2, len(clip) // 2)
        weight = ((np.arange(fade) + 0.5) / fade)[:, None].astype(np.float32)
        blend = (1 - weight) * joined[-fade:] + weight * clip[:fade]
        middle = (len(joined) - fade / 2) / FRAMES_PER_SECOND
        bounds.append((begin, middle))
        begin = middle
        joined = np.concatenate([joined[:-fade], blend, clip[fade:]])
    bounds.append((begin, len(joined) / FRAMES_PER_SECOND))
    return joined, bounds


def _with_velocities(frames: Array) -> Array:
    """Append joint velocities, the body's speed and the mean joint speed, after the cross-fade."""
    velocity = np.gradient(frames[:, :66], axis=0) * FRAMES_PER_SECOND
    speed = np.linalg.norm(frames[:, 66:69], axis=1, keepdims=True)
    motion = np.linalg.norm(velocity.reshape(len(frames), -1, 3), axis=2).mean(1, keepdims=True)
    return np.concatenate([frames, velocity, speed, motion], axis=1).astype(np.float32)


def _windows(duration: float) -> Tensor:
    """Multi-scale windows of 2.5 to 8 seconds, neighbours half overlapping."""
    return window_proposals(duration, lengths=geometric_lengths(2.5, 8.0, 4), overlap=0.5)
