"""One's own videos: tables, names, durations, what is held back, candidates, errors by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from gnnreloc.data import Features, evaluation_pairs, write_features
from gnnreloc.datasets import folder, unlabelled_folder
from gnnreloc.datasets.check import check_dataset
from gnnreloc.errors import InputError
from gnnreloc.models import create_model

STEP, ROWS, CHANNELS = 0.5, 60, 4
Write = Callable[..., Path]


def features(number: int, rows: int = ROWS, channels: int = CHANNELS, **metadata: Any) -> Features:
    rng = np.random.default_rng(number)
    values = torch.from_numpy(rng.normal(number, 1.0 + number % 3, size=(rows, channels)))
    return Features(values, STEP, metadata={"backbone": "made-up", "file": f"{number}"} | metadata)


def moments(classes: int, videos_each: int = 3) -> pd.DataFrame:
    """Every video shows one class, twice."""
    return pd.DataFrame(
        {"video": f"v{c * videos_each + i:02d}", "start": start, "end": start + 6.0}
        | {"label": f"class-{c:02d}"}
        for c in range(classes)
        for i in range(videos_each)
        for start in (2.0 + c % 3, 15.0)
    )


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a table, and features of its videos, into a folder."""

    def written(
        table: pd.DataFrame, *, videos: Sequence[str] | None = None, place: str = "features"
    ) -> Path:
        root = tmp_path / "mine"
        root.mkdir(exist_ok=True)
        table.to_csv(root / "moments.csv", index=False)
        for number, video in enumerate(videos or sorted(table["video"].unique())):
            write_features(root / place / f"{video}.npz", features(number))
        return root

    return written


def test_classes_are_held_back(write: Write) -> None:
    table = moments(10)
    corpus = folder(write(table))
    sizes = corpus.moments.groupby("subset")["label"].nunique().to_dict()
    assert sizes == {"train": 7, "validation": 1, "test": 2}
    assert corpus.unseen_classes and corpus.name == "folder"
    assert len(corpus.moments) == len(table) and not corpus.moments["duration"].ne(30.0).any()
    division = "by class: 7 train, 1 validation, 2 test, 0 moments left out"
    assert corpus.settings["division"] == division
    assert corpus.settings["features"] == {"backbone": "made-up", "step": STEP}
    for subset in ("train", "validation", "test"):
        assert evaluation_pairs(corpus, subset)


def test_the_draw_depends_on_the_split_alone(write: Write) -> None:
    table = moments(10)
    root = write(table)
    one = folder(root).moments
    write(table.sample(frac=1.0, random_state=1))
    key = ["video", "start", "subset"]
    again = folder(root).moments.sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(again, one.sort_values(key, ignore_index=True))
    others = [set(folder(root, split=split).classes("test")) for split in range(4)]
    assert len({frozenset(names) for names in others}) > 1


def test_few_classes_split_the_videos_and_say_so(write: Write) -> None:
    root = write(moments(3, videos_each=6))
    with pytest.warns(UserWarning, match=r"moments\.csv: held back are videos, not .*3 classes"):
        corpus = folder(root)
    videos = corpus.moments.groupby("subset")["video"].nunique().to_dict()
    assert videos == {"train": 12, "validation": 2, "test": 4}
    assert not corpus.unseen_classes
    assert corpus.settings["division"].startswith("by video: 12 train, 2 validation, 4 test (3 ")
    with pytest.raises(InputError, match=r"moments\.csv: classes cannot be held back: 3 classes"):
        folder(root, unseen_classes=True)


def test_videos_on_demand_without_a_warning(write: Write) -> None:
    corpus = folder(write(moments(10)), unseen_classes=False, test_share=0.0)
    assert corpus.moments.groupby("subset")["video"].nunique().to_dict() == {
        "train": 27,
        "validation": 3,
    }
    assert not corpus.unseen_classes


def test_videos_of_many_classes_are_not_lost_to_held_back_ones(write: Write) -> None:
    """Where each video shows every class, holding one back would take all videos."""
    table = pd.DataFrame(
        {"video": f"v{v}", "start": 4.0 * c, "end": 4.0 * c + 3.0, "label": f"class-{c}"}
        for v in range(8)
        for c in range(6)
    )
    with pytest.warns(UserWarning, match="0 of the training classes' 24 moments would be left|no "):
        corpus = folder(write(table))
    assert not corpus.unseen_classes and len(corpus.moments) == len(table)


def test_nothing_is_held_back_if_so_wanted(write: Write) -> None:
    corpus = folder(write(moments(3)), validation_share=0.0, test_share=0.0)
    assert set(corpus.moments["subset"]) == {"train"}
    assert "nothing is held back" in corpus.settings["division"]


