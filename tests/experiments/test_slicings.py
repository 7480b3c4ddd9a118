"""How pairs are parted into slices, by hand-made annotations and proposals."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnnreloc.data import Corpus, validate_moments
from gnnreloc.errors import InputError

NAMES = ["length_ratio", "moment_length", "distractors", "alike", "best_proposal"]


@pytest.fixture(scope="session")
def slicings(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["slicings"]


def corpus(videos: dict[str, list[tuple[str, float, float]]], **proposals: Any) -> Corpus:
    """A corpus of test videos with these moments; their proposals are one of 0 to 1 s or given."""
    rows = [(video, *moment) for video, moments in videos.items() for moment in moments]
    table = pd.DataFrame(rows, columns=["video", "label", "start", "end"])
    table = validate_moments(table.assign(subset="test", duration=100.0))
    given = {video: proposals.get(video, [[0.0, 1.0]]) for video in videos}
    segments = {video: torch.tensor(rows, dtype=torch.float64) for video, rows in given.items()}
    return Corpus("made", table, {}, segments)


def pair(video: str, query: str, start: float, end: float, label: str) -> dict[str, Any]:
    named = {"video": video, "query_video": query, "query_start": start, "query_end": end}
    return {**named, "label": label}


def test_properties_of_pairs_by_hand(slicings):
    data = corpus(
        {
            "q": [("sit", 1.0, 5.0), ("run", 6.1, 9.1)],
            # Two moments to find, of 2 and 5 s: the second is nearer in length to 4 s.
            "a": [("sit", 0.0, 2.0), ("sit", 10.0, 15.0), ("run", 3.0, 8.0), ("jump", 20.0, 26.0)],
            "b": [("run", 0.2, 4.7)],
        },
        # The first has a tIoU of 1 with the shorter moment, the second one of 0.8 with the other.
        a=[[0.0, 2.0], [11.0, 15.0]],
        b=[[1.2, 4.2], [0.2, 1.0]],
    )
    pairs = pd.DataFrame(
        [pair("a", "q", 1.0, 5.0, "sit"), pair("b", "q", 6.1, 9.1, "run")], index=[7, 3]
    )
    found = slicings.pair_properties(pairs, data)
    assert found.index.tolist() == [7, 3] and list(found.columns) == NAMES
    # Of the distractors, 5 s are 1.25 times 4 s, and 6 s are 1.5 times 4 s: not alike.
    assert found.loc[7].tolist() == [1.25, 5.0, 2, 1, 1.0]
    # 4.5 s to 3 s: one and a half, though neither difference is exact in binary.
    assert found.loc[3].tolist() == [1.5, 4.5, 0, 0, pytest.approx(3.0 / 4.5, abs=1e-6)]


def test_the_query_may_be_the_longer_one(slicings):
    data = corpus({"q": [("sit", 0.0, 9.0)], "a": [("sit", 1.0, 4.0), ("run", 5.0, 9.0)]})
    found = slicings.pair_properties(pd.DataFrame([pair("a", "q", 0.0, 9.0, "sit")]), data)
    assert found.iloc[0].tolist() == [3.0, 3.0, 1, 0, 0.0]


@pytest.mark.parametrize(
    "change",
    [{"video": "b"}, {"video": "q2"}, {"query_end": 8.9}, {"query_video": "a"}, {"label": "run"}],
)
def test_pairs_that_the_data_does_not_hold_are_told(slicings, change):
    data = corpus({"q": [("sit", 0.0, 9.0)], "a": [("sit", 1.0, 4.0)], "q2": [("run", 0.0, 9.0)]})
    pairs = pd.DataFrame([pair("a", "q", 0.0, 9.0, "sit") | change])
    with pytest.raises(InputError, match=r"made: no pair of '\w+' in '\w+' from 0.0 to \d"):
        slicings.pair_properties(pairs, data)


@pytest.mark.parametrize(
    ("values", "bounds", "wanted"),
    [
        ([1.0, 1.19, 1.2, 1.5, 2.0, 9.0], (1.2, 1.5, 2.0), ["<1.2", "1.2-1.5", "1.5-2", ">=2"]),
        ([0.0, 2.0, 3.0, 4.0, 5.0, 10.0], (3, 5, 10), ["0-2", "3-4", "5-9", ">=10"]),
        ([0.0, 1.0, 2.0, 7.0], (1, 2, 3), ["0", "1", "2", ">=3"]),
        ([5.0, 5.0], (3, 5, 10), ["5-9"]),
        ([1.0, 2.0, 3.0, 4.0], (), ["<2 s", "2-3 s", ">=3 s"]),
        ([2.5, 2.5, 2.5], (), [">=2.5 s"]),
    ],
)
def test_slices_have_the_names_of_their_bounds(slicings, values, bounds, wanted):
    found = slicings.partition(pd.Series(values), bounds)
    assert list(found) == wanted
    places = [name for value in np.array([*found.values()]).T for name in np.flatnonzero(value)]
    assert places == sorted(places)  # the values above are in order, so are their slices


@given(
    values=st.lists(st.floats(0.0, 12.0), min_size=1, max_size=30),
    bounds=st.sampled_from([(), (1.5,), (3, 5, 10), (0.6, 0.75, 0.9)]),
)
def test_every_pair_is_in_one_slice(slicings, values, bounds):
    found = slicings.partition(pd.Series(values), bounds)
    assert np.sum([*found.values()], axis=0).tolist() == [1] * len(values)
