"""Features with lost or noisy timesteps, to see what a system that was trained without can bear."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from gnnreloc.data.changed_features import ChangedFeatureStore, rows_of_each
from gnnreloc.data.corpus import Corpus
from gnnreloc.data.feature_store import FeatureStore
from gnnreloc.data.features import validate_features
from gnnreloc.errors import InputError

Disturbance = Literal["drop", "noise"]


def disturb_features(corpus: Corpus, kind: Disturbance, share: float, seed: int = 0) -> Corpus:
    r"""The same corpus with some feature rows of every video disturbed.

    - ``"drop"``: a row is lost. The last row before it that is not lost is shown in its place, or
      the first such row of the video where there is none before. Time goes on as it did.
    - ``"noise"``: :math:`x_{ic} + \sigma_c \, \epsilon_{ic}` with :math:`\epsilon_{ic}` from the
      standard normal distribution and :math:`\sigma_c` the standard deviation of channel
      :math:`c` over the rows of the training videos: a signal-to-noise ratio of 1 in each channel.

    Each row is disturbed with probability ``share``, whatever happens to the others; but one row of
    a video, the same at every share, never is. Which rows, and the noise in them, depend on the
    seed and the name of the video alone: both kinds disturb the same rows, a larger share disturbs
    those of a smaller one and others, and neither the order of the videos nor the process matters.
    Moments and proposals stay as they are.

    Args:
        corpus: the corpus.
        kind: what happens to a disturbed row.
        share: probability that a row is disturbed, from 0 to 1.
        seed: seed of the rows and of the noise, at least 0.

    Returns:
        A corpus whose ``settings`` hold ``disturbance``: the three other arguments. With a share of
        0, the corpus itself.

    Raises:
        InputError: if the kind is unknown, the share or the seed out of range, or the corpus has no
            training moments to take the noise from.
    """
    if kind not in get_args(Disturbance):
        known = ", ".join(get_args(Disturbance))
        raise InputError(f"disturbance: found {kind!r}, wanted one of {known}")
    if not 0.0 <= share <= 1.0:
        raise InputError(f"disturbance: share must be from 0 to 1, got {share}")
    if seed < 0:
        raise InputError(f"disturbance: seed must be at least 0, got {seed}")
    if share == 0.0:
        return corpus
    change: _Drop | _Noise
    if kind == "drop":
        change = _Drop(share, seed)
    else:
        videos = [str(video) for video in corpus.subset("train")["video"].unique()]
        change = _Noise(share, seed, videos, corpus.features)
    return replace(
        corpus,
        features=ChangedFeatureStore(corpus.features, change),
        settings={
            **corpus.settings,
            "disturbance": {"kind": kind, "share": share, "seed": seed},
        },
    )


class _Drop:
    """Shows the last row that is left in the place of one that is lost."""

    def __init__(self, share: float, seed: int) -> None:
        self.share, self.seed = share, seed

    def __call__(self, video: str, values: Tensor) -> Tensor:
        """Feature rows ``[n, C]`` of a video to ``[n, C]``."""
        lost = _choose_rows(_generator(self.seed, video), len(values), self.share)
        rows = torch.arange(len(values))
        first = int(rows[~lost][0])
        return values[rows.masked_fill(lost, first).cummax(dim=0).values]


class _Noise:
    """Adds noise as strong as the signal; the first call measures how strong that is."""

    def __init__(
        self, share: float, seed: int, videos: Sequence[str], features: FeatureStore
    ) -> None:
        self.share, self.seed = share, seed
        self.videos, self.features = videos, features
        self.deviation: Tensor | None = None

    def __call__(self, video: str, values: Tensor) -> Tensor:
        """Feature rows ``[n, C]`` of a video to ``[n, C]``."""
        if self.deviation is None:
            self.deviation = _deviation(self.videos, self.features)
        validate_features(values, video, len(self.deviation))
        generator = _generator(self.seed, video)
        noisy = _choose_rows(generator, len(values), self.share).unsqueeze(1)
        # Drawn for every row, so that a row gets the same noise at every share.
        noise = torch.from_numpy(generator.standard_normal(values.shape, dtype=np.float32))
        return torch.where(noisy, values + self.deviation * noise, values)


def _generator(seed: int, video: str) -> np.random.Generator:
    # Not hash(), which differs from process to process.
    return np.random.default_rng([seed, zlib.crc32(video.encode())])


def _choose_rows(generator: np.random.Generator, rows: int, share: float) -> Tensor:
    """Which rows are disturbed, bool ``[n]``: never all."""
    draws = generator.random(rows)
    chosen = draws < share
    chosen[draws.argmax()] = False
    return torch.from_numpy(chosen)


def _deviation(videos: Sequence[str], features: FeatureStore) -> Tensor:
    """Standard deviation of each channel over the rows of all videos, float32 ``[C]``."""
    count, mean, squares = 0, torch.zeros(()).double(), torch.zeros(()).double()
    for values in rows_of_each(videos, features):
        # Chan, Golub, LeVeque 1979: two sets of rows to the mean and squares of both together.
        values = values.double()
        apart, total = values.mean(dim=0) - mean, count + len(values)
        squares = squares + (values - values.mean(dim=0)).square().sum(dim=0)
        squares = squares + apart.square() * count * len(values) / total
        mean, count = mean + apart * len(values) / total, total
    return (squares / count).sqrt().float()
