"""Tests of the shared look and of writing figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from gnnreloc.plotting import save_figure, style

SIGNATURES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def small_figure() -> Figure:
    figure = style.new_figure(2.0, 1.0)
    figure.subplots().plot([0.0, 1.0], [1.0, 0.0], label="a")
    return figure


@pytest.mark.parametrize("suffix", SIGNATURES)
def test_save_writes_the_format_of_the_suffix_and_leaves_nothing_else(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / "new" / f"figure{suffix}"
    assert save_figure(small_figure(), path) == path
    assert path.read_bytes().startswith(SIGNATURES[suffix])
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SIGNATURES)
def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    first = save_figure(small_figure(), tmp_path / f"a{suffix}").read_bytes()
    second = save_figure(small_figure(), str(tmp_path / f"b{suffix}")).read_bytes()
    assert first == second


def test_png_has_150_dots_an_inch(tmp_path: Path) -> None:
    header = save_figure(small_figure(), tmp_path / "a.png").read_bytes()
    width, height = (int.from_bytes(header[i : i + 4], "big") for i in (16, 20))
    assert (width, height) == (300, 150)


def test_a_failed_write_keeps_the_old_file_and_removes_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def write_half(self: Figure, temporary: BinaryIO, **options: Any) -> None:
        assert Path(temporary.name).parent == tmp_path
        temporary.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", write_half)
    with pytest.raises(OSError, match="disk full"):
        save_figure(small_figure(), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_ending_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.jpg.*'\.jpg'"):
        save_figure(small_figure(), tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


def test_pyplot_knows_none_of_the_figures() -> None:
    small_figure()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_to_array_takes_tensors_of_any_kind() -> None:
    tensor = torch.tensor([1.0, 2.5], dtype=torch.bfloat16, requires_grad=True)
    array = style.to_array(tensor, "weights")
    assert array.dtype == np.float64
    assert array.tolist() == [1.0, 2.5]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_to_array_names_the_bad_entry(bad: float) -> None:
    with pytest.raises(ValueError, match=rf"weights: entry \(1, 0\) is {bad}"):
        style.to_array([[0.0, 1.0], [bad, 2.0]], "weights")
