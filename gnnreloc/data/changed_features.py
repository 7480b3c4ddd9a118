"""Features of another store that are changed when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from torch import Tensor

from gnnreloc.data.feature_store import FeatureStore, InMemoryFeatureStore
from gnnreloc.data.features import Features, validate_features


class ChangedFeatureStore(FeatureStore):
    """Read-only mapping from video to what is made of its feature rows in another store.

    Step, offset and metadata of a video stay as they are. What was made is kept in memory only
    where the other store is in memory too. To be pickled at all, for the workers of a
    ``torch.utils.data.DataLoader`` that are spawned, ``change`` must be.

    Example:
        >>> import torch
        >>> store = InMemoryFeatureStore({"a": Features(torch.tensor([[1.0], [2.0]]), step=0.5)})
        >>> changed = ChangedFeatureStore(store, lambda video, values: -values)
        >>> changed["a"].values.tolist(), changed["a"].step
        ([[-1.0], [-2.0]], 0.5)

    Args:
        source: the other store.
        change: name of a video and its feature rows, float32 ``[n, C]``, to other rows, ``[n, D]``
            with ``D`` the same for all videos. It must not write into what it is given.
    """

    def __init__(self, source: FeatureStore, change: Callable[[str, Tensor], Tensor]) -> None:
        self._source = source
        self._change = change
        inner = source
        while isinstance(inner, ChangedFeatureStore):
            inner = inner._source
        self._keeps = isinstance(inner, InMemoryFeatureStore)
        self._kept: dict[str, Features] = {}

    def __getitem__(self, video: str) -> Features:
        """The changed features of a video.

        Raises:
            MissingVideoError: if the other store does not hold the video.
            InputError: if its features are not usable, before or after the change; names the video.
        """
        if video in self._kept:
            return self._kept[video]
        features = self._source[video]
        values = validate_features(self._change(video, features.values), video)
        features = replace(features, values=values)
        if self._keeps:
            self._kept[video] = features
        return features

    def __contains__(self, video: object) -> bool:
        return video in self._source

    def __iter__(self) -> Iterator[str]:
        return iter(self._source)

    def __len__(self) -> int:
        return len(self._source)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._source!r})"


def rows_of_each(videos: Iterable[str], features: Mapping[str, Features]) -> Iterator[Tensor]:
    """The feature rows of some videos, float32 ``[n, C]``, one video after the other.

    Args:
        videos: their names.
        features: of these videos.

    Raises:
        InputError: if a video has other channels than the first; names it.
    """
    channels: int | None = None
    for video in videos:
        values = validate_features(features[video].values, video, channels)
        channels = values.shape[1]
        yield values
