"""A generated miniature of the task: the data set ``synthetic``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from gnnreloc.data.annotations import validate_moments
from gnnreloc.data.corpus import Corpus
from gnnreloc.data.feature_store import InMemoryFeatureStore
from gnnreloc.data.features import Features
from gnnreloc.errors import InputError
from gnnreloc.proposals import tag_proposals

STEP = 0.25
CLASSES = {"train": 18, "validation": 4, "test": 8}
POSES, ACTION_CHANNELS, SCENE_CHANNELS = 14, 16, 32
MOMENTS_PER_VIDEO = (3, 5)

Array = NDArray[np.float64]


def synthetic(
    *,
    split: int = 0,
    train_videos: int = 200,
    validation_videos: int = 40,
    test_videos: int = 100,
    scene: float = 0.7,
    style: float = 0.25,
    noise: float = 0.35,
    warp: float = 0.8,
) -> Corpus:
    """Untrimmed videos of 30 invented actions, made from a seed in seconds.

    What it imitates. A class is a path through three to five poses out of a vocabulary that all
    classes share, so that the order matters and not only which poses occur. An instance takes the
    path at its own speed (length and time warp), in its video's style (a rotation and a gain of
    the pose space). The poses fill a 16-channel part of the 48 channels, mixed by a fixed rotation;
    the rest is the scene: an offset and a slow drift of the video's own, stronger than the action,
    through action and background alike. White noise lies over everything. A video holds three to
    five moments of different classes of its subset, with background between them, in which the
    pose wanders without aim. Candidates come from TAG on a noisy actionness curve, so some moments
    have no good candidate and long ones are often broken up. Classes of training (18), validation
    (4) and test (8) are disjoint: what can be learned is where the action lies in the features and
    how clips are compared, never the classes.

    What it does not imitate: camera cuts, actions within actions, several actors, real image
    features and their errors, uncertain annotation, videos of minutes to hours, and an actionness
    model that fails on new classes. A good figure here says that a system works, not how well it
    does on real video.

    Args:
        split: seed of the poses, the classes and the videos.
        train_videos: number of training videos.
        validation_videos: number of validation videos.
        test_videos: number of test videos.
        scene: standard deviation of the scene's offset; the poses have 1.
        style: size of a video's rotation of the pose space, in radians per plane.
        noise: standard deviation of the white noise.
        warp: strength of the time warp; 0 is none.

    Raises:
        InputError: if a number of videos is below 2, or the split is negative, or a strength is
            negative or not finite.
    """
    if split < 0:
        raise InputError(f"synthetic: split must be at least 0, got {split}")
    counts = {"train": train_videos, "validation": validation_videos, "test": test_videos}
    strengths = {"scene": scene, "style": style, "noise": noise, "warp": warp}
    for name, count in counts.items():
        if count < 2:
            raise InputError(f"synthetic: {name}_videos must be at least 2, got {count}")
    for name, strength in strengths.items():
        if not (np.isfinite(strength) and strength >= 0):
            raise InputError(f"synthetic: {name} must be at least 0, got {strength}")
    rng = np.random.default_rng([split, 20220129])
    poses = rng.normal(size=(POSES, ACTION_CHANNELS))
    world = _World(poses, _rotation(rng, ACTION_CHANNELS + SCENE_CHANNELS), **strengths)
    actions = [_Action.draw(rng) for _ in range(sum(CLASSES.values()))]

    rows: list[dict[str, object]] = []
    features: dict[str, Features] = {}
    proposals = {}
    first = 0
    for position, (subset, classes) in enumerate(CLASSES.items()):
        labels = list(range(first, first + classes))
        first += classes
        for number in range(counts[subset]):
            video = f"{subset}-{number:04d}"
            # A generator of its own, so that no video depends on how many there are.
            rng = np.random.default_rng([split, 20220129, position, number])
            many = int(rng.integers(MOMENTS_PER_VIDEO[0], MOMENTS_PER_VIDEO[1] + 1))
            chosen = [int(label) for label in rng.permutation(labels)[:many]]
            values, bounds = world.video(rng, [actions[label] for label in chosen])
            features[video] = Features(torch.from_numpy(values).float(), step=STEP)
            curve = _actionness(rng, len(values), bounds)
            proposals[video], _ = tag_proposals(curve, step=STEP, min_length=1.0)
            duration = len(values) * STEP
            rows += [
                {"video": video, "start": start * STEP, "end": end * STEP}
                | {"label": f"action-{label:02d}", "subset": subset, "duration": duration}
                for label, (start, end) in zip(chosen, bounds, strict=True)
            ]
    return Corpus(
        name="synthetic",
        moments=validate_moments(pd.DataFrame(rows), source="synthetic videos"),
        features=InMemoryFeatureStore(features),
        proposals=proposals,
        settings={"split": split, **{f"{k}_videos": v for k, v in counts.items()}, **strengths},
    )


@dataclass(frozen=True)
class _Action:
    """A class: the poses it passes through, their shares of the time, its usual length (s)."""

    poses: NDArray[np.int64]
    shares: Array
    seconds: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Action:
        """A random class."""
        phases = int(rng.integers(3, 6))
        order = rng.choice(POSES, size=phases, replace=False)
        return cls(order, rng.dirichlet(np.full(phases, 4.0)), float(rng.uniform(4.0, 9.0)))


class _World:
    """What all videos share: the poses, the mixing of the channels, the strengths."""

    def __init__(
        self,
        poses: Array,
        mixing: Array,
        *,
        scene: float,
        style: float,
        noise: float,
        warp: float,
    ) -> None:
        self.poses, self.mixing = poses, mixing
        self.scene, self.style, self.noise, self.warp = scene, style, noise, warp

    def video(
        self, rng: np.random.Generator, actions: list[_Action]
    ) -> tuple[Array, list[tuple[int, int]]]:
        """Features ``[n, 48]`` of a video with these actions in turn, and their row bounds."""
        pieces: list[Array] = []
        bounds: list[tuple[int, int]] = []
        at = 0
        for action in actions:
            gap = int(rng.integers(6, 28))
            length = max(8, round(action.seconds * rng.uniform(0.6, 1.6) / STEP))
            pieces += [self._wander(rng, gap), self._perform(rng, action, length)]
            bounds.append((at + gap, at + gap + length))
            at += gap + length
        pieces.append(self._wander(rng, int(rng.integers(6, 28))))
        pose = _smooth(np.concatenate(pieces), 3)
        rotation = _rotation(rng, ACTION_CHANNELS, self.style)
        pose = pose @ rotation * rng.uniform(0.8, 1.25)
        drift = 0.5 * _drift(rng, len(pose), SCENE_CHANNELS, memory=0.98)
        scene = self.scene * (rng.normal(size=SCENE_CHANNELS) + drift)
        values = np.concatenate([pose, scene], axis=1) @ self.mixing
        return values + self.noise * rng.normal(size=values.shape), bounds

    def _perform(self, rng: np.random.Generator, action: _Action, length: int) -> Array:
        """The action's path, warped in time, ``[length, 16]``."""
        time = (np.arange(length) + 0.5) / length
        knots = np.concatenate([[0.0], np.cumsum(np.exp(self.warp * rng.normal(size=4)))])
        time = np.interp(time, np.linspace(0.0, 1.0, 5), knots / knots[-1])
        centres = np.cumsum(action.shares) - action.shares / 2
        path = self.poses[action.poses]
        return np.stack([np.interp(time, centres, column) for column in path.T], axis=1)

    def _wander(self, rng: np.random.Generator, length: int) -> Array:
        """Aimless background movement between random mixtures of the poses, ``[length, 16]``."""
        mixtures = rng.dirichlet(np.full(len(self.poses), 0.3), size=length)
        return _smooth(mixtures @ self.poses, 9) * 1.5


