"""Actionness: learned from training moments alone, useful on classes never seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from gnnreloc.data import Corpus, Features, validate_moments
from gnnreloc.datasets import synthetic
from gnnreloc.errors import InputError
from gnnreloc.proposals import ActionnessModel, fit_actionness

#: Area under the curve that actionness must reach on classes never trained on; .5 is a coin.
BAR = 0.85


class RecordingStore(Mapping[str, Features]):
    """Hands on another store and notes which videos are read."""

    def __init__(self, store: Mapping[str, Features]) -> None:
        self.store = store
        self.read: list[str] = []

    def __getitem__(self, video: str) -> Features:
        self.read.append(video)
        return self.store[video]

    def __iter__(self) -> Iterator[str]:
        return iter(self.store)

    def __len__(self) -> int:
        return len(self.store)


def toy(subset: str = "train", end: float = 6.0) -> tuple[pd.DataFrame, dict[str, Features]]:
    """Four videos of 10 rows of 1 s; channel 0 is 5 within the moment from 3 s on, else 0."""
    rows = [
        {"video": f"v{number}", "start": 3.0, "end": end, "label": "jump"}
        | {"subset": subset, "duration": 10.0}
        for number in range(4)
    ]
    generator = torch.Generator().manual_seed(0)
    features = {}
    for row in rows:
        values = 0.1 * torch.randn(10, 2, generator=generator)
        values[3:6, 0] += 5.0
        features[str(row["video"])] = Features(values, step=1.0)
    return validate_moments(pd.DataFrame(rows)), features


def inside(corpus: Corpus, video: str) -> npt.NDArray[np.bool_]:
    moments = corpus.moments[corpus.moments["video"] == video]
    time = corpus.features[video].time.numpy()
    return np.array([bool(((moments["start"] <= t) & (t < moments["end"])).any()) for t in time])


def test_finds_what_training_moments_have_in_common() -> None:
    moments, features = toy()
    curve = fit_actionness(moments, features)(features["v2"])
    assert curve.shape == (10,) and curve.dtype == np.float64
    assert bool(((curve >= 0) & (curve <= 1)).all())
    assert curve[3:6].min() > 0.5 > np.delete(curve, slice(3, 6)).max()


def test_a_longer_video_and_another_step_are_fine() -> None:
    moments, features = toy()
    model = fit_actionness(moments, features)
    assert model.context == pytest.approx(1.0)
    for item in (Features(torch.zeros(1, 2), step=0.1), Features(torch.zeros(500, 2), step=4.0)):
        assert model(item).shape == (item.num_steps,)


def test_classes_never_trained_on_are_found() -> None:
    corpus = synthetic(train_videos=60, validation_videos=2, test_videos=30)
    model = fit_actionness(corpus.moments, corpus.features)
    videos = corpus.subset("test")["video"].unique()
    truth = np.concatenate([inside(corpus, video) for video in videos])
    curve = np.concatenate([model(corpus.features[video]) for video in videos])
    assert roc_auc_score(truth, curve) > BAR
    # Both kinds of row weigh the same, so .5 is a sensible level whatever their shares.
    assert 0.3 < (curve > 0.5).mean() < 0.8


def test_only_training_videos_are_read_and_no_more_than_asked_for(tiny_corpus: Corpus) -> None:
    store = RecordingStore(tiny_corpus.features)
    training = set(tiny_corpus.subset("train")["video"])
    fit_actionness(tiny_corpus.moments, store)
    assert set(store.read) == training
    store.read.clear()
    fit_actionness(tiny_corpus.moments, store, videos=2)
    assert len(set(store.read)) == 2 and set(store.read) < training


def test_moments_of_other_subsets_do_not_matter(tiny_corpus: Corpus) -> None:
    item = tiny_corpus.features["test-0000"]
    training = tiny_corpus.moments[tiny_corpus.moments["subset"] == "train"]
    one = fit_actionness(tiny_corpus.moments, tiny_corpus.features)(item)
    other = fit_actionness(training.sample(frac=1.0, random_state=2), tiny_corpus.features)(item)
    np.testing.assert_array_equal(one, other)


def test_the_seed_decides(tiny_corpus: Corpus) -> None:
    def curve(seed: int) -> npt.NDArray[np.float64]:
        model: ActionnessModel = fit_actionness(
            tiny_corpus.moments, tiny_corpus.features, seed=seed, videos=3
        )
        return model(tiny_corpus.features["test-0001"])

    np.testing.assert_array_equal(curve(0), curve(0))
    assert not np.array_equal(curve(0), curve(1))


def test_moments_that_cover_everything_are_named() -> None:
    moments, features = toy(end=10.0)
    moments["start"] = 0.0
    with pytest.raises(
        InputError, match="none of the 40 feature rows .* lies outside the training"
    ):
        fit_actionness(moments, features)


def test_moments_between_row_centres_are_named() -> None:
    moments, features = toy(end=3.2)
    with pytest.raises(InputError, match="none of the 40 feature rows .* lies inside the training"):
        fit_actionness(moments, features)


def test_a_training_video_without_features_or_of_another_width_is_named() -> None:
    moments, features = toy()
    lacking = {name: item for name, item in features.items() if name != "v2"}
    with pytest.raises(InputError, match="actionness: found no features of training video 'v2'"):
        fit_actionness(moments, lacking)
    odd = {name: item for name, item in features.items()}
    odd["v2"] = Features(torch.zeros(10, 7), step=1.0)
    with pytest.raises(InputError, match=r"training video 'v\d': found .* channels, wanted [27]"):
        fit_actionness(moments, odd)


def test_bad_input_is_named() -> None:
    moments, features = toy()
    with pytest.raises(InputError, match="seed must be at least 0, got -1"):
        fit_actionness(moments, features, seed=-1)
    with pytest.raises(InputError, match="videos must be at least 1, got 0"):
        fit_actionness(moments, features, videos=0)
    with pytest.raises(InputError, match="subset 'train' holds no moments"):
        fit_actionness(toy("test")[0], features)
    model = fit_actionness(moments, features)
    with pytest.raises(InputError, match="found features of 3 channels, wanted 2"):
        model(Features(torch.zeros(4, 3), step=1.0))
