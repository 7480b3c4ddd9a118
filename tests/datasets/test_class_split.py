"""Classes drawn into subsets, and the videos that show classes of several of them."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnnreloc.datasets.class_split import assign_subsets, split_classes
from gnnreloc.errors import InputError

NAMES = [f"c{number:02d}" for number in range(20)]
SIZES = {"train": 12, "validation": 2, "test": 6}


@given(st.integers(0, 10**6), st.permutations(NAMES))
def test_sizes_hold_and_the_order_of_names_does_not_matter(split: int, names: list[str]) -> None:
    subset_of = split_classes(names, SIZES, split=split)
    assert Counter(subset_of.values()) == SIZES
    assert subset_of == split_classes(NAMES, SIZES, split=split)


@given(st.integers(0, 10**6))
def test_pairs_stay_together_and_sizes_hold(split: int) -> None:
    subset_of = split_classes(NAMES, SIZES, split=split, together=[("c03", "c07")])
    assert subset_of["c03"] == subset_of["c07"]
    assert Counter(subset_of.values()) == SIZES


def test_every_class_is_drawn_for_test_equally_often() -> None:
    draws = Counter(
        name
        for split in range(1000)
        for name, subset in split_classes(NAMES, SIZES, split=split).items()
        if subset == "test"
    )
    # 300 expected, standard deviation 14.5.
    assert len(draws) == 20 and min(draws.values()) > 235 and max(draws.values()) < 365


def test_bad_splits_are_named() -> None:
    with pytest.raises(InputError, match="split must be at least 0, got -1"):
        split_classes(NAMES, SIZES, split=-1)
    with pytest.raises(InputError, match="found 19 classes, wanted 20"):
        split_classes(NAMES[1:], SIZES, split=0)
    with pytest.raises(InputError, match="too small for both a and b"):
        sizes = {"train": 1, "test": 1}
        split_classes(["a", "b"], sizes, split=0, together=[("a", "b")])


def test_a_video_goes_to_the_rarest_of_its_subsets() -> None:
    subset_of = {"run": "train", "sit": "validation", "bow": "test"}
    moments = pd.DataFrame(
        [
            ("a", "run"),
            *(("b", "run"), ("b", "sit")),
            *(("c", "run"), ("c", "sit"), ("c", "bow"), ("c", "bow")),
            *(("d", "sit"), ("d", "bow")),
        ],
        columns=["video", "label"],
    )
    table = assign_subsets(moments, subset_of)
    assert table.values.tolist() == [
        ["a", "run", "train"],
        ["b", "sit", "validation"],
        *[["c", "bow", "test"]] * 2,
        ["d", "bow", "test"],
    ]
    assert table.index.tolist() == list(range(5))