def _actionness(rng: np.random.Generator, length: int, bounds: list[tuple[int, int]]) -> Array:
    """A noisy curve in [0, 1]: high inside the moments, with gaps, low outside, with bumps."""
    level = np.full(length, 0.15)
    for start, end in bounds:
        level[start:end] = rng.uniform(0.6, 0.95)
    level += 0.22 * _drift(rng, length, 1, memory=0.8)[:, 0]
    return np.clip(_smooth(level[:, None], 3)[:, 0], 0.0, 1.0)


def _drift(rng: np.random.Generator, length: int, channels: int, memory: float) -> Array:
    """A stationary first-order autoregressive process of variance 1, ``[length, channels]``."""
    steps = rng.normal(size=(length, channels))
    steps[1:] *= np.sqrt(1.0 - memory**2)
    for row in range(1, length):
        steps[row] += memory * steps[row - 1]
    return steps


def _smooth(values: Array, width: int) -> Array:
    """Centred moving average over rows, the ends repeated."""
    padded = np.pad(values, ((width // 2, width // 2), (0, 0)), mode="edge")
    sums = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), padded]), axis=0)
    smoothed: Array = (sums[width:] - sums[:-width]) / width
    return smoothed


def _rotation(rng: np.random.Generator, size: int, angle: float | None = None) -> Array:
    """A random rotation; with ``angle``, a small one (Cayley transform of a skew matrix)."""
    normal = rng.normal(size=(size, size))
    if angle is None:
        return np.linalg.qr(normal)[0]
    skew = angle * (normal - normal.T) / np.sqrt(8.0)
    identity = np.eye(size)
    return np.linalg.solve(identity + skew, identity - skew)
