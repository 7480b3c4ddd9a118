"""``gnnreloc localize``: what it prints, what it writes, its exit status."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("av", reason="the extra 'video' is not installed")

from gnnreloc.cli import main
from gnnreloc.video import probe

BACKBONE = """
from gnnreloc.video import Backbone

class Bright(Backbone):
    name, channels, frame_size, fps = "bright", 192, (8, 8), 4.0

    def encode(self, clips):
        return (clips.flatten(1).float() / 255 - 0.65).relu()
"""


@pytest.fixture
def arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rendered_videos: ModuleType
) -> list[str]:
    """A reference of three actions, and a query that shows the second of them."""
    scene = rendered_videos.Scene
    moments = [scene("ring_grows", 1, 3, seed=1), scene("bar_swings", 4, 6, seed=2)]
    rendered_videos.render(tmp_path / "r.mp4", moments, duration=8, seed=3, numbered=False)
    shown = [scene("bar_swings", 0, 2, seed=2)]
    rendered_videos.render(tmp_path / "q.webm", shown, seed=3, numbered=False)
    (tmp_path / "bright_backbone.py").write_text(BACKBONE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bright_backbone", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    given = ["localize", "--query", "q.webm", "--reference", "r.mp4"]
    return [*given, "--backbone", "bright_backbone:Bright"]


def is_found(start: float, end: float) -> bool:
    """Whether a moment and the true one, 4 to 6 s, have a tIoU of a half or more."""
    return min(end, 6) - max(start, 4) >= 0.5 * (max(end, 6) - min(start, 4))


def test_table_timeline_and_cache(arguments: list[str], capsys: Any) -> None:
    assert main([*arguments, "--top", "2"]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert "q.webm in r.mp4" in lines[0] and all(name in lines[2] for name in ("start", "score"))
    start, end = (float(cell.split()[0]) for cell in lines[4].split("│")[2:4])
    assert is_found(start, end)
    assert told.err == "timeline: r_moments.png\n"
    assert Path("r_moments.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(Path("cache/gnnreloc").glob("*/*.safetensors"))) == 2


def test_json_is_all_that_is_printed(arguments: list[str], capsys: Any) -> None:
    assert main([*arguments, "--json", "--no-figure", "--no-cache"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert list(found) == ["query", "reference", "moments"]
    assert (found["query"], found["reference"]) == ("q.webm", "r.mp4")
    best = found["moments"][0]
    assert list(best) == ["video", "start", "end", "score"] and best["video"] == "r.mp4"
    assert is_found(best["start"], best["end"])
    assert told.err == "" and not Path("cache").exists()
    assert not Path("r_moments.png").exists()


def test_csv(arguments: list[str], capsys: Any) -> None:
    assert main([*arguments, "--csv", "--figure", "out/a.svg", "--top", "1"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 1 and rows[0]["video"] == "r.mp4"
    assert is_found(float(rows[0]["start"]), float(rows[0]["end"]))
    assert Path("out/a.svg").read_text().count("<svg") == 1


def test_moments_are_cut_to_files(arguments: list[str], capsys: Any) -> None:
    assert main([*arguments, "--clip", "found", "--top", "2", "--json", "--no-figure"]) == 0
    moments = json.loads(capsys.readouterr().out)["moments"]
    files = sorted(Path("found").iterdir())
    assert len(files) == len(moments) == 2
    for place, (path, moment) in enumerate(zip(files, moments, strict=True), start=1):
        assert path.name.startswith(f"r_{place}_{moment['start']:.2f}-")
        assert probe(path).duration == pytest.approx(moment["end"] - moment["start"], abs=0.05)


def test_long_names(arguments: list[str], capsys: Any) -> None:
    name = f"{'길' * 80}.mp4"
    Path("r.mp4").rename(name)
    arguments[4] = name
    assert main([*arguments, "--clip", "found", "--top", "1", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["moments"][0]["video"] == name and "Glyph" not in told.err
    (clip,) = Path("found").iterdir()
    assert clip.name.startswith("길" * 60) and "_1_" in clip.name
    assert len(list(Path().glob("길*_moments.png"))) == 1


def test_what_a_backbone_prints_is_no_result(arguments: list[str], capfd: Any) -> None:
    loud = BACKBONE.replace("        return", "        print('loud')\n        return")
    Path("loud_backbone.py").write_text(loud)
    given = [*arguments, "--backbone", "loud_backbone:Bright"]
    assert main([*given, "--json", "--no-figure"]) == 0
    told = capfd.readouterr()
    assert json.loads(told.out)["moments"] and "loud" in told.err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--query", "none.mp4"], "error: none.mp4: found no such file"),
        (["--query", "q.webm#t=1,9"], "error: q.webm: the clip's end at 9 s is beyond the end"),
        (["--query", "q.webm#t=2,1"], "error: q.webm: the clip ends at 1 s, wanted an end after"),
        (["--reference", "bright_backbone.py"], "error: bright_backbone.py"),
        (["--backbone", "resnet"], "error: unknown backbone 'resnet'"),
        (["--checkpoint", "none"], "error: none"),
        (["--figure", "a.gif"], "error: --figure a.gif: wanted a file that ends in .png"),
        (["--top", "0"], "error: top: at least 1 moment must be asked for, got 0"),
        (["--json", "--csv"], "error: --json and --csv: wanted one of them"),
        (["--clip", ""], "error: --clip: found an empty name, wanted a folder"),
        (["--backbone", "c3d"], "error: backbone 'c3d': no weights come with it"),
        (["--option", "layers"], "error: --option: found 'layers', wanted NAME=VALUE"),
        (["--proposals", "all"], "error: proposals must be one of windows, tag, got 'all'"),
    ],
)
def test_bad_input(arguments: list[str], capsys: Any, change: list[str], told: str) -> None:
    assert main([*arguments, *change]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith(told) and output.err.count("\n") == 1
