"""Stores of many videos: one contract for all back ends, and what is special to each."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from gnnreloc.data.feature_files import write_features
from gnnreloc.data.feature_store import (
    DirectoryFeatureStore,
    FeatureStore,
    HDF5FeatureStore,
    InMemoryFeatureStore,
    MissingVideoError,
    open_features,
)
from gnnreloc.data.features import Features
from gnnreloc.errors import InputError

VIDEOS = {
    "a": torch.tensor([[0.0, 1.0], [2.0, 3.0]]),
    "b.c": torch.tensor([[4.0, 5.0]]),
    "-d": torch.tensor([[6.0, 7.0], [8.0, 9.0], [10.0, 11.0]]),
}


def in_memory(folder: Path) -> FeatureStore:
    return InMemoryFeatureStore({name: Features(rows, 0.5) for name, rows in VIDEOS.items()})


def directory(folder: Path) -> FeatureStore:
    for (name, rows), suffix in zip(VIDEOS.items(), (".npy", ".npz", ".safetensors"), strict=True):
        write_features(folder / f"{name}{suffix}", Features(rows, 0.5))
    return DirectoryFeatureStore(folder, step=0.5)


def hdf5(folder: Path) -> FeatureStore:
    with h5py.File(folder / "c3d.h5", "w") as file:
        for name, rows in VIDEOS.items():
            file[f"v_{name}/c3d_features"] = rows.numpy()
        file["about"] = 1
    return HDF5FeatureStore(folder / "c3d.h5", step=0.5)


STORES: list[Callable[[Path], FeatureStore]] = [in_memory, directory, hdf5]


@pytest.mark.parametrize("build", STORES)
def test_every_store_is_a_mapping_of_features(build, tmp_path):
    store = build(tmp_path)
    assert set(store) == set(VIDEOS)
    assert len(store) == 3
    for name, rows in VIDEOS.items():
        assert name in store
        assert torch.equal(store[name].values, rows)
        assert store[name].step == 0.5
    assert type(store).__name__ in repr(store)


@pytest.mark.parametrize("build", STORES)
@pytest.mark.parametrize("name", ["nobody", "", "..", "../a", "/a", "sub/../a", "a\0", "sub\\a"])
def test_missing_video_and_paths_for_names(build, name, tmp_path):
    (tmp_path / "store" / "sub").mkdir(parents=True)
    np.save(tmp_path / "a.npy", VIDEOS["a"].numpy())
    store = build(tmp_path / "store")
    assert name not in store
    assert store.get(name) is None
    with pytest.raises(MissingVideoError) as caught:
        store[name]
    assert str(caught.value).startswith(f"video {name!r}")
    assert isinstance(caught.value, (InputError, KeyError))


@pytest.mark.parametrize("build", STORES)
def test_store_survives_pickling_after_use(build, tmp_path):
    store = build(tmp_path)
    assert store["a"].num_steps == 2
    copy = pickle.loads(pickle.dumps(store))
    assert torch.equal(copy["-d"].values, VIDEOS["-d"])


class Reader(Dataset[torch.Tensor]):
    """Reads the videos of a store, many times over."""

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self.names = sorted(store) * 8

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.store[self.names[index]].values

    def __len__(self) -> int:
        return len(self.names)


# Since Python 3.12 a fork of a process with threads warns; that such a fork works is the point.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.parametrize("build", STORES)
def test_store_works_in_forked_workers(build, tmp_path):
    store = build(tmp_path)
    reader = Reader(store)
    assert store["a"].num_steps == 2  # the workers inherit a file that is open
    loader = DataLoader(reader, batch_size=None, num_workers=2, multiprocessing_context="fork")
    for name, rows in zip(reader.names, loader, strict=True):
        assert torch.equal(rows, VIDEOS[name])
    assert store["a"].num_steps == 2


def test_in_memory_checks_at_once():
    good = Features(torch.zeros(2, 3), 1.0)
    with pytest.raises(InputError, match="video 'wide': found 4 channels per row, wanted 3"):
        InMemoryFeatureStore({"v": good, "wide": Features(torch.zeros(2, 4), 1.0)})
    with pytest.raises(InputError, match="video 'broken': row 0"):
        InMemoryFeatureStore({"v": good, "broken": Features(torch.full((2, 3), torch.nan), 1.0)})
    assert len(InMemoryFeatureStore({})) == 0


def write_bad(folder: Path, values: np.ndarray) -> list[FeatureStore]:
    """The same bad video in a folder and in an HDF5 file."""
    np.save(folder / "bad.npy", values)
    with h5py.File(folder / "c3d.h5", "w") as file:
        file["v_bad/c3d_features"] = values
    return [
        DirectoryFeatureStore(folder, step=1.0, channels=2),
        HDF5FeatureStore(folder / "c3d.h5", step=1.0, channels=2),
    ]


@pytest.mark.parametrize(
    ("values", "culprit"),
    [
        (np.array([[0.0, np.nan]]), "nan"),
        (np.zeros((3, 4)), "wanted 2"),
        (np.zeros((0, 2)), "empty"),
        (np.zeros(2), "shape"),
        (np.array([[b"x", b"y"]]), "type"),
    ],
)
def test_unusable_values_name_the_video_when_they_are_read(values, culprit, tmp_path):
    for store in write_bad(tmp_path, values):
        assert "bad" in store
        with pytest.raises(InputError, match=f"video 'bad': .*{culprit}"):
            store["bad"]


def test_directory_metadata_travels_and_the_file_wins(tmp_path):
    write_features(tmp_path / "a.npz", Features(VIDEOS["a"], 2.0, 1.0, {"fps": 30}))
    write_features(tmp_path / "b.npy", Features(VIDEOS["a"], 9.0))
    shared = {"step": 0.25, "offset": {"b": 3.0}, "fps": 25, "backbone": "c3d"}
    (tmp_path / "metadata.json").write_text(json.dumps(shared))
    store = DirectoryFeatureStore(tmp_path, step=7.0, durations={"a": 5.0})
    a, b = store["a"], store["b"]
    assert (a.step, a.offset, a.metadata) == (2.0, 1.0, {"fps": 30, "backbone": "c3d"})
    assert (b.step, b.offset, b.metadata) == (0.25, 3.0, {"fps": 25, "backbone": "c3d"})
    assert list(store) == ["a", "b"]


def test_directory_step_from_argument_or_duration(tmp_path):
    np.save(tmp_path / "a.npy", VIDEOS["a"].numpy())
    np.save(tmp_path / "b.npy", VIDEOS["a"].numpy())
    store = DirectoryFeatureStore(tmp_path, step={"a": 0.5}, durations={"a": 1.0, "b": 8.0})
    assert (store["a"].step, store["b"].step) == (0.5, 4.0)
    with pytest.raises(InputError, match=r"a.npy: found no step for video 'a'.*metadata.json"):
        DirectoryFeatureStore(tmp_path)["a"]


def test_directory_checks_sums(tmp_path):
    path = tmp_path / "a.npz"
    write_features(path, Features(VIDEOS["a"], 1.0))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "metadata.json").write_text(json.dumps({"checksum": {"a": digest}}))
    assert DirectoryFeatureStore(tmp_path)["a"].metadata == {"checksum": digest}
    write_features(path, Features(VIDEOS["a"] + 1, 1.0))
    with pytest.raises(InputError, match=f"a.npz: found sha256 .*wanted {digest}"):
        DirectoryFeatureStore(tmp_path)["a"]


def test_directory_with_two_files_of_one_video(tmp_path):
    write_features(tmp_path / "a.npz", Features(VIDEOS["a"], 1.0))
    write_features(tmp_path / "a.npy", Features(VIDEOS["a"], 1.0))
    store = DirectoryFeatureStore(tmp_path)
    assert list(store) == ["a"]
    with pytest.raises(InputError, match="video 'a': found a.npz and a.npy"):
        store["a"]


def test_directory_ignores_other_and_hidden_files(tmp_path):
    for name in ("._a.npy", "notes.txt", "metadata.json", "a.npy.tmp"):
        (tmp_path / name).write_text("{}")
    np.save(tmp_path / "a.npy", VIDEOS["a"].numpy())
    assert list(DirectoryFeatureStore(tmp_path)) == ["a"]


@pytest.mark.parametrize("content", ["[]", "{", '{"checksum": "x"}'])
def test_directory_with_unusable_metadata(tmp_path, content):
    (tmp_path / "metadata.json").write_text(content)
    with pytest.raises(InputError, match="metadata.json"):
        DirectoryFeatureStore(tmp_path)


def test_hdf5_attributes_are_metadata(tmp_path):
    with h5py.File(tmp_path / "c3d.h5", "w") as file:
        file["v_a/c3d_features"] = VIDEOS["a"].numpy()
        file["v_b/c3d_features"] = VIDEOS["a"].numpy()
        file["v_a/c3d_features"].attrs["step"] = 0.25
        file["v_a/c3d_features"].attrs["crop"] = np.array([1, 2])
        file.attrs.update({"step": 0.5, "backbone": np.bytes_("c3d")})
    store = HDF5FeatureStore(tmp_path / "c3d.h5", step=7.0)
    assert (store["a"].step, store["b"].step) == (0.25, 0.5)
    assert store["a"].metadata == {"crop": [1, 2], "backbone": "c3d"}


def test_hdf5_groups_without_the_prefix_are_found_too(tmp_path):
    with h5py.File(tmp_path / "c3d.h5", "w") as file:
        file["v_a/c3d_features"] = VIDEOS["a"].numpy()
        file["b/c3d_features"] = VIDEOS["b.c"].numpy()
        file["about"] = 1
    store = HDF5FeatureStore(tmp_path / "c3d.h5", step=1.0)
    assert sorted(store) == ["a", "b"] and "about" not in store
    assert store["a"].num_steps == 2 and store["b"].num_steps == 1


def test_hdf5_other_names_and_step_from_duration(tmp_path):
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["a/rgb"] = VIDEOS["-d"].numpy()
    store = open_features(
        tmp_path / "other.hdf5", durations={"a": 6.0}, dataset="rgb", prefix="", channels=2
    )
    assert list(store) == ["a"]
    assert store["a"].step == 2.0


def test_hdf5_group_without_the_data_set(tmp_path):
    with h5py.File(tmp_path / "c3d.h5", "w") as file:
        file["v_a/rgb"] = VIDEOS["a"].numpy()
    store = HDF5FeatureStore(tmp_path / "c3d.h5", step=1.0)
    with pytest.raises(
        InputError, match=r"video 'a': found no data set 'v_a/c3d_features' in .*h5"
    ):
        store["a"]


def test_hdf5_missing_and_damaged_files(tmp_path):
    path = tmp_path / "c3d.h5"
    with pytest.raises(InputError, match="c3d.h5: found no such HDF5 file"):
        HDF5FeatureStore(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(InputError, match="c3d.h5: cannot be read as HDF5"):
        HDF5FeatureStore(path)["a"]


def test_hdf5_damaged_rows(tmp_path):
    path = tmp_path / "c3d.h5"
    rows = np.random.default_rng(0).random((64, 32))
    with h5py.File(path, "w") as file:
        file.create_dataset("v_a/c3d_features", data=rows, chunks=(64, 32), compression="gzip")
        chunk = file["v_a/c3d_features"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"video 'a': .*c3d.h5 is damaged"):
        HDF5FeatureStore(path, step=1.0)["a"]


def test_hdf5_opens_again_after_close(tmp_path):
    store = hdf5(tmp_path)
    assert isinstance(store, HDF5FeatureStore)
    assert len(store) == 3
    store.close()
    store.close()
    assert len(store) == 3


def test_hdf5_opens_once_in_each_process(tmp_path, monkeypatch):
    store, opened, open_file = hdf5(tmp_path), [], h5py.File

    def counting(path: Path, *args: object, **options: object) -> h5py.File:
        opened.append(path)
        return open_file(path, *args, **options)

    monkeypatch.setattr(h5py, "File", counting)
    assert len(store) == 3
    assert "a" in store
    assert opened == [tmp_path / "c3d.h5"]
    monkeypatch.setattr("os.getpid", lambda: -7)
    assert torch.equal(store["a"].values, VIDEOS["a"])
    assert len(opened) == 2


def test_open_features_picks_the_store(tmp_path):
    hdf5(tmp_path)
    directory(tmp_path)
    assert isinstance(open_features(tmp_path / "c3d.h5"), HDF5FeatureStore)
    assert isinstance(open_features(str(tmp_path), step=1.0), DirectoryFeatureStore)
    with pytest.raises(InputError, match="a.npy: found suffix '.npy'"):
        open_features(tmp_path / "a.npy")
    with pytest.raises(InputError, match="nowhere: found nothing"):
        open_features(tmp_path / "nowhere")
    with pytest.raises(InputError, match="nowhere.h5: found no such"):
        open_features(tmp_path / "nowhere.h5")
    with pytest.raises(InputError, match="nowhere: found no such folder"):
        DirectoryFeatureStore(tmp_path / "nowhere")


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="needs /proc for the memory")
def test_reading_many_videos_takes_no_more_memory(tmp_path):
    values = np.random.default_rng(0).normal(size=(374, 500)).astype(np.float16)
    with h5py.File(tmp_path / "c3d.hdf5", "w") as file:
        data = file.create_dataset("v_0/c3d_features", data=values)
        for number in range(1, 600):
            file[f"v_{number}/c3d_features"] = data
    store = HDF5FeatureStore(tmp_path / "c3d.hdf5", step=0.27)

    def read(first, last):
        for number in range(first, last):
            assert store[str(number)].num_steps == 374
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    few = read(0, 100)
    # 500 more of 0.75 MB each: a store that kept what it read would grow by 370 MB.
    assert read(100, 600) - few < 60e6
