"""Actionness: how probable it is that any action goes on, learned from the training moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import StandardScaler

from gnnreloc.data.features import Features
from gnnreloc.errors import InputError

#: A training video gives at most this many rows to one pass of the training.
MOST_ROWS = 2000
PASSES = 3

_FloatArray = npt.NDArray[np.float64]
_BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ActionnessModel:
    r"""Logistic regression on a feature row and its neighbourhood (our reading of section 4).

    The paper takes its proposals from TAG, which groups the actionness of Zhao et al. (2017), the
    output of a two-stream network; this is a stand-in that needs the features alone. With
    :math:`\bar x_i` the mean of the rows around row :math:`i` and :math:`\bar x` that of the video,
    row :math:`i` is described by :math:`(x_i, \bar x_i, |\bar x_i - \bar x|)`: what is seen, what
    is seen around it, and how far that is from what the video shows otherwise. The last says most
    about classes that training did not show.

    Args:
        scaler: fitted to the descriptions of rows.
        classifier: fitted to the scaled descriptions.
        context: length of the neighbourhood in seconds.
    """

    scaler: StandardScaler
    classifier: SGDClassifier
    context: float

    def __call__(self, features: Features) -> _FloatArray:
        """Actionness of every feature row of a video.

        Args:
            features: the whole video.

        Returns:
            Probabilities, float64 ``[n]`` in [0, 1].

        Raises:
            InputError: if the features have another width than those of the training.
        """
        wanted = int(self.scaler.n_features_in_) // 3
        if features.num_channels != wanted:
            raise InputError(
                f"actionness: found features of {features.num_channels} channels, wanted {wanted}"
            )
        rows = self.scaler.transform(_describe(features, self.context))
        probability: _FloatArray = self.classifier.predict_proba(rows)[:, 1].astype(np.float64)
        return probability


def fit_actionness(
    moments: pd.DataFrame,
    features: Mapping[str, Features],
    *,
    seed: int = 0,
    videos: int = 300,
) -> ActionnessModel:
    """Learn actionness from rows inside and outside the moments of subset ``"train"``.

    No video or moment of another subset is read, so nothing of their classes leaks. One video is in
    memory at a time.

    Args:
        moments: validated moment table (:func:`gnnreloc.data.validate_moments`).
        features: video name to features; read lazily.
        seed: seed of the choice of videos and rows, at least 0.
        videos: number of training videos drawn, without repetition (fewer if there are fewer).

    Raises:
        InputError: if an option is out of its range, there is no training moment, a training video
            has no features or those of another width, or all rows of the training videos lie inside
            moments, or none does.
    """
    if seed < 0:
        raise InputError(f"actionness: seed must be at least 0, got {seed}")
    if videos < 1:
        raise InputError(f"actionness: videos must be at least 1, got {videos}")
    table = moments[moments["subset"] == "train"].sort_values(["video", "start", "end"])
    if table.empty:
        raise InputError("actionness: subset 'train' holds no moments")
    bounds_of = {
        str(video): own[["start", "end"]].to_numpy(dtype=np.float64)
        for video, own in table.groupby("video", sort=True)
    }
    rng = np.random.default_rng([seed, 5])
    chosen = [str(video) for video in rng.permutation(list(bounds_of))[:videos]]
    # A neighbourhood well inside a moment, so that its mean is not blurred over the boundaries.
    context = float((table["end"] - table["start"]).median()) / 3.0

    scaler: Any = StandardScaler()
    count = np.zeros(2, dtype=np.int64)
    channels = None
    for video in chosen:
        item = read_training_video(features, video, channels, of="actionness")
        channels = item.num_channels
        scaler.partial_fit(_describe(item, context))
        count += np.bincount(_inside(item, bounds_of[video]), minlength=2)
    background, action = count.tolist()
    if background == 0 or action == 0:
        lacking = "outside" if background == 0 else "inside"
        raise InputError(
            f"actionness: none of the {background + action} feature rows of {len(chosen)} training "
            f"videos lies {lacking} the training moments, wanted rows of both kinds; "
            "take other proposals than 'tag'"
        )

    weight = count.sum() / (2.0 * count)
    classifier: Any = SGDClassifier(loss="log_loss", alpha=1e-3, average=True, random_state=seed)
    for _ in range(PASSES):
        for video in rng.permutation(chosen):
            item = read_training_video(features, str(video), channels, of="actionness")
            rows = rng.permutation(item.num_steps)[:MOST_ROWS]
            truth = _inside(item, bounds_of[str(video)])[rows]
            classifier.partial_fit(
                scaler.transform(_describe(item, context)[rows]),
                truth,
                classes=[False, True],
                sample_weight=weight[truth.astype(np.int64)],
            )
    return ActionnessModel(scaler, classifier, context)


def read_training_video(
    features: Mapping[str, Features], video: str, channels: int | None = None, *, of: str
) -> Features:
    """Features of a training video, of the width of the others.

    Args:
        features: video name to features.
        video: the video.
        channels: width of the training videos, or ``None`` for any.
        of: what is trained, for the messages.

    Raises:
        InputError: if the video has no features, or those of another width; names the video.
    """
    try:
        item = features[video]
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"{of}: found no features of training video {video!r}") from error
    if channels is not None and item.num_channels != channels:
        raise InputError(
            f"{of}: training video {video!r}: found features of {item.num_channels} channels, "
            f"wanted {channels} as in the others"
        )
    return item


def _inside(features: Features, bounds: _FloatArray) -> _BoolArray:
    """Whether the centre of each row lies in ``[start, end)`` of any of ``bounds [g, 2]``."""
    time = features.time.numpy()[:, None]
    inside: _BoolArray = np.asarray(((bounds[:, 0] <= time) & (time < bounds[:, 1])).any(axis=1))
    return inside


def _describe(features: Features, context: float) -> _FloatArray:
    """Each row, the mean of its neighbourhood, and how far that is from the video's, ``[n, 3C]``.

    The neighbourhood of ``context`` seconds is cut off at the ends of the video.
    """
    values = features.values.detach().cpu().numpy().astype(np.float64)
    row, half = np.arange(len(values)), round(context / features.step / 2)
    first, beyond = np.maximum(row - half, 0), np.minimum(row + half + 1, len(values))
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    around = (sums[beyond] - sums[first]) / (beyond - first)[:, None]
    return np.concatenate([values, around, np.abs(around - values.mean(axis=0))], axis=1)
