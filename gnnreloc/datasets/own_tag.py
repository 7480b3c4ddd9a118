"""TAG proposals for videos that come without a list, made when they are asked for."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from gnnreloc.data.feature_store import FeatureStore
from gnnreloc.proposals import ActionnessModel, fit_actionness, tag_proposals

MOST_PROPOSALS = 100
#: Share of the training moments that are shorter than those aimed at.
SHORTEST_SHARE = 0.05


class OwnTag:
    """Video to its TAG proposals, by an actionness model of the training classes.

    The model is trained when the first video is asked for, and once; it reads the features of
    training videos alone. Nothing is known about the classes of test, so the proposals leak none.

    Args:
        moments: moment table with subsets.
        features: features of the videos in it.
        seed: seed of the actionness model.
    """

    def __init__(self, moments: pd.DataFrame, features: FeatureStore, *, seed: int = 0) -> None:
        self.moments = moments
        self.features = features
        self.seed = seed
        train = moments[moments["subset"] == "train"]
        self._shortest = float((train["end"] - train["start"]).quantile(SHORTEST_SHARE))
        self._model: ActionnessModel | None = None

    def __call__(self, video: str) -> Tensor:
        """The proposals of a video, at most 100, float64 ``[m, 2]`` in seconds.

        None is so short that its tIoU with all but the shortest moments is below one half. Where
        TAG finds none, the whole video is the one proposal.
        """
        if self._model is None:
            self._model = fit_actionness(self.moments, self.features, seed=self.seed)
        item = self.features[video]
        segments, _ = tag_proposals(
            self._model(item),
            step=item.step,
            offset=item.offset,
            min_length=self._shortest / 2,
            max_proposals=MOST_PROPOSALS,
        )
        if len(segments):
            return segments
        return torch.tensor([[item.offset, item.duration]], dtype=torch.float64)
