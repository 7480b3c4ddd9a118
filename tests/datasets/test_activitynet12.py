"""ActivityNet v1.2: classes, candidates, lazy features, files that are missing or wrong."""

from __future__ import annotations

import importlib
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from gnnreloc.data import Corpus, Features, evaluation_pairs
from gnnreloc.data.feature_store import HDF5FeatureStore
from gnnreloc.datasets import activitynet12
from gnnreloc.datasets.tag_list import read_tag_list
from gnnreloc.errors import InputError
from gnnreloc.evaluation.protocol import evaluate
from gnnreloc.models import create_model

# The function of the same name hides the module as an attribute of its package.
module = importlib.import_module("gnnreloc.datasets.activitynet12")

JSON, LIST, C3D = module.ANNOTATIONS.name, module.PROPOSALS.name, module.FEATURES.name
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def root(layouts: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 videos of 20 classes; never change it."""
    written: Path = layouts.write_activitynet12(tmp_path_factory.mktemp("activitynet12"))
    return written


@pytest.fixture(scope="module")
def corpus(root: Path) -> Corpus:
    return activitynet12(root)


@pytest.fixture
def changed(root: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """A copy of the root (the features linked) after a change to the database."""

    def change(edit: Change) -> Path:
        content = json.loads((root / JSON).read_text(encoding="utf-8"))
        edit(content["database"])
        (tmp_path / JSON).write_text(json.dumps(content), encoding="utf-8")
        for name in (LIST, C3D):
            (tmp_path / name).symlink_to(root / name)
        return tmp_path

    return change


def test_classes_are_split_and_the_seed_decides(corpus: Corpus, root: Path) -> None:
    classes = {name: set(corpus.classes(name)) for name in ("train", "validation", "test")}
    assert {name: len(found) for name, found in classes.items()} == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }
    assert len(set.union(*classes.values())) == 20
    assert activitynet12(root).moments.equals(corpus.moments)
    assert set(activitynet12(root, split=1).classes("test")) != classes["test"]
    # The official subsets play no part in this.
    official = {v["subset"] for v in json.loads((root / JSON).read_text())["database"].values()}
    assert official == {"training", "validation"}


def test_loading_reads_no_feature_value(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a value was read")

    with monkeypatch.context() as patch:
        patch.setattr(h5py.Dataset, "__getitem__", refuse)
        corpus = activitynet12(root)
        with pytest.raises(AssertionError, match="a value was read"):
            _ = corpus.num_channels
    assert corpus.num_channels == 500


def test_thousands_of_videos_load_without_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5200 videos of 100 classes; their groups in the file are one, under 5200 names."""
    names = [f"many{number:07d}" for number in range(5200)]
    database = {
        name: {
            "subset": "validation" if number % 3 == 0 else "training",
            "duration": 20.0,
            "annotations": [{"segment": [2.0, 8.0], "label": f"class {number % 100:02d}"}],
        }
        for number, name in enumerate(names)
    }
    (tmp_path / JSON).write_text(json.dumps({"database": database}), encoding="utf-8")
    blocks = [f"# {n}\n{name}\n1\n1\n0\n1\n1 0 0 0.1 0.5\n" for n, name in enumerate(names[::3])]
    (tmp_path / LIST).write_text("".join(blocks), encoding="utf-8")
    with h5py.File(tmp_path / C3D, "w") as file:
        file[f"v_{names[0]}/c3d_features"] = np.ones((75, 4), dtype=np.float16)
        for name in names[1:]:
            file[f"v_{name}"] = file[f"v_{names[0]}"]

    def refuse(*_: object) -> None:
        raise AssertionError("a value was read")

    with monkeypatch.context() as patch:
        patch.setattr(h5py.Dataset, "__getitem__", refuse)
        corpus = activitynet12(tmp_path)
    assert corpus.moments["video"].nunique() == len(corpus.proposals) == 5200
    assert corpus.settings["listed_videos"] == len(blocks)
    assert {name: len(corpus.classes(name)) for name in ("train", "validation", "test")} == {
        "train": 80,
        "validation": 10,
        "test": 10,
    }
    assert corpus.features[names[-1]].values.shape == (75, 4)
    torch.testing.assert_close(corpus.proposals[names[0]], torch.tensor([[2.0, 10.0]]).double())


def test_features_span_the_duration(corpus: Corpus) -> None:
    for row in corpus.moments.iloc[::10].itertuples():
        features = corpus.features[str(row.video)]
        assert features.duration == pytest.approx(row.duration, abs=1e-9)
        assert features.step == pytest.approx(8 / 30, rel=0.03)


def test_listed_candidates_are_those_of_the_list_in_seconds(corpus: Corpus, root: Path) -> None:
    listed = read_tag_list(root / LIST)
    durations = dict(zip(corpus.moments["video"], corpus.moments["duration"], strict=True))
    assert 0 < len(listed) < len(durations)
    for video, entry in listed.items():
        expected = entry.proposals * durations[video]
        torch.testing.assert_close(corpus.proposals[video], expected)
    assert corpus.settings["listed_videos"] == len(listed) == 40
    assert activitynet12(root, proposals_from="tag").settings["listed_videos"] == 0


def test_a_list_that_covers_no_validation_video_is_refused(root: Path, tmp_path: Path) -> None:
    for name in (JSON, C3D):
        (tmp_path / name).symlink_to(root / name)
    text = (root / LIST).read_text(encoding="utf-8").replace("\ninv", "\nv_inv")
    (tmp_path / LIST).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"none of the 40 official .* such as 'inv.*names 'v_inv"):
        activitynet12(tmp_path)
    assert activitynet12(tmp_path, proposals_from="tag").moments["video"].nunique() == 80


