"""Principal components of the training videos, against their definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gnnreloc.data import Corpus, Features, InMemoryFeatureStore, reduce_features, reduced_features
from gnnreloc.errors import InputError


def training_rows(corpus: Corpus) -> np.ndarray:
    videos = corpus.subset("train")["video"].unique()
    return torch.cat([corpus.features[video].values for video in videos]).double().numpy()


def test_against_the_covariance(tiny_corpus: Corpus) -> None:
    reduced = reduce_features(tiny_corpus, 5)
    rows = training_rows(tiny_corpus)
    variances, directions = np.linalg.eigh(np.cov(rows.T))
    largest = directions[:, ::-1][:, :5]
    for video in list(tiny_corpus.features)[-3:]:
        before, after = tiny_corpus.features[video], reduced.features[video]
        wanted = (before.values.double().numpy() - rows.mean(axis=0)) @ largest
        found = after.values.numpy()
        assert after.values.dtype == torch.float32 and after.step == before.step
        assert np.allclose(np.abs(found), np.abs(wanted), atol=1e-3)
    assert np.allclose(training_rows(reduced).var(axis=0, ddof=1), variances[::-1][:5], rtol=1e-4)
    assert reduced.num_channels == 5 and reduced.settings["pca"] == 5


def test_test_videos_do_not_count(tiny_corpus: Corpus) -> None:
    train = {*tiny_corpus.subset("train")["video"]}
    changed = {
        video: features if video in train else Features(features.values * 9.0, features.step)
        for video, features in tiny_corpus.features.items()
    }
    other = replace(tiny_corpus, features=InMemoryFeatureStore(changed))
    video = sorted(train)[0]
    found = [reduce_features(corpus, 3).features[video].values for corpus in (tiny_corpus, other)]
    assert torch.equal(*found)


def test_many_rows_are_thinned_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduced_features, "MOST_ROWS", 10)
    lengths = {"a": 7, "b": 1, "c": 18, "d": 5}
    stacked = torch.arange(float(sum(lengths.values()))).unsqueeze(1)
    parts = stacked.split(list(lengths.values()))
    store = {name: Features(part, 1.0) for name, part in zip(lengths, parts, strict=True)}
    rows = reduced_features._even_rows([*lengths], InMemoryFeatureStore(store))
    assert rows[:, 0].tolist() == list(range(0, 31, 4))


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (0, "pca: found 0 channels, wanted at least 1"),
        (49, "wanted 49 channels, the training videos have 48 feature channels"),
    ],
)
def test_bad_numbers(tiny_corpus: Corpus, channels: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reduce_features(tiny_corpus, channels).features[next(iter(tiny_corpus.features))]


def test_too_few_rows(tiny_corpus: Corpus) -> None:
    train = tiny_corpus.subset("train")["video"]
    moments = tiny_corpus.moments
    few = moments[(moments["subset"] != "train") | (moments["video"] == train.iloc[0])]
    store = dict.fromkeys(tiny_corpus.features, Features(torch.ones(1, 3), 1.0))
    corpus = replace(tiny_corpus, moments=few, features=InMemoryFeatureStore(store))
    with pytest.raises(InputError, match="wanted 3 channels, the training videos have 1 rows"):
        reduce_features(corpus, 3).features[train.iloc[0]]
