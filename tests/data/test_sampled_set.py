"""Samples of any kind: seed, epoch and number decide them, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from gnnreloc.data import Corpus
from gnnreloc.data.sampled_set import SampledSet, require_at_least
from gnnreloc.errors import InputError


class TwoNumbers(SampledSet):
    """A sample is two graphs of one random number each."""

    def _sample(self, rng: np.random.Generator) -> list[Data]:
        return [Data(x=torch.tensor([[number]])) for number in rng.random(2)]


def numbers(corpus: Corpus, *, samples: int = 5, seed: int = 0, partial: float = 0.0) -> TwoNumbers:
    return TwoNumbers(corpus, samples=samples, seed=seed, partial=partial, subset="train")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 100),
    indices=st.lists(st.integers(0, 4), min_size=1, max_size=8),
)
def test_the_generator_is_that_of_seed_epoch_and_number(
    corpus: Corpus, seed: int, epoch: int, indices: list[int]
) -> None:
    samples = numbers(corpus, seed=seed)
    samples.epoch = epoch
    graphs = samples.__getitems__(indices)
    expected = [np.random.default_rng([seed, epoch, index]).random(2) for index in indices]
    assert [graph.x.item() for graph in graphs] == np.concatenate(expected).tolist()


def test_an_epoch_has_an_end(corpus: Corpus) -> None:
    samples = numbers(corpus, samples=3)
    assert len(samples) == len(list(samples)) == 3
    for index in (-1, 3):
        with pytest.raises(IndexError, match=f"sample {index} of an epoch of 3"):
            samples[index]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"partial": -0.1}, "partial must be a share from 0 to 1, got -0.1"),
        ({"partial": float("nan")}, "partial must be a share from 0 to 1, got nan"),
    ],
)
def test_bad_options(corpus: Corpus, options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        numbers(corpus, **options)


def test_a_kind_without_samples_cannot_be_made(corpus: Corpus) -> None:
    with pytest.raises(TypeError, match="_sample"):
        SampledSet(corpus, samples=1, seed=0, partial=0.0, subset="train")


def test_the_least_number_is_enough() -> None:
    require_at_least("layers", 2, 2)
    with pytest.raises(InputError, match="layers must be at least 2, got 1"):
        require_at_least("layers", 1, 2)
