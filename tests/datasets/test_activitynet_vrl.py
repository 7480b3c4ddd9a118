"""Feng et al.'s splits: cut-outs, units, candidates, wrong files, and chance as published."""

from __future__ import annotations

import importlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from gnnreloc.data import Corpus, Features, PairSampler, evaluation_pairs
from gnnreloc.data.overlap import best_overlap
from gnnreloc.datasets import activitynet_vrl
from gnnreloc.datasets.cut_out_store import CutOut, CutOutStore
from gnnreloc.errors import InputError
from gnnreloc.evaluation.metrics import recall_at_k
from gnnreloc.evaluation.protocol import evaluate
from gnnreloc.models import create_model

# The function of the same name hides the module as an attribute of its package.
module = importlib.import_module("gnnreloc.datasets.activitynet_vrl")

C3D = module.FEATURES.name
UNIT = 16 / 30


@pytest.fixture(scope="module")
def root(layouts: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48, 16 and 16 items; never change it."""
    written: Path = layouts.write_activitynet_vrl(tmp_path_factory.mktemp("vrl"))
    return written


@pytest.fixture(scope="module")
def corpus(root: Path) -> Corpus:
    return activitynet_vrl(root)


@pytest.fixture
def changed(root: Path, tmp_path: Path) -> Callable[[Callable[[list[Any]], object]], Path]:
    """A copy of the root (the features linked) after a change to the test items."""

    def change(edit: Callable[[list[Any]], object]) -> Path:
        for name in ("train", "val", "test"):
            items = json.loads((root / f"{name}.json").read_text(encoding="utf-8"))
            if name == "test":
                edit(items)
            (tmp_path / f"{name}.json").write_text(json.dumps(items), encoding="utf-8")
        (tmp_path / C3D).symlink_to(root / C3D)
        return tmp_path

    return change


def test_an_item_is_a_video_of_its_own(corpus: Corpus, root: Path) -> None:
    items = json.loads((root / "test.json").read_text(encoding="utf-8"))
    table = corpus.moments[corpus.moments["subset"] == "test"]
    assert len(table) == len(items) == 16
    for item, row in zip(items, table.itertuples(), strict=True):
        (first, beyond), (start, end) = item["location"], item["groundtruth"]
        assert row.video == f"{item['id']}_{first}_{beyond}" and row.clip == item["id"]
        assert row.label == f"class-{item['label']}"
        assert (row.start, row.end) == pytest.approx((start * UNIT, end * UNIT))
        assert row.duration == pytest.approx((beyond - first) * UNIT)


def test_features_are_every_second_row_of_the_cut_out(corpus: Corpus, root: Path) -> None:
    with h5py.File(root / C3D) as file:
        for row in corpus.moments.itertuples():
            _, first, beyond = str(row.video).rsplit("_", 2)
            kept = file[f"v_{row.clip}/c3d_features"][()][::2]
            features = corpus.features[str(row.video)]
            np.testing.assert_array_equal(features.values, kept[int(first) : int(beyond)])
            assert features.duration == pytest.approx(row.duration)


def test_only_the_rows_of_the_cut_out_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c3d.h5"
    with h5py.File(path, "w") as file:
        file["v_long/c3d_features"] = np.arange(2001.0)[:, None].repeat(3, axis=1)
    read: list[int] = []
    original = h5py.Dataset.__getitem__

    def record(data: h5py.Dataset, key: Any, *rest: Any) -> Any:
        found = original(data, key, *rest)
        read.append(np.asarray(found).shape[0])
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", record)
    places = {"a": CutOut("long", 10, 14), "b": CutOut("long", 1000, 1001)}
    store = CutOutStore(path, places, step=UNIT)
    assert list(store) == ["a", "b"] and len(store) == 2 and not read
    assert store["a"].values[:, 0].tolist() == [20.0, 22.0, 24.0, 26.0]
    assert store["b"].values[:, 0].tolist() == [2000.0]  # the last row of the file
    assert read == [7, 1]
    whole = CutOutStore(path, {"a": CutOut("long", 10, 14)}, step=UNIT, rows_per_unit=1)
    assert whole["a"].values[:, 0].tolist() == [10.0, 11.0, 12.0, 13.0]


def test_cut_outs_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "c3d.h5"
    with h5py.File(path, "w") as file:
        file["v_long/c3d_features"] = np.zeros((9, 3))
        file.create_group("v_empty")
    places = {
        "short": CutOut("long", 2, 6),
        "gone": CutOut("lost", 0, 2),
        "none": CutOut("empty", 0, 2),
        "good": CutOut("long", 2, 5),
    }
    store = CutOutStore(path, places, step=UNIT)
    assert [video for video in store] == ["short", "none", "good"]
    assert "gone" not in store and "long" not in store and 3 not in store
    assert store["good"].num_steps == 3
    for video, culprit in (
        ("short", "v_long/c3d_features has 9 rows, that is 5 units, wanted 6"),
        ("gone", "found no data set 'v_lost/c3d_features'"),
        ("none", "found no data set 'v_empty/c3d_features'"),
        ("long", "'long' is not among 4 cut-outs"),
    ):
        with pytest.raises(InputError, match=culprit):
            _ = store[video]
    with pytest.raises(InputError, match="rows_per_unit must be at least 1, got 0"):
        CutOutStore(path, places, step=UNIT, rows_per_unit=0)


def test_loading_reads_no_feature_value(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a value was read")

    with monkeypatch.context() as patch:
        patch.setattr(h5py.Dataset, "__getitem__", refuse)
        corpus = activitynet_vrl(root)
        assert len(corpus.proposals[str(corpus.moments["video"].iloc[0])])
    assert corpus.num_channels == 500


def test_a_query_never_meets_its_own_recording(
    changed: Callable[[Callable[[list[Any]], object]], Path],
) -> None:
    def cut_again(items: list[Any]) -> None:
        # The same recording and class once more, from other units.
        item = items[0]
        first, beyond = item["location"]
        start, end = item["groundtruth"]
        again = {"location": [first + 1, beyond], "groundtruth": [start - 1, end - 1]}
        items.append({**item, **again})

    corpus = activitynet_vrl(changed(cut_again))
    sampler = PairSampler(corpus, "test")
    twice = sampler.moments["clip"].duplicated(keep=False)
    assert twice.sum() == 2
    names = set(sampler.moments.loc[twice, "video"])
    for row in np.flatnonzero(twice):
        assert sampler.references(int(row)) and not names & set(sampler.references(int(row)))


def test_systems_work_on_it(corpus: Corpus) -> None:
    pairs = evaluation_pairs(corpus, "test", queries=8)
    found = {
        name: evaluate(create_model(name), corpus, pairs).summary
        for name in ("oracle", "training_free", "chance")
    }
    assert found["oracle"]["r1"]["0.6"] == 1.0
    assert found["training_free"]["miou"] > found["chance"]["miou"] + 0.2


def test_a_corpus_goes_to_another_process(corpus: Corpus) -> None:
    video = str(corpus.moments["video"].iloc[0])
    values = corpus.features[video].values
    copy = pickle.loads(pickle.dumps(corpus))
    assert torch.equal(copy.features[video].values, values)
    assert torch.equal(copy.proposals[video], corpus.proposals[video])


@pytest.mark.parametrize(
    "edit",
    [
        lambda item: item.pop("label"),
        lambda item: item.update(location=[5]),
        lambda item: item.update(location=[30, 30]),
        lambda item: item.update(location=[-1, 59]),
        lambda item: item.update(groundtruth=[4, 4]),
        lambda item: item.update(groundtruth=[4, 61]),
        lambda item: item.update(groundtruth="4"),
    ],
)
def test_wrong_items_are_named(
    changed: Callable[[Callable[[list[Any]], object]], Path],
    edit: Callable[[dict[str, Any]], object],
) -> None:
    with pytest.raises(InputError, match=r"test\.json: item 3: wanted id, label, location"):
        activitynet_vrl(changed(lambda items: edit(items[2])))


def test_missing_files_and_wrong_options(root: Path, tmp_path: Path, corpus: Corpus) -> None:
    with pytest.raises(InputError, match="split must be 0, got 1"):
        activitynet_vrl(root, split=1)
    with pytest.raises(InputError, match="found a folder, wanted an HDF5 file"):
        activitynet_vrl(root, features=tmp_path)
    for name in ("train.json", "val.json", "test.json", C3D):
        with pytest.raises(InputError) as caught:
            activitynet_vrl(tmp_path)
        assert str(caught.value).startswith(f"{tmp_path / name} is missing: get it from http")
        (tmp_path / name).symlink_to(root / name)
    assert activitynet_vrl(tmp_path).moments.equals(corpus.moments)
    (tmp_path / C3D).unlink()
    with h5py.File(root / C3D) as old, h5py.File(tmp_path / C3D, "w") as new:
        for name in list(old)[1:]:
            old.copy(name, new)
        lost = list(old)[0].removeprefix("v_")
    with pytest.raises(InputError, match=f"{C3D}: found no features of video '{lost}' \\(1 of 80"):
        activitynet_vrl(tmp_path)
    with pytest.warns(UserWarning, match="1 of 80 videos"):
        assert len(activitynet_vrl(tmp_path, on_missing="drop").moments) == 79


def test_real_items(real_data: Callable[[str], Path]) -> None:
    table = module.read_items(real_data("activitynet_vrl"))
    by_subset = table.groupby("subset")
    assert by_subset.size().to_dict() == {"train": 7593, "validation": 829, "test": 978}
    classes = by_subset["label"].unique()
    assert classes.map(len).to_dict() == {"train": 160, "validation": 20, "test": 20}
    assert table["label"].nunique() == 200 and not table["video"].duplicated().any()
    assert table.groupby("clip")["subset"].nunique().max() == 1


def test_chance_on_the_real_test_items(real_data: Callable[[str], Path]) -> None:
    table = module.read_items(real_data("activitynet_vrl"))
    chance = create_model("chance", seed=0)
    overlaps = []
    for row in table[table["subset"] == "test"].itertuples():
        # Chance looks at the duration alone.
        reference = Features(torch.zeros(1, 1), step=float(row.duration))
        target = torch.tensor([[row.start, row.end]], dtype=torch.float64)
        for _ in range(5):
            guess = chance.localize(reference, reference).segments
            overlaps += list(best_overlap(guess, target).split(1))
    assert len(overlaps) == 978 * 25
    found = [recall_at_k(overlaps, 1, threshold) for threshold in (0.5, 0.6, 0.7, 0.8, 0.9)]
    assert found == pytest.approx([0.156, 0.101, 0.058, 0.026, 0.009], abs=0.01)


def test_candidates_of_the_real_items(real_data: Callable[[str], Path]) -> None:
    table = module.read_items(real_data("activitynet_vrl"))
    columns = (table[name].tolist() for name in ("video", "clip", "first", "beyond"))
    windows = module._Windows({n: CutOut(*place) for n, *place in zip(*columns, strict=True)})
    overlaps = [
        best_overlap(windows(str(row.video)), torch.tensor([[row.start, row.end]])).amax().view(1)
        for row in table[table["subset"] == "validation"].itertuples()
    ]
    assert recall_at_k(overlaps, 1, 0.5) > 0.97 and recall_at_k(overlaps, 1, 0.7) > 0.95


def test_real_items_with_made_features(
    real_data: Callable[[str], Path], layouts: ModuleType, tmp_path: Path
) -> None:
    real = real_data("activitynet_vrl")
    corpus = activitynet_vrl(layouts.write_activitynet_vrl(tmp_path, real, classes=6, items=3))
    assert corpus.moments.groupby("subset").size().to_dict() == {
        "train": 18,
        "validation": 6,
        "test": 6,
    }
    pairs = evaluation_pairs(corpus, "test", queries=6)
    assert evaluate(create_model("oracle"), corpus, pairs).summary["r1"]["0.5"] == 1.0