def test_a_given_subset_is_used_as_it_stands(write: Write) -> None:
    table = moments(4)
    given = {"class-00": "train", "class-01": "train", "class-02": "validation"}
    table["subset"] = table["label"].map(given).fillna("test")
    corpus = folder(write(table))
    assert corpus.unseen_classes and corpus.moments["subset"].tolist() == table["subset"].tolist()
    table["subset"] = np.where(table["video"].isin(["v00", "v03", "v06", "v09"]), "test", "train")
    assert not folder(write(table)).unseen_classes
    table["subset"] = ["train", "test"] * (len(table) // 2)
    with pytest.raises(InputError, match="'v00' is in more than one subset"):
        folder(write(table))


def test_durations_are_given_or_those_of_the_features(write: Write) -> None:
    table = moments(10)
    assert set(folder(write(table)).moments["duration"]) == {30.0}
    assert set(folder(write(table.assign(duration=31.0))).moments["duration"]) == {31.0}
    with pytest.raises(InputError, match=r"60 rows of 0.5 s .* wanted about 90 s"):
        folder(write(table.assign(duration=90.0)))


def test_a_duration_gives_the_step_that_features_lack(write: Write) -> None:
    root = write(moments(10).assign(duration=30.0))
    for path in sorted((root / "features").iterdir()):
        np.save(path.with_suffix(".npy"), features(0).values.numpy())
        path.unlink()
    corpus = folder(root)
    assert corpus.features["v00"].step == pytest.approx(0.5)
    assert folder(root, step=0.51).features["v00"].step == 0.51
    write(moments(10), videos=["other"])
    with pytest.raises(InputError, match="found no step for video 'v00'"):
        folder(root)


def test_features_are_scaled_by_the_training_videos_alone(write: Write) -> None:
    root = write(moments(10))
    corpus, raw = folder(root), folder(root, scale=False)
    training = sorted(corpus.subset("train")["video"].unique())
    stacked = np.concatenate([raw.features[video].values.numpy() for video in training])
    for video in ("v00", "v13", "v29"):
        wanted = (raw.features[video].values.numpy() - stacked.mean(0)) / stacked.std(0)
        np.testing.assert_allclose(corpus.features[video].values, wanted, rtol=2e-3, atol=2e-3)


def test_candidates_are_windows_as_long_as_the_training_moments(write: Write) -> None:
    table = moments(10)
    table.loc[table["start"] == 15.0, "end"] = 27.0
    root = write(table)
    lengths = folder(root).settings["windows"]
    assert len(lengths) == 6 and lengths[0] == 6.0 and lengths[-1] == 12.0
    corpus = folder(root, shortest=5.0, longest=10.0)
    windows = corpus.proposals["v00"]
    assert float(windows.min()) == 0.0 and float(windows.max()) == 30.0
    found = (windows[:, 1] - windows[:, 0]).unique()
    assert found[0] == pytest.approx(5.0) and found[-1] == pytest.approx(10.0)
    for shortest, longest in ((0.0, 4.0), (5.0, 4.0)):
        with pytest.raises(InputError, match="shortest and longest: found"):
            folder(root, shortest=shortest, longest=longest)


def test_videos_are_named_as_their_files_or_without_the_suffix(write: Write) -> None:
    table = moments(10)
    names = {video: f"{video}.mp4" for video in table["video"].unique()}
    names |= {"v01": "day 1%2Fv01.mp4", "v02": "v02"}
    root = write(table, videos=list(names.values()))
    table["video"] = table["video"].replace(
        {"v00": "v00.mp4", "v01": "day 1/v01", "v02": "v02.avi"}
    )
    write(table, videos=["v02"])
    corpus = folder(root)
    assert set(corpus.moments["video"]) == set(names.values())


def test_features_lie_in_one_of_several_places(write: Write, tmp_path: Path) -> None:
    table = moments(10)
    root = write(table, place=".")
    plain = folder(root)
    (root / "features").mkdir()
    for path in root.glob("*.npz"):
        path.rename(root / "features" / path.name)
    torch.testing.assert_close(plain.features["v03"].values, folder(root).features["v03"].values)
    elsewhere = (root / "features").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="found no features: make them with gnnreloc features"):
        folder(root)
    assert len(folder(root, features=elsewhere).moments) == len(table)
    with h5py.File(root / "features.h5", "w") as file:
        for number in range(30):
            data = features(number).values.numpy()
            file[f"v{number:02d}/c3d_features"] = data
            file[f"v{number:02d}/c3d_features"].attrs["step"] = STEP
    corpus = folder(root)
    torch.testing.assert_close(corpus.features["v03"].values, plain.features["v03"].values)
    (root / "features").mkdir()
    with pytest.raises(InputError, match=r"found features.h5 and features, wanted one"):
        folder(root)


