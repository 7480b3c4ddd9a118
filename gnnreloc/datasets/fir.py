"""Real untrimmed indoor videos with ready features: the data set ``fir``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gnnreloc.data.annotations import validate_moments
from gnnreloc.data.corpus import Corpus
from gnnreloc.data.feature_store import InMemoryFeatureStore
from gnnreloc.data.features import Features, validate_features
from gnnreloc.datasets.root_files import read_arrays, read_json
from gnnreloc.errors import InputError
from gnnreloc.proposals import geometric_lengths, window_proposals

SECONDS_PER_ROW = 12 / 25
#: Seven for test, three for validation and two for training, so that each subset has pairs.
FEWEST_VIDEOS = 12


def fir(root: str | Path, *, split: int = 0) -> Corpus:
    """21 untrimmed videos of a person at home: 48 minutes, 288 moments of 9 classes.

    The set has too few classes to hold some back, so the split is by video: 11 for training, 3 for
    validation, 7 for test, drawn by ``split``: **the actions of the test are seen in training, in
    other videos**, and the figures of this set must be read so. It is small: expect intervals of
    several points.

    Features are EfficientNet-Lite0 (1280 channels), one frame in 12 at 25 frames a second, centred
    and scaled by their statistics over the training videos. Candidates are multi-scale windows.

    Args:
        root: folder with ``segments.json`` and ``effnetlite0_stride12.npz``.
        split: seed of the split.

    Raises:
        InputError: if a file is missing or not in the expected layout, or the split is negative.

    Source: derived from FIR-Image-Action-Dataset; no licence stated, for tests only.
    """
    if split < 0:
        raise InputError(f"fir: split must be at least 0, got {split}")
    annotations = Path(root) / "segments.json"
    table = _read_table(annotations)
    videos = sorted(str(video) for video in table["video"].unique())
    if len(videos) < FEWEST_VIDEOS:
        raise InputError(
            f"fir: {annotations}: found moments in {len(videos)} videos, wanted {FEWEST_VIDEOS} or "
            "more"
        )
    order = np.random.default_rng([split, 20200626]).permutation(videos)
    subset_of = {
        str(video): "test" if i < 7 else "validation" if i < 10 else "train"
        for i, video in enumerate(order)
    }
    table["subset"] = table["video"].map(subset_of)
    moments = validate_moments(table, source=str(annotations))
    durations = dict(zip(moments["video"], moments["duration"], strict=True))
    values = _read_values(Path(root) / "effnetlite0_stride12.npz", durations)

    stacked = torch.cat([values[video] for video in videos if subset_of[video] == "train"])
    mean, deviation = stacked.mean(dim=0), stacked.std(dim=0) + 1e-3
    features = {
        video: Features((values[video] - mean) / deviation, step=SECONDS_PER_ROW)
        for video in videos
    }
    lengths = geometric_lengths(2.0, 36.0, 6)
    return Corpus(
        name="fir",
        moments=moments,
        features=InMemoryFeatureStore(features),
        proposals={
            video: window_proposals(item.duration, lengths=lengths, overlap=0.5)
            for video, item in features.items()
        },
        settings={"split": split},
        unseen_classes=False,
    )


def _read_table(path: Path) -> pd.DataFrame:
    """The moments of all videos as they stand in the file, unchecked."""
    content = read_json(path)
    rows: list[dict[str, object]] = []
    where = "the whole file"
    try:
        for video, entry in sorted(content["database"].items()):
            where = f"video {video!r}"
            for moment in entry["segments"]:
                start, end = moment["seconds"]
                rows.append(
                    {"video": video, "start": start, "end": end, "label": moment["label"]}
                    | {"duration": entry["duration"]}
                )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"fir: {path}: {where}: wanted the layout database / video / duration and "
            f"segments with seconds [start, end] and label, found {error!r}"
        ) from error
    return pd.DataFrame(rows, columns=["video", "start", "end", "label", "duration"])


def _read_values(path: Path, durations: Mapping[str, float]) -> dict[str, Tensor]:
    """Feature rows ``[n, C]`` of every video, checked against each other and the durations (s)."""
    arrays = read_arrays(path)
    values: dict[str, Tensor] = {}
    channels = None
    for video, duration in durations.items():
        if video not in arrays:
            raise InputError(f"fir: {path} holds no features of video {video!r}")
        try:
            values[video] = validate_features(arrays[video], video, channels)
        except InputError as error:
            raise InputError(f"fir: {path}: {error}") from error
        rows, channels = values[video].shape
        if abs(rows * SECONDS_PER_ROW - duration) > 1.0:
            raise InputError(
                f"fir: {path}: video {video!r}: found {rows} rows of {SECONDS_PER_ROW} s, wanted "
                f"{duration} s"
            )
    return values
