"""One's own videos: their features and a table of moments in a folder, the data set ``folder``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gnnreloc.data.annotations import read_table, validate_moments
from gnnreloc.data.corpus import Corpus
from gnnreloc.data.crop_set import SHORTEST_CROP
from gnnreloc.data.lazy_proposals import LazyProposals
from gnnreloc.data.scaled_features import fit_scaling, scale_features
from gnnreloc.datasets.class_split import assign_subsets, split_classes
from gnnreloc.datasets.folder_features import (
    FolderFeatures,
    find_store,
    load_features,
    names_in_store,
)
from gnnreloc.datasets.official_files import OfficialFile, OnMissing, keep_available
from gnnreloc.errors import InputError
from gnnreloc.proposals.corpus_proposals import WINDOW_LENGTHS, WINDOW_OVERLAP
from gnnreloc.proposals.windows import geometric_lengths, window_proposals

MOMENTS = OfficialFile(
    "moments.csv",
    "your labels: a table with the columns video,start,end,label",
    aliases=("moments.json",),
)
#: Classes with moments in two videos that are needed to hold some of them back.
FEWEST_CLASSES = 5
#: Share of the training classes' moments that must be left when classes are held back.
LEAST_KEPT = 0.5
#: Lengths (s) of crops and candidates where no moment tells how long actions are.
UNLABELLED_LENGTHS = (2.0, 32.0)
#: Videos from which on some are held back of those without labels.
FEWEST_UNLABELLED = 10


def folder(
    root: str | Path,
    *,
    split: int = 0,
    features: str | Path | None = None,
    moments: str | Path | None = None,
    step: float | None = None,
    unseen_classes: bool | None = None,
    validation_share: float = 0.1,
    test_share: float = 0.2,
    shortest: float | None = None,
    longest: float | None = None,
    scale: bool = True,
    on_missing: OnMissing = "raise",
) -> Corpus:
    """Videos of one's own: features, and ``moments.csv`` with ``video,start,end,label``.

    ``moments.csv`` may have two more columns. ``subset`` (``train``, ``validation``, ``test``) says
    which video is used for what; without it some are held back, drawn by ``split``. ``duration`` is
    the length of the video in seconds; without it, a video ends where its feature rows do. A video
    may be named with the suffix of its file (``a.mp4``) or without.

    What is held back: classes, so that the system is judged on actions that it never saw, where
    there are at least five with moments in two videos each, and where this leaves the training
    classes half of their moments (a video that shows a held-back class is not trained on). Else
    videos: then the actions of validation and test are seen in training, in other videos, which is
    an easier task, and a warning says so. ``settings["division"]`` says what was done.

    Features are centred and scaled by their statistics over the training videos. Candidates are
    half overlapping windows of six lengths, from that which 5 % of the training moments do not
    reach to that which 95 % do not exceed.

    Args:
        root: folder with ``moments.csv`` and the features: ``features`` (a folder of one file a
            video, as ``gnnreloc features`` writes), ``features.h5``, or the files themselves.
        split: seed of the draw.
        features: features that lie elsewhere.
        moments: table that lies elsewhere, .csv or .json.
        step: seconds from one feature row to the next, where the features do not say.
        unseen_classes: whether classes are held back or videos; by default as said above.
        validation_share: share of the classes or videos held back for validation; 0 is none.
        test_share: the same for test.
        shortest: length of the shortest windows in seconds.
        longest: length of the longest windows in seconds.
        scale: centre and scale the features.
        on_missing: what to do about videos without features: an error, or go on without them.

    Raises:
        InputError: if a file is missing, a row is bad (names file, row and reason), a video has no
            usable features, the classes cannot be held back although wanted, or an option is out of
            range.

    Warns:
        UserWarning: if videos are held back and not classes, or videos without features dropped.
    """
    _check_shares(split, validation_share, test_share)
    path = MOMENTS.at(Path(root).expanduser()) if moments is None else Path(moments).expanduser()
    table = read_table(path)
    for column in ("video", "start", "end", "label"):
        if column not in table.columns:
            raise InputError(f"{path}: found no column {column!r}, only {list(table.columns)}")
    if table.empty:
        raise InputError(f"{path}: found no rows, wanted at least one moment")
    table = table.assign(video=table["video"].astype(str))
    blank = table["video"].str.strip() == ""
    if blank.any():
        raise InputError(f"{path}: row {int(blank.argmax()) + 1}: video is empty")
    names = names_in_store(find_store(root, features)[1], table["video"].unique())
    table = table.assign(video=[names[video] for video in table["video"]])
    place, store = find_store(root, features, step=step, durations=_given_durations(table))
    available = keep_available(
        table,
        store,
        path=place,
        source="gnnreloc features VIDEOS --out STORE",
        on_missing=on_missing,
    )["video"].unique()
    loaded = load_features(store, [str(video) for video in available], place)
    if "duration" not in table.columns:
        # A video that is left out ends with its last moment: its rows are checked with the others.
        ends = pd.to_numeric(table["end"], errors="coerce").groupby(table["video"]).max()
        table = table.assign(duration=table["video"].map({**ends, **loaded.durations}))
    given = "subset" in table.columns
    table = table if given else table.assign(subset="train")
    checked = validate_moments(
        table, source=str(path), tolerance=max(1.0, 2.0 * max(loaded.steps.values()))
    )
    checked = checked[checked["video"].isin(available)].reset_index(drop=True)
    if given:
        unseen = checked.groupby("label")["subset"].nunique().max() == 1
        division = f"as the column 'subset' of {path.name} says"
    else:
        checked, unseen, division = _divide(
            checked, path, split, unseen_classes, validation_share, test_share
        )
    training = checked[checked["subset"] == "train"]
    if training.empty:
        raise InputError(f"{path}: no moment is of subset 'train'")
    seconds = training["end"] - training["start"]
    lengths = _window_lengths(
        float(seconds.quantile(0.05)) if shortest is None else shortest,
        float(seconds.quantile(0.95)) if longest is None else longest,
    )
    options = {"split": split, "validation_share": validation_share, "test_share": test_share}
    return _corpus(checked, loaded, lengths, scale, bool(unseen), {**options, "division": division})


def unlabelled_folder(
    root: str | Path,
    *,
    split: int = 0,
    features: str | Path | None = None,
    step: float | None = None,
    validation_share: float = 0.1,
    shortest: float | None = None,
    longest: float | None = None,
    scale: bool = True,
) -> Corpus:
    """Videos of one's own without labels, to be trained on by :class:`~gnnreloc.data.CropSet`.

    Every video of the store is taken; a table of moments is not read. The moment table of the
    corpus has one row a video, from its beginning to its end. Candidates are half overlapping
    windows of six lengths, by default from 2 s (or six feature rows, where that is more) to 32 s
    (or half of the median video, where that is less).

    Args:
        root: as for :func:`folder`, without ``moments.csv``.
        split: seed of the draw of held-back videos.
        features: features that lie elsewhere.
        step: seconds from one feature row to the next, where the features do not say.
        validation_share: share of the videos held back, where there are at least ten; 0 is none.
        shortest: length of the shortest windows in seconds.
        longest: length of the longest windows in seconds.
        scale: centre and scale the features by their statistics over the training videos.

    Raises:
        InputError: if there are fewer than two videos, or one is not usable.
    """
    _check_shares(split, validation_share, 0.0)
    place, store = find_store(root, features, step=step)
    videos = sorted(store)
    if len(videos) < 2:
        raise InputError(f"{place}: found features of {len(videos)} videos, wanted at least 2")
    loaded = load_features(store, videos, place)
    share = validation_share if len(videos) >= FEWEST_UNLABELLED else 0.0
    subset_of = _draw_videos(videos, split, share, 0.0)
    table = pd.DataFrame(
        {"video": video, "start": 0.0, "end": loaded.durations[video], "label": "video"}
        | {"subset": subset_of[video], "duration": loaded.durations[video]}
        for video in videos
    )
    least = max(UNLABELLED_LENGTHS[0], SHORTEST_CROP * max(loaded.steps.values()))
    most = min(UNLABELLED_LENGTHS[1], float(np.median(list(loaded.durations.values()))) / 2)
    lengths = _window_lengths(
        min(least, most) if shortest is None else shortest, most if longest is None else longest
    )
    settings = {"split": split, "validation_share": validation_share, "division": "by video"}
    return _corpus(validate_moments(table), loaded, lengths, scale, False, settings)


def _corpus(
    moments: pd.DataFrame,
    loaded: FolderFeatures,
    lengths: Sequence[float],
    scale: bool,
    unseen: bool,
    settings: Mapping[str, Any],
) -> Corpus:
    corpus = Corpus(
        name="folder",
        moments=moments,
        features=loaded.store,
        proposals=LazyProposals(moments["video"], _Windows(loaded.durations, lengths)),
        settings={**settings, "windows": list(lengths), "features": dict(loaded.metadata)},
        unseen_classes=unseen,
    )
    if not scale:
        return corpus
    training = sorted(corpus.subset("train")["video"].unique())
    return scale_features(corpus, fit_scaling(training, corpus.features))


class _Windows:
    """Video to its windows; can be pickled, for workers."""

    def __init__(self, durations: Mapping[str, float], lengths: Sequence[float]) -> None:
        self.durations, self.lengths = durations, tuple(lengths)

    def __call__(self, video: str) -> Any:
        return window_proposals(self.durations[video], lengths=self.lengths, overlap=WINDOW_OVERLAP)


def _window_lengths(shortest: float, longest: float) -> tuple[float, ...]:
    if not 0 < shortest <= longest:
        raise InputError(
            f"shortest and longest: found {shortest:g} and {longest:g}, wanted seconds above 0 in "
            "this order"
        )
    return geometric_lengths(shortest, longest, WINDOW_LENGTHS)


def _check_shares(split: int, validation: float, test: float) -> None:
    if split < 0:
        raise InputError(f"folder: split must be at least 0, got {split}")
    if not (validation >= 0 and test >= 0 and validation + test < 1):
        raise InputError(
            "folder: validation_share and test_share must be at least 0 and together below 1, got "
            f"{validation} and {test}"
        )


def _given_durations(table: pd.DataFrame) -> dict[str, float] | None:
    """Lengths of the videos, where the table has them; bad ones are told of later, by row."""
    if "duration" not in table.columns:
        return None
    seconds = pd.to_numeric(table["duration"], errors="coerce")
    return {str(v): float(s) for v, s in zip(table["video"], seconds, strict=True) if s > 0}


def _divide(
    moments: pd.DataFrame,
    path: Path,
    split: int,
    unseen_classes: bool | None,
    validation: float,
    test: float,
) -> tuple[pd.DataFrame, bool, str]:
    """The moments with their subsets, whether these share no class, and what was done."""
    if validation + test == 0.0:
        return moments, True, "nothing is held back: all videos are trained on"
    table, reason = None, "as wanted"
    if unseen_classes is not False:
        table, reason = _hold_back_classes(moments, split, validation, test)
        if table is None and unseen_classes:
            raise InputError(f"{path}: classes cannot be held back: {reason}")
    if table is not None:
        counts = table.groupby("subset")["label"].nunique()
        left_out = len(moments) - len(table)
        return table, True, _describe("by class", counts, f", {left_out} moments left out")
    subset_of = _draw_videos(sorted(moments["video"].unique()), split, validation, test)
    table = moments.assign(subset=moments["video"].map(subset_of))
    counts = table.groupby("subset")["video"].nunique()
    division = _describe("by video", counts, f" ({reason})")
    if unseen_classes is None:
        warnings.warn(
            f"{path}: held back are videos, not classes ({reason}): the actions of validation and "
            "test are seen in training",
            stacklevel=3,
        )
    return table, False, division


def _describe(how: str, counts: pd.Series[int], more: str) -> str:
    parts = (f"{counts[name]} {name}" for name in ("train", "validation", "test") if name in counts)
    return f"{how}: {', '.join(parts)}{more}"


def _hold_back_classes(
    moments: pd.DataFrame, split: int, validation: float, test: float
) -> tuple[pd.DataFrame | None, str]:
    """Moments with disjoint classes in the subsets, or ``None`` and why this cannot be."""
    holders = moments.groupby("label")["video"].nunique()
    classes = [str(label) for label in holders.index[holders > 1]]
    if len(classes) < FEWEST_CLASSES:
        return None, f"{len(classes)} classes have moments in two videos, wanted {FEWEST_CLASSES}"
    sizes = {
        name: max(1, round(share * len(classes))) if share else 0
        for name, share in (("validation", validation), ("test", test))
    }
    sizes["train"] = len(classes) - sum(sizes.values())
    if sizes["train"] < 1:
        return None, f"of {len(classes)} classes none is left to train on"
    subset_of = split_classes(classes, sizes, split=split)
    subset_of |= {str(label): "train" for label in holders.index[holders < 2]}
    table = assign_subsets(moments, subset_of)
    for name in (name for name in ("train", "validation", "test") if sizes[name]):
        own = table[table["subset"] == name]
        if own.empty or own.groupby("label")["video"].nunique().max() < 2:
            return None, f"no class of {name} would have moments in two videos"
    wanted = (moments["label"].map(subset_of) == "train").sum()
    kept = (table["subset"] == "train").sum()
    if kept < LEAST_KEPT * wanted:
        return None, f"{kept} of the training classes' {wanted} moments would be left"
    return table, ""


def _draw_videos(
    videos: Sequence[str], split: int, validation: float, test: float
) -> dict[str, str]:
    """Video to subset: at least two for each share above 0, where as many are left to train on."""
    order = [str(v) for v in np.random.default_rng([split, 20220131]).permutation(sorted(videos))]
    subset_of = dict.fromkeys(order, "train")
    for name, share in (("test", test), ("validation", validation)):
        count = max(2, round(share * len(videos)))
        left = [video for video in order if subset_of[video] == "train"]
        if share and len(left) - count >= 2:
            subset_of |= dict.fromkeys(left[:count], name)
    return subset_of
