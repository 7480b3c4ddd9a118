"""Features centred and scaled by what they are like in the training videos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gnnreloc.data.changed_features import ChangedFeatureStore, rows_of_each
from gnnreloc.data.corpus import Corpus
from gnnreloc.data.features import Features, validate_features
from gnnreloc.errors import InputError

#: Added to every deviation: a channel that hardly moves must not become all noise.
LEAST_DEVIATION = 1e-3


@dataclass(frozen=True, eq=False)
class FeatureScaling:
    r"""Centres and scales each channel: :math:`y_c = (x_c - \mu_c) / \sigma_c`.

    Example:
        >>> scaling = FeatureScaling(torch.tensor([1.0]), torch.tensor([2.0]))
        >>> scaling.apply(Features(torch.tensor([[1.0], [5.0]]), step=0.5)).values.tolist()
        [[0.0], [2.0]]

    Args:
        mean: :math:`\mu`, float32 ``[C]``.
        deviation: :math:`\sigma`, float32 ``[C]``, above 0.

    Raises:
        InputError: if the two are not vectors of one length, or a value is not usable.
    """

    mean: Tensor
    deviation: Tensor

    def __post_init__(self) -> None:
        shapes = list(self.mean.shape), list(self.deviation.shape)
        if self.mean.dim() != 1 or shapes[0] != shapes[1]:
            raise InputError(f"scaling: found mean {shapes[0]} and deviation {shapes[1]}")
        finite = self.mean.isfinite() & self.deviation.isfinite()
        if not bool((finite & (self.deviation > 0)).all()):
            raise InputError("scaling: wanted finite means, and finite deviations above 0")

    def __call__(self, video: str, values: Tensor) -> Tensor:
        """Feature rows ``[n, C]`` of a video to ``[n, C]``.

        Raises:
            InputError: if they have another width; names the video.
        """
        return (validate_features(values, video, len(self.mean)) - self.mean) / self.deviation

    def apply(self, features: Features, video: str = "?") -> Features:
        """The features of a video, or of a clip, centred and scaled.

        Raises:
            InputError: if they have another width; names the video.
        """
        return replace(features, values=self(video, features.values))


def fit_scaling(videos: Iterable[str], features: Mapping[str, Features]) -> FeatureScaling:
    """Mean and standard deviation of each channel over all rows of some videos.

    Args:
        videos: names of the videos, those of training; at least one.
        features: features of these videos, read one after the other.

    Raises:
        InputError: if a video is missing, or has other channels than the first; names it.
    """
    count, mean, squares = 0, torch.zeros(()).double(), torch.zeros(()).double()
    for values in rows_of_each(videos, features):
        # Chan, Golub, LeVeque 1979: two sets of rows to the mean and squares of both together.
        values = values.double()
        apart, total = values.mean(dim=0) - mean, count + len(values)
        squares = squares + (values - values.mean(dim=0)).square().sum(dim=0)
        squares = squares + apart.square() * count * len(values) / total
        mean, count = mean + apart * len(values) / total, total
    deviation = (squares / max(1, count)).sqrt() + LEAST_DEVIATION
    return FeatureScaling(mean.float(), deviation.float())


def scale_features(corpus: Corpus, scaling: FeatureScaling) -> Corpus:
    """The same corpus with its features centred and scaled when they are asked for."""
    return replace(corpus, features=ChangedFeatureStore(corpus.features, scaling))
