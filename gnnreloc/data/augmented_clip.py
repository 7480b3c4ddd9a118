"""A clip of a video, changed as another recording of the same action might differ from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnreloc.data.features import Features
from gnnreloc.errors import InputError

#: Pieces of a clip whose speeds are drawn on their own.
WARP_PIECES = 4


@dataclass(frozen=True)
class Augmentation:
    """How far a clip is changed, at most; each change is drawn evenly up to its bound.

    Args:
        jitter: how far either end moves, as a share of the clip's length.
        speed: factor by which the whole is slower or faster, at least 1; drawn by its logarithm.
        warp: logarithm of the factor by which each quarter of it is slower or faster than the rest.
        lost: share of the rows that show the row before them instead.
        noise: white noise, in standard deviations of each channel.
        gain: factor by which the distance from the video's mean grows or shrinks, at least 1; drawn
            by its logarithm.
        silent: share of the channels that show nothing but the scene.
        scene: how much of the difference between the mean of another video and its own is added: at
            1 the clip seems to be of the other video. Not drawn.
        thin: share of the clips that have only every second row of the video, while the reference
            has the others: see :class:`~gnnreloc.data.CropSet`, which reads it.

    Raises:
        InputError: if one is out of its range.
    """

    jitter: float = 0.1
    speed: float = 1.6
    warp: float = 0.5
    lost: float = 0.2
    noise: float = 0.5
    gain: float = 1.25
    silent: float = 0.2
    scene: float = 1.0
    thin: float = 0.5

    def __post_init__(self) -> None:
        ranges = dict.fromkeys(("speed", "gain"), (1.0, math.inf))
        ranges |= dict.fromkeys(("lost", "silent", "scene", "thin"), (0.0, 1.0))
        ranges["jitter"] = (0.0, 0.4)
        for each in fields(self):
            low, high = ranges.get(each.name, (0.0, math.inf))
            value = getattr(self, each.name)
            if not (low <= value <= high and math.isfinite(value)):
                raise InputError(f"{each.name} must be from {low:g} to {high:g}, got {value}")


def augment_clip(
    rng: np.random.Generator,
    video: Features,
    segment: tuple[float, float],
    options: Augmentation,
    *,
    mean: Tensor,
    deviation: Tensor,
    scene: Tensor,
) -> Features:
    r"""Cut a clip out of a video and change it.

    With the rows :math:`x` read at warped times, the clip is

    .. math:: y_c = m_c\,g\,(x_c - \mu_c + \sigma_c \epsilon_c) + \mu_c + \lambda (s_c - \mu_c)

    where :math:`g` is the gain, :math:`m_c` is 0 for the silent channels, :math:`\epsilon` is the
    noise, :math:`s` the mean of another video and :math:`\lambda` is ``options.scene``.

    Args:
        rng: random generator.
        video: the video.
        segment: start and end of the clip in seconds.
        options: how far it is changed.
        mean: :math:`\mu`, of the rows of the video, ``[C]``.
        deviation: :math:`\sigma`, of the rows of the video, ``[C]``.
        scene: :math:`s`, ``[C]``.

    Returns:
        The clip, from 0 s on; one that is played faster has fewer rows. At least one row.
    """
    start, end = segment
    moved = rng.uniform(-options.jitter, options.jitter, size=2) * (end - start)
    start = min(max(start + moved[0], video.offset), video.duration - video.step)
    end = max(min(end + moved[1], video.duration), start + video.step)
    faster = math.exp(rng.uniform(-1.0, 1.0) * math.log(options.speed))
    rows = max(1, round((end - start) / video.step / faster))
    places = start + warped_shares(rng, rows, options.warp) * (end - start)
    values = _read(video, places)[_shown_rows(rng, rows, options.lost)]

    noise = torch.from_numpy(rng.standard_normal(values.shape, dtype=np.float32))
    values = values - mean + rng.uniform(0.0, options.noise) * deviation * noise
    values *= math.exp(rng.uniform(-1.0, 1.0) * math.log(options.gain))
    silent = rng.random(values.size(1)) < rng.uniform(0.0, options.silent)
    values[:, torch.from_numpy(silent)] = 0.0
    values += mean + options.scene * (scene - mean)
    return Features(values, video.step, metadata=video.metadata)


def warped_shares(rng: np.random.Generator, rows: int, warp: float) -> NDArray[np.float64]:
    """Rising places in (0, 1) that rows are read at: even, but for the speeds of the quarters.

    Args:
        rng: random generator.
        rows: number of places.
        warp: logarithm of the largest factor between a quarter's speed and the even one, before
            the whole is brought back to its length.

    Returns:
        ``[rows]``.
    """
    lengths = np.exp(rng.uniform(-warp, warp, size=WARP_PIECES))
    knots = np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum()])
    even = (np.arange(rows) + 0.5) / rows
    places: NDArray[np.float64] = np.interp(even, np.linspace(0.0, 1.0, WARP_PIECES + 1), knots)
    return places


def every_second_row(features: Features, first: int) -> Features:
    """The even (``first=0``) or odd (1) rows of a video, each at its time.

    Example:
        >>> video = Features(torch.tensor([[1.0], [2.0], [3.0], [4.0]]), step=0.5)
        >>> half = every_second_row(video, 1)
        >>> half.values.tolist(), half.time.tolist()
        ([[2.0], [4.0]], [0.75, 1.75])
    """
    offset = features.offset + (first - 0.5) * features.step
    return Features(features.values[first::2], 2 * features.step, offset, features.metadata)


def _read(video: Features, seconds: NDArray[np.float64]) -> Tensor:
    """Feature rows at points in time, between two rows linearly, ``[n, C]``."""
    row = torch.from_numpy((seconds - video.offset) / video.step - 0.5)
    row = row.clamp(0, video.num_steps - 1)
    below = row.floor().long()
    above = (below + 1).clamp(max=video.num_steps - 1)
    weight = (row - below).float().unsqueeze(1)
    return torch.lerp(video.values[below], video.values[above], weight)


def _shown_rows(rng: np.random.Generator, rows: int, lost: float) -> Tensor:
    """Number of the row that each row shows: its own, or the last one before it not lost."""
    gone = rng.random(rows) < rng.uniform(0.0, lost)
    gone[0] = False
    return torch.from_numpy(np.maximum.accumulate(np.where(gone, 0, np.arange(rows))))
