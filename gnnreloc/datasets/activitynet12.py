"""ActivityNet v1.2 with the official annotations, C3D features and TAG list: ``activitynet12``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from torch import Tensor

from gnnreloc.data.annotations import validate_moments
from gnnreloc.data.corpus import Corpus
from gnnreloc.data.feature_store import open_features
from gnnreloc.data.lazy_proposals import LazyProposals
from gnnreloc.datasets.class_split import assign_subsets, split_classes
from gnnreloc.datasets.official_files import (
    OfficialFile,
    OnMissing,
    find_features,
    keep_available,
)
from gnnreloc.datasets.root_files import read_json
from gnnreloc.datasets.tag_list import TagEntry, read_tag_list
from gnnreloc.errors import InputError
from gnnreloc.proposals import TagOnActionness

ANNOTATIONS = OfficialFile(
    "activity_net.v1-2.trainval.json",
    "http://activity-net.org/download.html (release 1.2)",
    aliases=("activity_net.v1-2.min.json",),
)
FEATURES = OfficialFile(
    "sub_activitynet_v1-3.c3d.hdf5",
    "http://activity-net.org/challenges/2016/download.html (C3D, PCA to 500; join the six parts "
    "activitynet_v1-3.part-00 to -05 and unzip)",
)
PROPOSALS = OfficialFile(
    "activitynet1.2_tag_val_normalized_proposal_list.txt",
    "https://github.com/yjxiong/action-detection (folder data)",
)


def activitynet12(
    root: str | Path,
    *,
    split: int = 0,
    features: str | Path | None = None,
    proposals_from: Literal["list", "tag"] = "list",
    on_missing: OnMissing = "raise",
) -> Corpus:
    """ActivityNet v1.2: 7202 videos, 10,733 moments of 100 classes (section 5.1.1 of the paper).

    The official training and validation videos are taken together, and the classes are drawn
    80/10/10 into training, validation and test by ``split`` (in these proportions where the
    annotations hold fewer than 100). A video that shows classes of several subsets goes to test if
    one of them is a test class, else to validation, and loses its other moments: in the official
    annotations 10 videos show two classes; ``settings["left_out_moments"]`` counts the loss. Bad
    moments are dropped with one warning: of the official ones, 10 have length 0 and 34 repeat
    another.

    Features are rows of 500 C3D channels, one for 16 frames every 8 frames. The file has no times:
    the rows are spread evenly over the duration, so the step is the duration divided by the number
    of rows. Where features of your own give a step, it is in seconds and must agree with the
    duration. They are read from the file when asked for; loading the corpus reads none.

    Candidates are those of the released TAG list where it holds the video (the official validation
    videos), else those of TAG on our own actionness model, which is trained on the moments of
    training classes alone when its first proposal is asked for. So the videos of one subset have
    candidates of two sources; ``settings["listed_videos"]`` counts those with candidates of the
    list.

    To our knowledge the released list comes from an actionness model that was trained on the
    official training set, that is on all 100 classes, those of test too. Figures on it may leak in
    the proposals (never in the query model); ``proposals_from="tag"`` avoids this.

    Args:
        root: folder with ``activity_net.v1-2.trainval.json``, the C3D features
            ``sub_activitynet_v1-3.c3d.hdf5`` and, for the listed candidates,
            ``activitynet1.2_tag_val_normalized_proposal_list.txt``.
        split: seed of the class split.
        features: features that lie elsewhere: an HDF5 file, or a folder of one file a video.
        proposals_from: ``list`` as above, or ``tag`` for TAG of our own in every video.
        on_missing: what to do about videos without features: an error, or go on without them.

    Raises:
        InputError: if a file is missing or not in the expected layout, a video has no features, the
            list covers no official validation video, or the split is negative.

    Warns:
        UserWarning: if bad moments or, with ``on_missing="drop"``, videos are dropped.
    """
    if split < 0:
        raise InputError(f"activitynet12: split must be at least 0, got {split}")
    if proposals_from not in ("list", "tag"):
        raise InputError(
            f"activitynet12: proposals_from: found {proposals_from!r}, wanted 'list' or 'tag'"
        )
    everything = validate_moments(
        read_annotations(root), source=str(ANNOTATIONS.at(root)), on_bad="drop"
    )
    table = assign_subsets(everything, _draw_classes(everything, split))
    left_out = len(everything) - len(table)
    durations = dict(zip(table["video"], table["duration"], strict=True))
    listed = read_tag_list(PROPOSALS.at(root)) if proposals_from == "list" else {}
    path = find_features(root, FEATURES, features)
    store = open_features(path, durations=durations)
    moments = keep_available(table, store, path=path, source=FEATURES.source, on_missing=on_missing)
    if proposals_from == "list":
        require_listed(listed, moments, PROPOSALS.at(root))
    from_list = [video for video in moments["video"].unique() if _is_listed(listed, video)]
    own_tag = TagOnActionness(moments[moments["subset"] == "train"], store, 0)
    return Corpus(
        name="activitynet12",
        moments=moments,
        features=store,
        proposals=LazyProposals(moments["video"], _ListedOrTag(listed, durations, own_tag)),
        settings={"split": split, "proposals_from": proposals_from, "on_missing": on_missing}
        | {"left_out_moments": left_out, "listed_videos": len(from_list)},
    )


def read_annotations(root: str | Path) -> pd.DataFrame:
    """All moments as they stand in the official file, unchecked, before the classes are split.

    Returns:
        A moment table with the official subset (``training`` or ``validation``) in the column
        ``official``; its column ``subset`` is only a place-holder.

    Raises:
        InputError: if the file is missing or not in the official layout; names the video.
    """
    path = ANNOTATIONS.at(root)
    content = read_json(path)
    rows: list[dict[str, Any]] = []
    where = "the whole file"
    try:
        for video, entry in content["database"].items():
            where = f"video {video!r}"
            official = str(entry["subset"])
            if official == "testing":
                continue
            for moment in entry["annotations"]:
                start, end = moment["segment"]
                if not isinstance(moment["label"], str):
                    raise TypeError(f"label {moment['label']!r}")
                rows.append(
                    {"video": video, "start": start, "end": end, "label": moment["label"]}
                    | {"subset": "train", "duration": entry["duration"], "official": official}
                )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"activitynet12: {path}: {where}: wanted the layout database / video / subset, "
            f"duration and annotations with segment [start, end] and label, found {error!r}"
        ) from error
    columns = ["video", "start", "end", "label", "subset", "duration", "official"]
    return pd.DataFrame(rows, columns=columns)


def require_listed(listed: Mapping[str, TagEntry], moments: pd.DataFrame, path: Path) -> None:
    """Refuse a list that is of no use, as one whose names are spelled in another way.

    Args:
        listed: the list.
        moments: moment table with the columns ``video`` and ``official``.
        path: file of the list, for the message.

    Raises:
        InputError: if the list has candidates of no official validation video.
    """
    wanted = moments.loc[moments["official"] == "validation", "video"].unique().tolist()
    if not any(_is_listed(listed, video) for video in wanted):
        example = f", such as {wanted[0]!r}" if wanted else ""
        raise InputError(
            f"{path}: has proposals for none of the {len(wanted)} official validation videos"
            f"{example}; it names {next(iter(listed))!r}; correct the list, or give "
            "proposals_from=tag to do without it"
        )


def _is_listed(listed: Mapping[str, TagEntry], video: str) -> bool:
    return video in listed and len(listed[video].proposals) > 0


def _draw_classes(moments: pd.DataFrame, split: int) -> dict[str, str]:
    """Class to subset: 80/10/10, or these shares of fewer classes."""
    classes = moments["label"].unique().tolist()
    if len(classes) < 10:
        raise InputError(f"activitynet12: found {len(classes)} classes, wanted 100 (10 or more)")
    tenth = round(len(classes) / 10)
    sizes = {"train": len(classes) - 2 * tenth, "validation": tenth, "test": tenth}
    return split_classes(classes, sizes, split=split)


class _ListedOrTag:
    """Video to its listed proposals in seconds, or to TAG's where the list lacks it."""

    def __init__(
        self, listed: Mapping[str, TagEntry], durations: Mapping[str, float], own: TagOnActionness
    ) -> None:
        self.listed, self.durations, self.own = listed, durations, own

    def __call__(self, video: str) -> Tensor:
        if _is_listed(self.listed, video):
            return self.listed[video].proposals * self.durations[video]
        return self.own(video)