def test_features_made_in_different_ways_are_refused(write: Write) -> None:
    root = write(moments(10))
    path = root / "features" / "v07.npz"
    write_features(path, features(0, backbone="other"))
    with pytest.raises(InputError, match="'v07' has backbone 'other', video 'v00' 'made-up'"):
        folder(root)
    write_features(path, features(0, channels=5))
    with pytest.raises(InputError, match="'v07' has channels 5, video 'v00' 4"):
        folder(root)
    path.unlink()
    with pytest.raises(InputError, match=r"found no features of video 'v07' \(1 of 30"):
        folder(root)
    with pytest.warns(UserWarning, match="'v07'.*these videos are dropped"):
        assert "v07" not in set(folder(root, on_missing="drop").moments["video"])
    table = moments(10)
    table.loc[59, "end"] = 1.0  # rows are counted as they stand in the file
    table.to_csv(root / "moments.csv", index=False)
    with (
        pytest.warns(UserWarning, match="'v07'"),
        pytest.raises(InputError, match=r"moments\.csv: row 60: start must lie before end"),
    ):
        folder(root, on_missing="drop")


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("end", 1.0, "start must lie before end"),
        ("end", 40.0, "end must not exceed duration"),
        ("start", -1.0, "start must be at least 0"),
        ("start", "soon", "start is missing or not readable"),
        ("label", " ", "label is empty"),
        ("start", 15.0, "the moment repeats an earlier row"),
    ],
)
def test_a_bad_row_is_named(write: Write, column: str, value: object, reason: str) -> None:
    table = moments(10).astype({column: object})
    table.loc[1 if value != 15.0 else 0, column] = value
    if value == 15.0:
        table.loc[0, "end"] = table.loc[1, "end"]
    with pytest.raises(InputError, match=rf"moments\.csv: row 2: {reason}") as caught:
        folder(write(table))
    assert "\n" not in str(caught.value)


def test_a_bad_table_or_option_is_named(write: Write, tmp_path: Path) -> None:
    root = write(moments(10))
    for column in ("video", "start", "end", "label"):
        write(moments(10).rename(columns={column: "other"}), videos=["v00"])
        with pytest.raises(InputError, match=rf"moments\.csv: found no column '{column}'"):
            folder(root)
    with pytest.raises(InputError, match=r"moments\.csv is missing: get it from your labels"):
        folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="other.csv: cannot be read"):
        folder(root, moments=tmp_path / "other.csv")
    for options in (
        {"split": -1},
        {"test_share": -0.1},
        {"test_share": 0.6, "validation_share": 0.5},
    ):
        with pytest.raises(InputError, match="folder: (split|validation_share and test_share)"):
            folder(root, **options)
    write(moments(10).assign(video=" "), videos=["v00"])
    with pytest.raises(InputError, match=r"moments\.csv: row 1: video is empty"):
        folder(root)
    empty = write(moments(10).head(0), videos=["v00"])
    with pytest.raises(InputError, match="no rows"):
        folder(empty)


def test_unlabelled_videos(write: Write) -> None:
    root = write(moments(4))
    (root / "moments.csv").unlink()
    corpus = unlabelled_folder(root)
    assert len(corpus.moments) == 12 == len(set(corpus.moments["video"]))
    assert corpus.moments["start"].eq(0.0).all() and corpus.moments["end"].eq(30.0).all()
    assert corpus.moments["subset"].value_counts().to_dict() == {"train": 10, "validation": 2}
    lengths = corpus.settings["windows"]
    assert lengths[0] == 3.0 and lengths[-1] == 15.0  # six rows; half of a video
    training = sorted(corpus.subset("train")["video"])
    rows = torch.cat([corpus.features[video].values for video in training])
    torch.testing.assert_close(rows.mean(0), torch.zeros(CHANNELS), atol=1e-4, rtol=0.0)
    again = unlabelled_folder(root, validation_share=0.0, shortest=1.0, longest=2.0)
    assert set(again.moments["subset"]) == {"train"} and again.settings["windows"][-1] == 2.0


def test_few_unlabelled_videos_are_all_trained_on(write: Write) -> None:
    root = write(moments(1))
    assert set(unlabelled_folder(root).moments["subset"]) == {"train"}
    for name in ("v00", "v01"):
        (root / "features" / f"{name}.npz").unlink()
    with pytest.raises(InputError, match="found features of 1 videos, wanted at least 2"):
        unlabelled_folder(root)


def test_large_features_stay_on_the_disk(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(moments(10))
    kept = folder(root)
    monkeypatch.setattr("gnnreloc.datasets.folder_features.MOST_IN_MEMORY", 2000)
    read = folder(root)
    torch.testing.assert_close(read.features["v05"].values, kept.features["v05"].values)
    (root / "features" / "v05.npz").unlink()
    assert kept.features["v05"].num_steps == ROWS
    with pytest.raises(InputError, match="'v05'"):
        read.features["v05"]


def test_the_check_of_a_folder(write: Write) -> None:
    root = write(moments(10))
    findings = check_dataset("folder", root)
    assert {found.status for found in findings} == {"present"}
    assert findings[0].detail == "30 videos, 60 moments, 10 classes"
    write(moments(3))
    assert "by video" in check_dataset("folder", root)[-1].detail
    (root / "features" / "v02.npz").unlink()
    assert check_dataset("folder", root)[0].status == "inconsistent"


def test_a_system_can_be_asked(write: Write) -> None:
    corpus = folder(write(moments(10)))
    pair = evaluation_pairs(corpus, "test")[0]
    found = create_model("training_free", timesteps=4).localize(
        corpus.features[pair.query_video].slice(*pair.query_segment),
        corpus.features[pair.reference],
        corpus.proposals[pair.reference],
    )
    assert len(found) == len(corpus.proposals[pair.reference])
