"""The page on frames, seconds and steps: its code, its tables and its drawing are right."""

from __future__ import annotations

import importlib.util
import re
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import torch

from gnnreloc.video.backbones import C3D, VJEPA2, EfficientNetLite0, VideoMAE

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "time.md").read_text(encoding="utf-8")


def test_the_code_runs(
    rendered_videos: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered_videos.render(tmp_path / "video.mp4", duration=2.6)
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "time.md", "exec"), names)
    info, features = names["info"], names["features"]
    assert names["rows"] == 5 and info.duration == pytest.approx(2.6)
    assert names["middles"].tolist() == [0.25, 0.75, 1.25, 1.75, 2.25]
    assert names["row"] == 2
    # The formula of the timesteps, by hand: 0.85, 1.35 and 1.85 s, rows 1.2, 2.2 and 3.2.
    wanted = [0.8 * features.values[row] + 0.2 * features.values[row + 1] for row in (1, 2, 3)]
    assert torch.allclose(names["steps"][0], torch.stack(wanted), atol=1e-5)


def test_the_table_of_backbones() -> None:
    rows = re.findall(
        r"^\| (`.*?`) \| (\d+) \| (\d+) \| (\d+) \| ([\d.]+) s \|", TEXT, re.MULTILINE
    )
    told = {
        name: tuple(map(float, numbers))
        for names, *numbers in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    clip_frames = {"videomae": 16.0, "vjepa2": 16.0}  # they ask the model, or an option
    for kind in (EfficientNetLite0, VideoMAE, VJEPA2, C3D):
        length = clip_frames.get(kind.name, kind.clip_frames)
        step = round(kind.stride / kind.fps, 3)
        assert told.pop(kind.name) == (kind.fps, length, kind.stride, step)
    assert told == {}


def test_the_drawing_is_that_of_its_script(tmp_path: Path) -> None:
    location = importlib.util.spec_from_file_location("time_drawing", DOCS / "images" / "time.py")
    assert location is not None and location.loader is not None
    drawing = importlib.util.module_from_spec(location)
    location.loader.exec_module(drawing)
    drawn = matplotlib.image.imread(drawing.main(tmp_path / "time.png"))
    committed = matplotlib.image.imread(DOCS / "images" / "time.png")
    assert drawn.shape == committed.shape
    assert np.abs(drawn - committed).mean() < 0.01


def test_links_lead_on() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (DOCS / link).exists(), link


def test_rows_of_a_clip_by_the_formula(rendered_videos: ModuleType, tmp_path: Path) -> None:
    from gnnreloc.video import extract_features

    path = tmp_path / "v.mp4"
    for frames, step in ((3, 0.5), (12, 0.5), (13, 0.5), (50, 0.3), (61, 0.7)):
        rendered_videos.render(path, duration=frames / 25, size=(64, 48))
        told = max(1, int(Fraction(frames, 25) / Fraction(str(step)) + Fraction(1, 2)))
        assert extract_features(path, step=step).num_steps == told
