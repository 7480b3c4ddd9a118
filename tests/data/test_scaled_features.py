"""Features centred and scaled: against NumPy, on training videos alone, with errors that name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnnreloc.data import Corpus, Features, FeatureScaling, fit_scaling, scale_features
from gnnreloc.data.scaled_features import LEAST_DEVIATION
from gnnreloc.errors import InputError


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 99))
def test_statistics_are_those_of_all_rows_together(rows: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = {f"v{i}": rng.normal(3.0, 2.0, size=(n, 3)) for i, n in enumerate(rows)}
    features = {v: Features(torch.from_numpy(a), step=0.5) for v, a in arrays.items()}
    scaling = fit_scaling(arrays, features)
    stacked = np.concatenate(list(arrays.values()))
    np.testing.assert_allclose(scaling.mean, stacked.mean(0), atol=1e-5)
    np.testing.assert_allclose(scaling.deviation, stacked.std(0) + LEAST_DEVIATION, atol=1e-5)


def test_a_scaled_corpus_is_the_same_but_for_its_values(corpus: Corpus) -> None:
    videos = sorted(corpus.subset("train")["video"].unique())
    scaled = scale_features(corpus, fit_scaling(videos, corpus.features))
    rows = torch.cat([scaled.features[video].values for video in videos])
    torch.testing.assert_close(rows.mean(0), torch.zeros(2), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(2), atol=1e-2, rtol=0.0)
    test = scaled.features["x"]
    assert test.step == corpus.features["x"].step and test.duration == 40.0
    # The video number of a test video lies above all training videos.
    assert float(test.values[:, 0].min()) > float(rows[:, 0].max())


def test_a_channel_that_does_not_move_stays_finite() -> None:
    scaling = fit_scaling(["v"], {"v": Features(torch.ones(4, 2), step=1.0)})
    assert scaling.apply(Features(torch.ones(2, 2), step=1.0)).values.tolist() == [[0, 0], [0, 0]]


def test_bad_scalings_and_features_are_named() -> None:
    with pytest.raises(InputError, match=r"found mean \[2\] and deviation \[3\]"):
        FeatureScaling(torch.zeros(2), torch.ones(3))
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="deviations above 0"):
            FeatureScaling(torch.zeros(1), torch.tensor([bad]))
    scaling = FeatureScaling(torch.zeros(2), torch.ones(2))
    with pytest.raises(InputError, match="video 'v': found 3 channels per row, wanted 2"):
        scaling.apply(Features(torch.zeros(4, 3), step=1.0), "v")
    wide = {"a": Features(torch.zeros(2, 2), 1.0), "b": Features(torch.zeros(2, 3), 1.0)}
    with pytest.raises(InputError, match="video 'b': found 3 channels"):
        fit_scaling(["a", "b"], wide)
