"""Features of fewer channels: a corpus seen through the principal components of its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from sklearn.decomposition import PCA
from torch import Tensor

from gnnreloc.data.changed_features import ChangedFeatureStore, rows_of_each
from gnnreloc.data.corpus import Corpus
from gnnreloc.data.feature_store import FeatureStore
from gnnreloc.data.features import validate_features
from gnnreloc.errors import InputError

#: Feature rows that the components are fitted on, at most.
MOST_ROWS = 20_000


def reduce_features(corpus: Corpus, channels: int) -> Corpus:
    r"""The same corpus with its features reduced by principal component analysis (PCA).

    With the mean :math:`\mu` of the feature rows of the training videos and their first
    :math:`D` principal directions, the columns of :math:`W`, a row becomes

    .. math:: y = W^\top (x - \mu)

    as the C3D features that the paper uses were reduced to 500 channels (ActivityNet). The
    directions are fitted when the first video is asked for, on the videos of subset ``"train"``
    alone: on all their rows or, where these are more than 20 000, on every second, fourth, ... row.
    Processes that are started before that each fit them for themselves, with the same outcome.

    Args:
        corpus: the corpus.
        channels: number ``D`` of channels that are left, at least 1.

    Returns:
        A corpus whose ``settings`` hold ``pca``, the number of channels.

    Raises:
        InputError: if ``channels`` is below 1 or the corpus has no training moments. Asking for the
            first video raises it if there are fewer channels, or fewer rows to fit on.
    """
    if channels < 1:
        raise InputError(f"pca: found {channels} channels, wanted at least 1")
    videos = [str(video) for video in corpus.subset("train")["video"].unique()]
    projection = _Projection(videos, corpus.features, channels)
    return replace(
        corpus,
        features=ChangedFeatureStore(corpus.features, projection),
        settings={**corpus.settings, "pca": channels},
    )


class _Projection:
    """Projects feature rows on principal directions, which the first call fits."""

    def __init__(self, videos: Sequence[str], features: FeatureStore, channels: int) -> None:
        self.videos, self.features, self.channels = videos, features, channels
        self.fitted: tuple[Tensor, Tensor] | None = None

    def __call__(self, video: str, values: Tensor) -> Tensor:
        """Feature rows ``[n, C]`` of a video to ``[n, D]``."""
        if self.fitted is None:
            self.fitted = self._fit()
        mean, directions = self.fitted
        return (validate_features(values, video, len(mean)) - mean) @ directions

    def _fit(self) -> tuple[Tensor, Tensor]:
        """Mean ``[C]`` and principal directions ``[C, D]`` of the training rows."""
        rows = _even_rows(self.videos, self.features)
        for found, what in ((rows.shape[1], "feature channels"), (len(rows), "rows to fit on")):
            if found < self.channels:
                raise InputError(
                    f"pca: wanted {self.channels} channels, the training videos have {found} {what}"
                )
        # The full decomposition draws nothing at random, as the others may.
        pca = PCA(self.channels, svd_solver="full").fit(rows.double().numpy())
        mean, directions = torch.from_numpy(pca.mean_), torch.from_numpy(pca.components_)
        return mean.float(), directions.T.float().contiguous()


def _even_rows(videos: Sequence[str], features: FeatureStore) -> Tensor:
    """Every row of the videos, or every second, fourth, ...: at most :data:`MOST_ROWS`."""
    parts: list[Tensor] = []
    every, seen = 1, 0
    for values in rows_of_each(videos, features):
        parts.append(values[-seen % every :: every])
        seen += len(values)
        while sum(map(len, parts)) > MOST_ROWS:
            parts, every = [torch.cat(parts)[::2]], 2 * every
    return torch.cat(parts)