def test_own_candidates_are_learned_from_training_videos_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = HDF5FeatureStore.__getitem__

    def record(store: HDF5FeatureStore, video: str) -> Features:
        read.append(video)
        return original(store, video)

    monkeypatch.setattr(HDF5FeatureStore, "__getitem__", record)
    corpus = activitynet12(root, proposals_from="tag")
    assert not read
    video = str(corpus.subset("test")["video"].iloc[0])
    proposals = corpus.proposals[video]
    assert set(read) - {video} == set(corpus.subset("train")["video"])
    assert 1 <= len(proposals) <= 100
    assert proposals.min() >= 0 and proposals.max() <= corpus.features[video].duration + 1e-6
    # The model is there now: the next video reads itself alone.
    read.clear()
    other = str(corpus.subset("validation")["video"].iloc[0])
    assert len(corpus.proposals[other]) and set(read) == {other}


def test_unlisted_videos_have_good_candidates(corpus: Corpus, root: Path) -> None:
    pairs = evaluation_pairs(corpus, "test", queries=8, references_per_query=3)
    unlisted = [pair for pair in pairs if pair.reference not in read_tag_list(root / LIST)]
    assert unlisted
    assert evaluate(create_model("oracle"), corpus, unlisted).summary["r1"]["0.5"] >= 0.8


def test_the_features_tell_classes_apart(corpus: Corpus) -> None:
    pairs = evaluation_pairs(corpus, "test", queries=8)
    found, blind = (
        evaluate(create_model(name), corpus, pairs).summary["miou"]
        for name in ("training_free", "chance")
    )
    assert found > blind + 0.2


def test_a_video_with_classes_of_two_subsets(
    corpus: Corpus, changed: Callable[[Change], Path]
) -> None:
    test, train = corpus.classes("test")[0], corpus.classes("train")[0]
    video = str(corpus.moments.loc[corpus.moments["label"] == train, "video"].iloc[0])

    def add(database: dict[str, Any]) -> None:
        database[video]["annotations"].append({"segment": [1.0, 4.0], "label": test})

    after = activitynet12(changed(add))
    own = after.moments[after.moments["video"] == video]
    assert own[["start", "end", "label", "subset"]].values.tolist() == [[1.0, 4.0, test, "test"]]
    before = corpus.moments[corpus.moments["video"] == video]
    assert after.settings["left_out_moments"] == len(before) >= 1
    assert len(after.moments) == len(corpus.moments) - len(before) + 1


def test_bad_moments_are_dropped_with_one_warning(changed: Callable[[Change], Path]) -> None:
    def spoil(database: dict[str, Any]) -> None:
        for entry in list(database.values())[:3]:
            moment = {"segment": [5.0, 5.0], "label": entry["annotations"][0]["label"]}
            entry["annotations"].append(moment)

    with pytest.warns(UserWarning) as caught:
        activitynet12(changed(spoil))
    assert len(caught) == 1
    assert f"{JSON}: dropped 3 of" in str(caught[0].message)
    assert "start must lie before end (3)" in str(caught[0].message)


def test_unlabelled_videos_are_passed_over(
    corpus: Corpus, changed: Callable[[Change], Path]
) -> None:
    hidden = {"subset": "testing", "duration": 30.0, "annotations": []}
    after = activitynet12(changed(lambda database: database.update(hidden=hidden)))
    assert after.moments.equals(corpus.moments)


def test_videos_without_features(root: Path, tmp_path: Path, corpus: Corpus) -> None:
    for name in (JSON, LIST):
        (tmp_path / name).symlink_to(root / name)
    lost = sorted(corpus.moments["video"].unique())[:2]
    with h5py.File(root / C3D) as old, h5py.File(tmp_path / C3D, "w") as new:
        for name in old:
            if name.removeprefix("v_") not in lost:
                old.copy(name, new)
    with pytest.raises(InputError) as caught:
        activitynet12(tmp_path)
    message = str(caught.value)
    assert str(tmp_path / C3D) in message and "activity-net.org" in message
    assert "2 of 80 videos" in message and any(repr(video) in message for video in lost)
    with pytest.warns(UserWarning, match=r"2 of 80 videos have none.*dropped") as warned:
        smaller = activitynet12(tmp_path, on_missing="drop")
    assert len(warned) == 1
    assert set(smaller.moments["video"]) == set(corpus.moments["video"]) - set(lost)


