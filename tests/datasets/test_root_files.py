"""Files under a root: what is read, and what is said about files that cannot be."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pytest

from gnnreloc.datasets.root_files import read_arrays, read_json
from gnnreloc.errors import InputError


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "values.npz"
    np.savez_compressed(path, numbers=np.arange(60.0).reshape(20, 3), names=np.array(["x", "yy"]))
    return path


def test_arrays_come_back(archive: Path) -> None:
    arrays = read_arrays(archive)
    assert set(arrays) == {"numbers", "names"}
    assert arrays["numbers"][19].tolist() == [57.0, 58.0, 59.0]
    assert arrays["names"].tolist() == ["x", "yy"]


def test_a_damaged_archive_is_named(archive: Path) -> None:
    whole = archive.read_bytes()
    for size in range(0, len(whole), 7):
        archive.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"values\.npz: cannot be read as \.npz"):
            read_arrays(archive)


def test_flipped_bytes_raise_nothing_else(archive: Path) -> None:
    whole, draw = archive.read_bytes(), random.Random(0)
    failed = 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        archive.write_bytes(damaged)
        try:
            read_arrays(archive)
        except InputError as error:
            assert "values.npz" in str(error)
            failed += 1
    assert failed > 150


def test_pickled_objects_are_not_read(archive: Path) -> None:
    np.savez(archive, objects=np.array([{}, None], dtype=object))
    with pytest.raises(InputError, match=r"values\.npz"):
        read_arrays(archive)


def test_a_single_array_is_no_archive(archive: Path) -> None:
    with archive.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match=r"values\.npz: cannot be read as \.npz"):
        read_arrays(archive)


def test_json_with_and_without_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    for mark in ("", "\ufeff"):
        path.write_text(mark + '[{"label": "Grüßen"}]', encoding="utf-8")
        assert read_json(path) == [{"label": "Grüßen"}]


@pytest.mark.parametrize(
    "content",
    [b"", b"[1, 2", b'{"a": 1} b', b"\xff\xfe[]", b"[" * 10 * sys.getrecursionlimit()],
    ids=["empty", "cut", "more", "not utf-8", "deep"],
)
def test_broken_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"rows\.json: cannot be read as JSON"):
        read_json(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    for path in (tmp_path / "none.npz", tmp_path / "folder.npz", tmp_path / "no" / "such.npz"):
        for read in (read_arrays, read_json):
            with pytest.raises(InputError, match=rf"{path.name} is missing; --root must be"):
                read(path)
