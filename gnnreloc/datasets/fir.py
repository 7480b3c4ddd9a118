"""Real untrimmed indoor videos with ready features: the data set ``fir``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gnnreloc.data.annotations import validate_moments
from gnnreloc.data.corpus import Corpus
from gnnreloc.data.feature_store import InMemoryFeatureStore
from gnnreloc.data.features import Features, validate_features
from gnnreloc.errors import InputError
from gnnreloc.proposals import geometric_lengths, window_proposals

SECONDS_PER_ROW = 12 / 25


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
        InputError: if a file is missing or not in the expected layout.

    Source: derived from FIR-Image-Action-Dataset; no licence stated, for tests only.
    """
    annotations = Path(root) / "segments.json"
    archive = Path(root) / "effnetlite0_stride12.npz"
    for path in (annotations, archive):
        if not path.is_file():
            raise InputError(f"fir: {path} is missing; --root must be the folder that holds it")
    try:
        database = json.loads(annotations.read_text(encoding="utf-8"))["database"]
        with np.load(archive, allow_pickle=False) as arrays:
            values = {str(name): validate_features(arrays[name], name) for name in arrays.files}
        videos = sorted(str(name) for name in database)
        rows = [
            {"video": video, "start": moment["seconds"][0], "end": moment["seconds"][1]}
            | {"label": moment["label"], "duration": database[video]["duration"]}
            for video in videos
            for moment in database[video]["segments"]
        ]
    except (OSError, KeyError, TypeError, IndexError, json.JSONDecodeError) as error:
        raise InputError(f"fir: cannot read {root}: {error!r}") from error
    missing = [video for video in videos if video not in values]
    if missing:
        raise InputError(f"fir: {archive} holds no features of video {missing[0]!r}")

    order = np.random.default_rng([split, 20200626]).permutation(videos)
    subset_of = {
        str(video): "test" if i < 7 else "validation" if i < 10 else "train"
        for i, video in enumerate(order)
    }
    moments = pd.DataFrame(rows)
    moments["subset"] = moments["video"].map(subset_of)

    stacked = torch.cat([values[video] for video in videos if subset_of[video] == "train"])
    mean, deviation = stacked.mean(dim=0), stacked.std(dim=0) + 1e-3
    features = {
        video: Features((values[video] - mean) / deviation, step=SECONDS_PER_ROW)
        for video in videos
    }
    lengths = geometric_lengths(2.0, 36.0, 6)
    return Corpus(
        name="fir",
        moments=validate_moments(moments, source=str(annotations)),
        features=InMemoryFeatureStore(features),
        proposals={
            video: window_proposals(item.duration, lengths=lengths, overlap=0.5)
            for video, item in features.items()
        },
        settings={"split": split},
        unseen_classes=False,
    )
