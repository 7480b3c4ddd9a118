"""Untrimmed videos with ready features: split by video, scaling, candidates, bad files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gnnreloc.data import Corpus, evaluation_pairs
from gnnreloc.datasets import fir
from gnnreloc.errors import InputError
from gnnreloc.evaluation.protocol import evaluate
from gnnreloc.models import create_model

Write = Callable[..., Path]
Database = dict[str, Any]


@pytest.fixture(scope="module")
def corpus(fir_root: Path) -> Corpus:
    return fir(fir_root)


def at_half(system: str, corpus: Corpus, queries: int) -> float:
    """R@1 at tIoU 0.5 of a system on test pairs."""
    pairs = evaluation_pairs(corpus, "test", queries=queries)
    return evaluate(create_model(system), corpus, pairs).summary["r1"]["0.5"]


def test_the_split_is_by_video(corpus: Corpus, fir_root: Path) -> None:
    videos = {s: set(corpus.subset(s)["video"]) for s in ("train", "validation", "test")}
    assert {subset: len(names) for subset, names in videos.items()} == {
        "train": 4,
        "validation": 3,
        "test": 7,
    }
    assert len(set.union(*videos.values())) == 14
    assert not corpus.unseen_classes and corpus.classes("train") == corpus.classes("test")
    assert corpus.name == "fir" and corpus.settings == {"split": 0}
    assert fir(fir_root).moments.equals(corpus.moments)
    assert set(fir(fir_root, split=1).subset("test")["video"]) != videos["test"]


def test_moments_are_those_of_the_file(corpus: Corpus, fir_database: Database) -> None:
    for video, entry in fir_database.items():
        rows = corpus.moments[corpus.moments["video"] == video]
        found = list(zip(rows["start"], rows["end"], rows["label"], strict=True))
        assert found == [(*moment["seconds"], moment["label"]) for moment in entry["segments"]]
        assert (rows["duration"] == 60.0).all()


def test_features_are_scaled_by_the_training_videos_alone(corpus: Corpus, fir_root: Path) -> None:
    train = sorted(corpus.subset("train")["video"].unique())
    with np.load(fir_root / "effnetlite0_stride12.npz") as arrays:
        raw = {name: arrays[name].astype(np.float64) for name in arrays.files}
    stacked = np.concatenate([raw[video] for video in train])
    for video, values in raw.items():
        wanted = (values - stacked.mean(0)) / stacked.std(0)
        found = corpus.features[video]
        assert found.step == 0.48 and found.duration == pytest.approx(60.0)
        np.testing.assert_allclose(found.values.numpy(), wanted, rtol=2e-3, atol=2e-3)


def test_candidates_lie_in_the_video_and_cover_the_moments(corpus: Corpus) -> None:
    for video in corpus.features:
        windows = corpus.proposals[video]
        assert windows.min() >= 0.0 and windows.max() <= 60.0 + 1e-9
    assert at_half("oracle", corpus, 150) >= 0.9


def test_twelve_videos_are_enough_and_eleven_are_not(
    fir_database: Database, write_fir: Write, tmp_path: Path
) -> None:
    twelve = dict(sorted(fir_database.items())[:12])
    corpus = fir(write_fir(tmp_path, twelve))
    for subset in ("train", "validation", "test"):
        assert evaluation_pairs(corpus, subset)
    write_fir(tmp_path, dict(sorted(fir_database.items())[:11]))
    with pytest.raises(InputError, match=r"segments\.json: found moments in 11 videos, wanted 12"):
        fir(tmp_path)


@pytest.mark.parametrize(
    ("place", "value", "culprit"),
    [
        (("segments", 1, "seconds"), [20.0, 17.0], r"row 11: start must lie before end.*video-03"),
        (("segments", 1, "seconds"), [50.0, 70.0], r"row 11: end must not exceed duration"),
        (("segments", 1, "seconds"), [-1.0, 7.0], r"row 11: start must be at least 0"),
        (("segments", 1, "seconds"), [float("nan"), 7.0], r"row 11: start is missing"),
        (("segments", 1, "label"), "", r"row 11: label is empty"),
        (("segments", 1, "label"), None, r"row 11: label is missing"),
        (("duration",), float("nan"), r"row 10: duration is missing.*video-03"),
        (("duration",), None, r"row 10: duration is missing"),
        (("duration",), float("inf"), r"row 10: duration is not finite"),
        (("duration",), "long", r"row 10: duration is missing or not readable.*'long'"),
        (("segments", 1, "seconds"), [20.0], "video 'video-03': wanted the layout"),
        (("segments", 1, "seconds"), 20.0, "video 'video-03': wanted the layout"),
        (("segments", 1), {"label": "sit"}, "video 'video-03': wanted the layout.*'seconds'"),
        (("segments",), None, "video 'video-03': wanted the layout"),
    ],
)
def test_a_bad_moment_is_named(
    place: tuple[str | int, ...],
    value: object,
    culprit: str,
    fir_database: Database,
    write_fir: Write,
    tmp_path: Path,
) -> None:
    holder: Any = fir_database["video-03"]
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    write_fir(tmp_path, fir_database)
    with pytest.raises(InputError, match=rf"segments\.json: {culprit}") as caught:
        fir(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "the whole file: wanted the layout database"),
        ("{}", "the whole file: wanted the layout database.*KeyError"),
        (json.dumps({"database": ["video-00"]}), "the whole file: wanted the layout"),
        (json.dumps({"database": {"video-00": [3]}}), "video 'video-00': wanted the layout"),
        (json.dumps({"database": {}}), "found moments in 0 videos"),
    ],
)
def test_a_bad_layout_is_named(text: str, culprit: str, write_fir: Write, tmp_path: Path) -> None:
    write_fir(tmp_path, text=text)
    with pytest.raises(InputError, match=rf"segments\.json: {culprit}"):
        fir(tmp_path)


@pytest.mark.parametrize(
    ("values", "culprit"),
    [
        (None, "holds no features of video 'video-05'"),
        (np.zeros((125, 7)), "video 'video-05': found 7 channels per row, wanted 6"),
        (np.zeros(125), r"video 'video-05': found features of shape \[125\]"),
        (np.full((125, 6), np.nan), "video 'video-05': row 0 .* holds nan"),
        (np.full((125, 6), "x"), "video 'video-05': found features of type <U1"),
        (np.zeros((90, 6)), "video 'video-05': found 90 rows of 0.48 s, wanted 60.0 s"),
    ],
    ids=["missing", "wide", "flat", "nan", "text", "short"],
)
def test_bad_features_name_the_video(
    values: Any, culprit: str, write_fir: Write, tmp_path: Path
) -> None:
    write_fir(tmp_path, arrays={"video-05": values})
    with pytest.raises(InputError, match=rf"effnetlite0_stride12\.npz:? {culprit}"):
        fir(tmp_path)


def test_damaged_and_missing_files_are_named(write_fir: Write, tmp_path: Path) -> None:
    archive = write_fir(tmp_path) / "effnetlite0_stride12.npz"
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"effnetlite0_stride12\.npz: cannot be read as \.npz"):
        fir(tmp_path)
    archive.unlink()
    with pytest.raises(InputError, match=r"effnetlite0_stride12\.npz is missing; --root"):
        fir(tmp_path)
    with pytest.raises(InputError, match=r"nowhere.segments\.json is missing; --root"):
        fir(tmp_path / "nowhere")


def test_a_negative_split_is_named(fir_root: Path) -> None:
    with pytest.raises(InputError, match="fir: split must be at least 0, got -1"):
        fir(fir_root, split=-1)


def test_real_data(real_data: Callable[[str], Path]) -> None:
    corpus = fir(real_data("fir_action"))
    by_subset = corpus.moments.groupby("subset")["video"].nunique()
    assert by_subset.to_dict() == {"train": 11, "validation": 3, "test": 7}
    assert len(corpus.moments) == 288 and corpus.moments["label"].nunique() == 9
    assert corpus.num_channels == 1280
    minutes = sum(features.duration for features in corpus.features.values()) / 60
    assert minutes == pytest.approx(48.0, abs=0.5)
    train = torch.cat([corpus.features[v].values for v in set(corpus.subset("train")["video"])])
    torch.testing.assert_close(train.mean(0), torch.zeros(1280), atol=1e-3, rtol=0.0)
    assert at_half("oracle", corpus, 30) >= 0.9
    assert at_half("random_proposal", corpus, 30) < 0.3
