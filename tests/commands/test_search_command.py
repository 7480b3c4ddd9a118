"""``gnnreloc search``: what it prints, its exit status."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("av", reason="the extra 'video' is not installed")
pytest.importorskip("lancedb", reason="the extra 'search' is not installed")

from gnnreloc.cli import main

BACKBONE = """
from gnnreloc.video import Backbone

class Bright(Backbone):
    name, channels, frame_size, fps = "bright", 192, (8, 8), 4.0

    def encode(self, clips):
        return (clips.flatten(1).float() / 255 - 0.65).relu()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered_videos: ModuleType) -> Path:
    """An index of three videos, and a query that shows what one of them does."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "bright_backbone.py").write_text(BACKBONE)
    (folder / "videos").mkdir()
    scene = rendered_videos.Scene
    pairs = [("ring_grows", "circle_bounces"), ("bar_swings", "square_rotates")]
    for seed, (first, second) in enumerate([*pairs, ("cross_orbits", "triangle_zigzags")]):
        moments = [scene(first, 1, 3, seed=seed), scene(second, 4, 6, seed=seed)]
        path = folder / "videos" / f"{second}.mp4"
        rendered_videos.render(path, moments, duration=8, seed=seed, numbered=False)
    shown = [scene("square_rotates", 0, 2, seed=1)]
    rendered_videos.render(folder / "q.webm", shown, duration=3, seed=1, numbered=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        backbone = ["--backbone", "bright_backbone:Bright"]
        assert (
            main(["index", str(folder / "videos"), "--out", str(folder / "index"), *backbone]) == 0
        )
    return folder


@pytest.fixture
def arguments(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return ["search", "index", "--query", "q.webm#t=0,2"]


def test_table(arguments: list[str], capsys: Any) -> None:
    assert main([*arguments, "--top", "2"]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert "q.webm#t=0,2 in index" in lines[0] and "video" in told.out
    assert "square_rotates.mp4" in lines[4] and len(lines) == 7 and told.err == ""


def test_json_is_all_that_is_printed(arguments: list[str], capsys: Any, tmp_path: Path) -> None:
    assert main([*arguments, "--json", "--no-cache", "--exact"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert list(found) == ["query", "index", "moments"] and told.err == ""
    assert (found["query"], found["index"]) == ("q.webm#t=0,2", "index")
    assert 1 < len(found["moments"]) <= 10
    best = found["moments"][0]
    assert list(best) == ["video", "start", "end", "score"]
    assert best["video"] == "square_rotates.mp4"
    assert best["start"] == pytest.approx(4, abs=0.5) and best["end"] == pytest.approx(6, abs=0.5)
    assert not (tmp_path / "cache").exists()


def test_csv_and_cache(arguments: list[str], capsys: Any, tmp_path: Path) -> None:
    arguments[-1] = "q.webm"
    assert main([*arguments, "--csv", "--top", "1", "--candidates", "3"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 1 and rows[0]["video"] == "square_rotates.mp4"
    assert len(list((tmp_path / "cache" / "gnnreloc").glob("*/*.safetensors"))) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--query", "none.mp4"], "none.mp4: found no such file"),
        (["--query", "q.webm#t=1,9"], "q.webm: the clip's end at 9 s is beyond the end"),
        (["--checkpoint", "none"], "none is missing"),
        (["--top", "0"], "top: at least 1 is needed, got 0"),
        (["--candidates", "0"], "candidates: at least 1 is needed, got 0"),
        (["--json", "--csv"], "--json and --csv: wanted one of them"),
    ],
)
def test_bad_input(arguments: list[str], capsys: Any, change: list[str], told: str) -> None:
    assert main([*arguments, *change]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith(f"error: {told}")
    assert output.err.count("\n") == 1


def test_no_index(arguments: list[str], capsys: Any) -> None:
    arguments[1] = "videos"
    assert main(arguments) == 2
    assert capsys.readouterr().err == "error: videos is no index: index.json is missing in it\n"
