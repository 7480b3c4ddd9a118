"""Classes drawn into training, validation and test, and videos sorted after them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from gnnreloc.errors import InputError


def split_classes(
    classes: Iterable[str],
    sizes: Mapping[str, int],
    *,
    split: int,
    together: Sequence[tuple[str, str]] = (),
) -> dict[str, str]:
    """Draw disjoint sets of classes.

    Example:
        >>> sizes = {"train": 1, "validation": 1, "test": 1}
        >>> sorted(split_classes(["jump", "run", "sit"], sizes, split=0).values())
        ['test', 'train', 'validation']

    Args:
        classes: names of all classes; their order does not matter.
        sizes: subset to its number of classes; the sum is the number of classes.
        split: seed of the draw, at least 0.
        together: pairs of classes that must fall into the same subset, because one is a kind of
            the other. Where the draw parts them, the second changes places with another class of
            the first's subset.

    Returns:
        Class to subset.

    Raises:
        InputError: if the split is negative, the sizes do not add up, or a subset is too small for
            a pair.
    """
    names = sorted(set(classes))
    if split < 0:
        raise InputError(f"split must be at least 0, got {split}")
    if len(names) != sum(sizes.values()):
        raise InputError(f"found {len(names)} classes, wanted {sum(sizes.values())}")
    drawn = [str(name) for name in np.random.default_rng([split, 20220130]).permutation(names)]
    subsets = [subset for subset, size in sizes.items() for _ in range(size)]
    subset_of = dict(zip(drawn, subsets, strict=True))
    paired = {name for pair in together for name in pair}
    for first, second in together:
        if subset_of[first] != subset_of[second]:
            subset = subset_of[first]
            free = [name for name in drawn if subset_of[name] == subset and name not in paired]
            if not free:
                raise InputError(f"subset {subset!r} is too small for both {first} and {second}")
            subset_of[free[0]], subset_of[second] = subset_of[second], subset
    return subset_of


def assign_subsets(moments: pd.DataFrame, subset_of: Mapping[str, str]) -> pd.DataFrame:
    """Sort videos into subsets by the classes of their moments.

    A video with classes of several subsets goes to ``test`` if one of them is a test class, else to
    ``validation``: these subsets are small, and an action that is unseen by decree must not be seen
    in a training video, annotated or not. The video's moments of the other subsets' classes are
    left out.

    Example:
        >>> moments = pd.DataFrame({"video": ["a", "a", "b"], "label": ["run", "sit", "run"]})
        >>> table = assign_subsets(moments, {"run": "train", "sit": "test"})
        >>> table[["video", "label", "subset"]].values.tolist()
        [['a', 'sit', 'test'], ['b', 'run', 'train']]

    Args:
        moments: moment table; a column ``subset`` is replaced.
        subset_of: class to subset.

    Returns:
        A new table, with the index 0, 1, 2, ...; it is shorter by the moments left out.
    """
    rank = {"test": 0, "validation": 1, "train": 2}
    own = moments["label"].map(subset_of)
    first = own.map(rank).groupby(moments["video"]).transform("min")
    kept = own.map(rank) == first
    return moments.assign(subset=own)[kept].reset_index(drop=True)