def test_missing_files_say_where_from_and_where_to(root: Path, tmp_path: Path) -> None:
    for name, source in ((JSON, "activity-net.org"), (LIST, "github.com"), (C3D, "activity-net")):
        with pytest.raises(InputError) as caught:
            activitynet12(tmp_path)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / name} is missing: get it from http")
        assert source in message
        (tmp_path / name).symlink_to(root / name)
    assert len(activitynet12(tmp_path).moments) > 80
    # The list is needed only where it is asked for; the annotations may have their official name.
    (tmp_path / LIST).unlink()
    (tmp_path / JSON).rename(tmp_path / "activity_net.v1-2.min.json")
    assert len(activitynet12(tmp_path, proposals_from="tag").moments) > 80


def test_features_of_ones_own(root: Path, tmp_path: Path, corpus: Corpus) -> None:
    for name in (JSON, LIST):
        (tmp_path / name).symlink_to(root / name)
    folder = tmp_path / "features"
    folder.mkdir()
    for video in corpus.moments["video"].unique():
        np.save(folder / f"{video}.npy", np.zeros((20, 6), dtype=np.float32))
    assert activitynet12(tmp_path).num_channels == 6
    assert activitynet12(tmp_path, features=root / C3D).num_channels == 500
    (tmp_path / "features.h5").symlink_to(root / C3D)
    with pytest.raises(InputError, match=r"found features\.h5 and features, wanted one"):
        activitynet12(tmp_path)
    with pytest.raises(InputError, match=r"nowhere\.h5 is missing"):
        activitynet12(tmp_path, features="nowhere.h5")


@pytest.mark.parametrize(
    ("edit", "culprit"),
    [
        (lambda d: d["inv00000003"].pop("duration"), "video 'inv00000003'"),
        (lambda d: d["inv00000003"].update(annotations=3), "video 'inv00000003'"),
        (lambda d: d["inv00000003"]["annotations"][0].update(segment=[1]), "video 'inv00000003'"),
        (lambda d: d["inv00000003"]["annotations"][0].update(label=["a"]), "video 'inv00000003'"),
        (lambda d: d.update(inv00000003=None), "video 'inv00000003'"),
        (lambda d: [d.pop(v) for v in list(d)[9:]], "found 9 classes, wanted 100"),
    ],
)
def test_wrong_annotations_are_named(
    changed: Callable[[Change], Path], edit: Change, culprit: str
) -> None:
    with pytest.raises(InputError, match=culprit):
        activitynet12(changed(edit))


def test_wrong_options_are_named(root: Path) -> None:
    with pytest.raises(InputError, match="split must be at least 0, got -1"):
        activitynet12(root, split=-1)
    wrong: Any = "none"
    with pytest.raises(InputError, match="proposals_from: found 'none'"):
        activitynet12(root, proposals_from=wrong)
    with pytest.raises(InputError, match="on_missing: found 'none'"):
        activitynet12(root, on_missing=wrong)


def test_a_corpus_goes_to_another_process(corpus: Corpus) -> None:
    _ = corpus.num_channels
    copy = pickle.loads(pickle.dumps(corpus))
    video = str(corpus.subset("test")["video"].iloc[0])
    assert torch.equal(copy.features[video].values, corpus.features[video].values)
    assert torch.equal(copy.proposals[video], corpus.proposals[video])


def test_real_annotations(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    folder = real_data("activitynet12")
    table = module.read_annotations(folder)
    assert table.groupby("official")["video"].nunique().to_dict() == {
        "training": 4819,
        "validation": 2383,
    }
    assert len(table) == 10_733 and table["label"].nunique() == 100
    bad = (table["end"] <= table["start"]) | (table["end"] > table["duration"] + 1)
    assert bad.sum() == 10
    # All of it as a corpus, with features that are there but empty.
    with h5py.File(tmp_path / C3D, "w") as file:
        for video in table["video"].unique():
            file.create_dataset(f"v_{video}/c3d_features", shape=(4, 500), dtype="f4")
    with pytest.warns(UserWarning, match=r"dropped 44 of 10733 .*before end \(10\)") as caught:
        corpus = activitynet12(folder, features=tmp_path / C3D)
    assert len(caught) == 1
    sizes = {name: len(corpus.classes(name)) for name in ("train", "validation", "test")}
    assert sizes == {"train": 80, "validation": 10, "test": 10}
    assert len(corpus.moments) == 10_733 - 44 - corpus.settings["left_out_moments"]
    assert 0 < corpus.settings["left_out_moments"] < 30


def test_real_annotations_with_made_features(
    real_data: Callable[[str], Path], layouts: ModuleType, tmp_path: Path
) -> None:
    root = layouts.write_activitynet12(tmp_path, real_data("activitynet12"), classes=10, videos=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        corpus = activitynet12(root)
    assert corpus.moments["label"].nunique() == 10
    pairs = evaluation_pairs(corpus, "test", queries=4)
    assert evaluate(create_model("oracle"), corpus, pairs).summary["miou"] > 0.4
