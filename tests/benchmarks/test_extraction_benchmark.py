"""The benchmark of extraction: the parts do the work of the whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

pytest.importorskip("av", reason="the extra 'video' is not installed")
pytest.importorskip("efficientnet_lite_pytorch", reason="the extra 'video' is not installed")

from gnnreloc.video import probe


def test_quick_run(call: Callable[..., int], tmp_path: Path) -> None:
    out = tmp_path / "extraction.json"
    assert call("extraction", "--quick", "--threads", 1, "--out", out) == 0
    written = json.loads(out.read_text())
    rows = {row["case"]: row for row in written["results"]}
    assert list(rows) == ["decode", "backbone", "whole"]
    figures = rows["whole"]["figures"]
    assert figures["video_seconds"] == 4 and figures["rows"] == 8
    # Eight rows of 1280 numbers of four bytes, and a header.
    assert 8 * 1280 * 4 < figures["feature_bytes"] < 8 * 1280 * 4 + 2000
    (checked,) = written["checks"]
    assert checked["value"] == pytest.approx(150 * rows["whole"]["seconds"]["median"])


def test_parts_give_as_many_rows_as_the_whole(
    scripts: dict[str, ModuleType], tmp_path: Path
) -> None:
    extraction = scripts["extraction"]
    extraction.render(tmp_path / "v.mp4", 3.0, seed=0)
    info = probe(tmp_path / "v.mp4")
    assert info.duration == pytest.approx(3.0) and info.fps == pytest.approx(25)
    cases = extraction.cases_of(tmp_path / "v.mp4", 3.0, torch.device("cpu"))
    decode, _, whole = (case.build() for case in cases)
    assert len(decode()) == whole().num_steps == cases[0].figures["rows"] == 6
