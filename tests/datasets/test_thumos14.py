"""THUMOS14: which moments count, cliff dives, the split, features of one's own, wrong files."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from gnnreloc.data import Corpus, evaluation_pairs
from gnnreloc.datasets import thumos14
from gnnreloc.errors import InputError
from gnnreloc.evaluation.protocol import evaluate
from gnnreloc.models import create_model

# The function of the same name hides the module as an attribute of its package.
module = importlib.import_module("gnnreloc.datasets.thumos14")


@pytest.fixture(scope="module")
def root(layouts: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 videos of 20 classes and the two excluded ones; never change it."""
    written: Path = layouts.write_thumos14(tmp_path_factory.mktemp("thumos14"))
    return written


@pytest.fixture(scope="module")
def corpus(root: Path) -> Corpus:
    return thumos14(root)


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A copy of the annotations, the features linked."""
    shutil.copytree(root, tmp_path, dirs_exist_ok=True, ignore=lambda *_: ["features.h5"])
    (tmp_path / "features.h5").symlink_to(root / "features.h5")
    return tmp_path


@pytest.mark.parametrize("split", range(6))
def test_the_split(root: Path, split: int) -> None:
    corpus = thumos14(root, split=split)
    subset_of = dict(zip(corpus.moments["label"], corpus.moments["subset"], strict=True))
    assert len(corpus.classes("test")) == 6 and len(corpus.classes("validation")) == 2
    assert subset_of["Diving"] == subset_of["CliffDiving"]
    # Every class keeps videos that show it alone; those of cricket may lose one of two.
    assert set(subset_of) >= set(module.CLASSES) - {"CricketBowling"}


def test_no_moment_counts_twice(corpus: Corpus, root: Path) -> None:
    everything = module.read_annotations(root)
    assert everything.duplicated(["video", "start", "end"]).sum() == 12  # 3 in each of 4 videos
    assert not corpus.moments.duplicated(["video", "start", "end"]).any()
    labels = corpus.moments.groupby("video")["label"].agg(set)
    assert {"CliffDiving"} in labels.tolist() and {"Diving"} in labels.tolist()


def test_ambiguous_moments_and_excluded_videos_do_not_count(corpus: Corpus) -> None:
    assert "Ambiguous" not in set(corpus.moments["label"])
    assert not set(module.EXCLUDED) & set(corpus.moments["video"])


def test_loading_reads_no_feature_value(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a value was read")

    with monkeypatch.context() as patch:
        patch.setattr(h5py.Dataset, "__getitem__", refuse)
        corpus = thumos14(root)
    assert corpus.num_channels == 500


def test_candidates_hold_the_moments(corpus: Corpus) -> None:
    pairs = evaluation_pairs(corpus, "test", queries=12, references_per_query=1)
    assert evaluate(create_model("oracle"), corpus, pairs).summary["r1"]["0.5"] >= 0.9


@pytest.mark.parametrize("place", ["folder", "features.hdf5", "no prefix"])
def test_features_of_ones_own(
    root: Path, corpus: Corpus, copy: Path, layouts: ModuleType, place: str
) -> None:
    (copy / "features.h5").unlink()
    if place == "features.hdf5":
        (copy / "features.hdf5").symlink_to(root / "features.h5")
    elif place == "folder":
        (copy / "features").mkdir()
        for video in corpus.moments["video"].unique():
            np.save(copy / "features" / f"{video}.npy", corpus.features[video].values.numpy())
    else:
        with h5py.File(root / "features.h5") as old, h5py.File(copy / "features.h5", "w") as new:
            for name in old:
                old.copy(name, new, name=name.removeprefix("v_"))
    same = thumos14(copy)
    assert same.moments.equals(corpus.moments)
    video = str(corpus.moments["video"].iloc[0])
    assert same.features[video].values.equal(corpus.features[video].values)
    assert same.features[video].step == pytest.approx(36 / same.features[video].num_steps)


def test_moments_after_the_end_are_dropped_with_one_warning(copy: Path) -> None:
    path = copy / "temporal_annotations_test" / "Diving_test.txt"
    video = path.read_text().split()[0]
    path.write_text(path.read_text() + f"{video} 40.0 45.0\n\n{video} 34 36.5\n", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"dropped 1 of .*start must lie before duration") as found:
        corpus = thumos14(copy)
    assert len(found) == 1
    assert corpus.moments.loc[corpus.moments["video"] == video, "end"].max() == 36.0


@pytest.mark.parametrize(
    ("file", "text", "culprit"),
    [
        ("temporal_annotations_test/Diving_test.txt", "a 1\n", "line 1: wanted 'video start end'"),
        ("temporal_annotations_test/Diving_test.txt", "\na 1 b\n", "line 2: wanted 'video start"),
        ("temporal_annotations_test/Diving_test.txt", "a 1 2\n", "line 1: .* no duration of 'a'"),
        ("test_durations.txt", "a.mp4\n", "video 'a': wanted its duration"),
        ("test_durations.txt", "a.mp4\nnan\n", "video 'a': wanted its duration"),
        ("features.h5", "no HDF5", "cannot be read as HDF5"),
    ],
)
def test_wrong_files_are_named(copy: Path, file: str, text: str, culprit: str) -> None:
    (copy / file).unlink()
    (copy / file).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"{Path(file).name}: {culprit}"):
        thumos14(copy)


@pytest.mark.parametrize(
    "file", ["temporal_annotations_test/Diving_test.txt", "test_durations.txt", "features.h5"]
)
def test_missing_files_say_where_from_and_where_to(copy: Path, file: str) -> None:
    (copy / file).unlink()
    with pytest.raises(InputError) as caught:
        thumos14(copy)
    assert str(caught.value).startswith(f"{copy / file} is missing: get it from ")


def test_videos_without_features_and_wrong_options(copy: Path, layouts: ModuleType) -> None:
    (copy / "features.h5").unlink()
    with h5py.File(copy / "features.h5", "w") as file:
        file["v_video_validation_0000000/c3d_features"] = np.zeros((4, 4))
    with pytest.raises(InputError, match=r"found no features of video .*79 of 80 videos"):
        thumos14(copy)
    with pytest.warns(UserWarning, match="79 of 80 videos"):
        assert thumos14(copy, on_missing="drop").moments["video"].nunique() == 1
    with pytest.raises(InputError, match="split must be at least 0, got -2"):
        thumos14(copy, split=-2)


def test_real_annotations(real_data: Callable[[str], Path]) -> None:
    table = module.read_annotations(real_data("thumos14"))
    # All classes but Ambiguous, all videos with the two that the paper leaves out.
    assert table.groupby("official").size().to_dict() == {"test": 3358, "validation": 3007}
    videos = table.groupby("official")["video"].nunique()
    assert videos.to_dict() == {"test": 212, "validation": 200}
    assert table["label"].nunique() == 20 and set(module.EXCLUDED) <= set(table["video"])
    # Every cliff dive is annotated as a dive as well.
    cliff = (table["label"] == "CliffDiving").sum()
    assert cliff == 360
    assert len(module.one_class_a_moment(table)) == len(table) - cliff


def test_real_annotations_with_made_features(
    real_data: Callable[[str], Path], layouts: ModuleType, tmp_path: Path
) -> None:
    root = layouts.write_thumos14(tmp_path, real_data("thumos14"), videos=2, directory=True)
    corpus = thumos14(root)
    assert set(corpus.moments["label"]) == set(module.CLASSES)
    assert corpus.num_channels == 500
