"""One file for one video: round trips, atomic writing, files that must be refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnreloc.data.feature_files import (
    FEATURE_SUFFIXES,
    build_features,
    place_rows,
    read_feature_file,
    read_feature_header,
    read_json_object,
    write_features,
)
from gnnreloc.data.features import Features
from gnnreloc.errors import InputError

VALUES = torch.tensor([[0.0, 1.5], [-2.0, 3.0], [4.0, 5.0]])


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_round_trip_keeps_values_and_metadata(tmp_path, suffix):
    metadata = {
        "backbone": "c3d",
        "fps": 30,
        "layer": "6",
        "crop": [1, 2],
        "note": "nul",
        "x": None,
    }
    path = tmp_path / "new" / f"v.1{suffix}"
    write_features(path, Features(VALUES.t(), 0.1, 2.5, metadata))
    values, found = read_feature_file(path)
    assert torch.equal(torch.as_tensor(values), VALUES.t())
    assert found == {**metadata, "step": 0.1, "offset": 2.5}


def test_npy_keeps_the_rows_alone(tmp_path):
    write_features(tmp_path / "v.npy", Features(VALUES, 0.1))
    assert np.array_equal(np.load(tmp_path / "v.npy"), VALUES.numpy())
    assert read_feature_file(tmp_path / "v.npy")[1] == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda child: st.lists(child, max_size=2) | st.dictionaries(st.text(), child, max_size=2),
    max_leaves=4,
)
NAMES = st.text("abcdef", min_size=1)  # none of these words is "step", "offset" or "format"


@given(st.dictionaries(NAMES, JSON, max_size=3))
@settings(max_examples=40, deadline=None)
def test_header_of_safetensors_gives_any_metadata_back(tmp_path_factory, metadata):
    path = tmp_path_factory.mktemp("files") / "v.safetensors"
    write_features(path, Features(VALUES, 1.0, metadata=metadata))
    assert read_feature_file(path)[1] == {**metadata, "step": 1.0, "offset": 0.0}


def test_header_written_by_others_is_read(tmp_path):
    path = tmp_path / "v.safetensors"
    header = {"format": "pt", "step": "0.25", "backbone": "c3d fc6"}
    path.write_bytes(safetensors.torch.save({"features": VALUES.half()}, header))
    values, metadata = read_feature_file(path)
    assert values.dtype == torch.float16
    assert metadata == {"step": 0.25, "backbone": "c3d fc6"}


@pytest.mark.parametrize("suffix", FEATURE_SUFFIXES)
def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"v{suffix}"
    write_features(path, Features(VALUES, 1.0))
    old = path.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_features(path, Features(VALUES + 1, 1.0))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_write_replaces_the_old_file(tmp_path):
    for level in (0.0, 7.0):
        write_features(tmp_path / "v.npz", Features(torch.full((2, 2), level), 1.0))
    assert float(read_feature_file(tmp_path / "v.npz")[0][0, 0]) == 7.0
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "metadata", "culprit"),
    [("v.txt", {}, "suffix '.txt'"), ("v.npz", {"x": object()}, "does not fit into JSON")],
)
def test_write_refuses(tmp_path, name, metadata, culprit):
    with pytest.raises(InputError, match=f"{name}: .*{culprit}"):
        write_features(tmp_path / name, Features(VALUES, 1.0, metadata=metadata))
    assert not list(tmp_path.iterdir())


def test_pickled_arrays_are_never_loaded(tmp_path):
    objects = np.array([[{"a": 1}]], dtype=object)
    np.save(tmp_path / "v.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "v.npz", features=objects)
    objects.dump(tmp_path / "w.npy")
    for name in ("v.npy", "v.npz", "w.npy"):
        with pytest.raises(InputError, match=f"{name}: .*allow_pickle="):
            read_feature_file(tmp_path / name)


@pytest.mark.parametrize("suffix", FEATURE_SUFFIXES)
def test_damaged_or_missing_file_is_named(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    write_features(path, Features(torch.randn(50, 20), 1.0))
    whole = path.read_bytes()
    for content in (b"", b"rubbish", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"v{suffix}: cannot be read"):
            read_feature_file(path)
    path.unlink()
    with pytest.raises(InputError, match=f"v{suffix}: cannot be read"):
        read_feature_file(path)


def test_missing_entry_is_named_with_what_is_there(tmp_path):
    np.savez(tmp_path / "v.npz", rgb=VALUES.numpy(), flow=VALUES.numpy())
    safetensors.torch.save_file({"rgb": VALUES}, tmp_path / "v.safetensors")
    with pytest.raises(InputError, match=r"v.npz: found entries \['flow', 'rgb'\]"):
        read_feature_file(tmp_path / "v.npz")
    with pytest.raises(InputError, match=r"v.safetensors: found entries \['rgb'\]"):
        read_feature_file(tmp_path / "v.safetensors")


@pytest.mark.parametrize("document", ["[1]", "{"])
def test_unusable_metadata_of_npz(tmp_path, document):
    np.savez(tmp_path / "v.npz", features=VALUES.numpy(), metadata=np.array(document))
    with pytest.raises(InputError, match="v.npz"):
        read_feature_file(tmp_path / "v.npz")


def test_json_object(tmp_path):
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps({"step": 1}), encoding="utf-8-sig")
    assert read_json_object(path) == {"step": 1}
    for content in ("[]", "{"):
        path.write_text(content)
        with pytest.raises(InputError, match="metadata.json"):
            read_json_object(path)


@pytest.mark.parametrize(
    ("given", "durations", "step"),
    [
        (({"step": 0.1}, {"step": 0.2}), {"v": 0.45}, 0.1),
        (({}, {"step": 0.2}), {"v": 0.45}, 0.2),
        (({"step": {"w": 0.1}}, {"step": {"v": "0.2"}}), None, 0.2),
        (({"step": None},), {"v": 9.0}, 3.0),
        (({"offset": 3.0},), {"v": 9.0}, 2.0),
    ],
)
def test_first_place_that_gives_the_step_counts(tmp_path, given, durations, step):
    features = build_features(VALUES, "v", tmp_path, given, durations)
    assert features.step == step


def test_metadata_of_the_most_trusted_place_wins(tmp_path):
    given = ({"fps": 30, "step": 1.0}, {"fps": 25, "backbone": "c3d", "offset": {"v": 4}})
    features = build_features(VALUES, "v", tmp_path, given)
    assert features.metadata == {"fps": 30, "backbone": "c3d"}
    assert features.offset == 4.0


@pytest.mark.parametrize(
    ("given", "durations", "culprit"),
    [
        ({}, None, "no step .* pass step= or durations="),
        ({"step": {"w": 1.0}}, {"w": 1.0}, "no step"),
        ({"step": "fast"}, None, "step 'fast'"),
        ({"step": [1]}, None, r"step \[1\]"),
        ({"step": -1.0}, None, "step -1.0"),
        ({"step": 1.0, "offset": "nan"}, None, "offset nan"),
        ({"offset": 5.0}, {"v": 2.0}, "step -1.0"),
        ({"step": 16}, {"v": 9.0}, "3 rows of 16 s .* end at 48 s, wanted about 9 s"),
        ({"step": 3.0, "offset": 90}, {"v": 9.0}, "from 90 s on, which end at 99 s, wanted about"),
        ({"step": 1e-3}, {"v": 9.0}, "end at 0.003 s, wanted about 9 s"),
    ],
)
def test_unusable_timing_names_file_and_video(tmp_path, given, durations, culprit):
    with pytest.raises(InputError, match=f"c3d.h5: .*{culprit}") as caught:
        build_features(VALUES, "v", tmp_path / "c3d.h5", [given], durations)
    assert "'v'" in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "step", "good"),
    [
        (110, 1.0, True),  # a tenth of 100 s
        (111, 1.0, False),
        (90, 1.0, True),
        (89, 1.0, False),
        (3, 50.0, True),  # one step too many, of two
        (6, 50.0, False),
    ],
)
def test_rows_must_end_where_the_video_does(tmp_path, rows, step, good):
    given = [{"step": step}]
    if good:
        assert place_rows(rows, "v", tmp_path, given, {"v": 100.0}) == (step, 0.0)
    else:
        with pytest.raises(InputError, match=f"video 'v': found {rows} rows of {step:g} s"):
            place_rows(rows, "v", tmp_path, given, {"v": 100.0})
    # Of a video whose length is not known, nothing can be said.
    assert place_rows(rows, "v", tmp_path, given, {"w": 100.0}) == (step, 0.0)


@pytest.mark.parametrize("suffix", FEATURE_SUFFIXES)
def test_a_header_says_what_the_whole_file_says(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    write_features(path, Features(VALUES, 0.1, 2.5, {"fps": 30}))
    values, metadata = read_feature_file(path)
    assert read_feature_header(path) == (tuple(values.shape), metadata)
    path.write_bytes(b"damaged")
    with pytest.raises(InputError, match=f"v{suffix}: cannot be read as"):
        read_feature_header(path)
