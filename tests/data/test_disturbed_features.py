"""Lost and noisy timesteps: which, how, and that they depend on seed and video alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gnnreloc.data import Corpus, Features, InMemoryFeatureStore, disturb_features
from gnnreloc.errors import InputError


def changed(before: Tensor, after: Tensor) -> Tensor:
    return (before != after).any(dim=1)


@pytest.fixture
def counted(tiny_corpus: Corpus) -> Corpus:
    """The tiny corpus with the number of the row in both channels, the second times ten."""
    return replace(
        tiny_corpus,
        features=InMemoryFeatureStore(
            {
                video: Features(
                    torch.arange(200.0).unsqueeze(1) * torch.tensor([1.0, 10.0]), step=0.5
                )
                for video in tiny_corpus.features
            }
        ),
    )


@given(share=st.floats(0.01, 1.0), seed=st.integers(0, 100))
def test_a_lost_row_shows_the_last_one_that_is_left(
    tiny_corpus: Corpus, share: float, seed: int
) -> None:
    video = next(iter(tiny_corpus.features))
    store = InMemoryFeatureStore({video: Features(torch.arange(50.0).unsqueeze(1), step=0.5)})
    corpus = disturb_features(replace(tiny_corpus, features=store), "drop", share, seed)
    shown = corpus.features[video].values[:, 0].int().tolist()
    left = {row for row, value in enumerate(shown) if row == value}
    assert left
    first = min(left)
    wanted = [max((r for r in left if r <= row), default=first) for row in range(50)]
    assert shown == wanted


def test_noise_is_as_strong_as_the_signal(counted: Corpus) -> None:
    noisy = disturb_features(counted, "noise", 0.5)
    videos = list(counted.features)
    apart = torch.cat(
        [noisy.features[video].values - counted.features[video].values for video in videos]
    )
    hit = (apart != 0).any(dim=1)
    assert hit.float().mean().item() == pytest.approx(0.5, abs=0.05)
    rows = torch.arange(200.0)
    deviation = rows.std(correction=0) * torch.tensor([1.0, 10.0])
    assert torch.allclose(apart[hit].std(dim=0), deviation, rtol=0.1)
    assert apart[hit].T.corrcoef()[0, 1].abs() < 0.1


@pytest.mark.parametrize("kind", ["drop", "noise"])
def test_rows_depend_on_seed_and_video_alone(counted: Corpus, kind: str) -> None:
    first, second = list(counted.features)[:2]
    whole = counted.features[first].values
    rows = {}
    for share, seed in ((0.1, 0), (0.3, 0), (0.3, 1)):
        corpus = disturb_features(counted, kind, share, seed)
        later = corpus.features[second].values
        rows[share, seed] = changed(whole, corpus.features[first].values)
        again = disturb_features(counted, kind, share, seed)
        assert torch.equal(again.features[second].values, later)
        assert not torch.equal(changed(whole, later), rows[share, seed])
    assert bool((rows[0.1, 0] <= rows[0.3, 0]).all())
    assert not torch.equal(rows[0.3, 0], rows[0.3, 1])


def test_both_kinds_disturb_the_same_rows(counted: Corpus) -> None:
    video = next(iter(counted.features))
    whole = counted.features[video].values
    dropped, noisy = (
        changed(whole, disturb_features(counted, kind, 0.4).features[video].values)
        for kind in ("drop", "noise")
    )
    # A lost first row shows a later one, so it is changed as well: rows are distinct here.
    assert torch.equal(dropped, noisy)


def test_the_rest_stays(counted: Corpus) -> None:
    corpus = disturb_features(counted, "drop", 0.2, seed=3)
    assert corpus.moments is counted.moments and corpus.proposals is counted.proposals
    assert corpus.settings["disturbance"] == {"kind": "drop", "share": 0.2, "seed": 3}
    assert corpus.features[next(iter(corpus.features))].step == 0.5
    assert disturb_features(counted, "noise", 0.0) is counted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "blur", "share": 0.1}, "found 'blur', wanted one of drop, noise"),
        ({"kind": "drop", "share": 1.1}, "share must be from 0 to 1, got 1.1"),
        ({"kind": "drop", "share": float("nan")}, "share must be from 0 to 1, got nan"),
        ({"kind": "drop", "share": 0.1, "seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_bad_options(tiny_corpus: Corpus, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        disturb_features(tiny_corpus, **options)  # type: ignore[arg-type]  # bad on purpose
