"""``gnnreloc index``: what it prints, what it writes, its exit status."""

from __future__ import annotations

import json
import sys
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

    def __init__(self, threshold=0.65):
        self.threshold = threshold

    def encode(self, clips):
        return (clips.flatten(1).float() / 255 - self.threshold).relu()
"""


@pytest.fixture
def arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rendered_videos: ModuleType
) -> list[str]:
    """A library of two videos and a file that is none."""
    (tmp_path / "videos" / "inside").mkdir(parents=True)
    for seed, name in enumerate(("one.mp4", "inside/two.webm")):
        scenes = [rendered_videos.Scene("bar_swings", 0.5, 1.5, seed=seed)]
        rendered_videos.render(tmp_path / "videos" / name, scenes, duration=2.0, seed=seed)
    (tmp_path / "videos" / "bad.mp4").write_text("no video")
    (tmp_path / "bright_backbone.py").write_text(BACKBONE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bright_backbone", raising=False)
    monkeypatch.chdir(tmp_path)
    return ["index", "videos", "--out", "out", "--backbone", "bright_backbone:Bright"]


def test_a_table_and_the_exit_status(arguments: list[str], capfd: Any) -> None:
    assert main(arguments) == 1
    told = capfd.readouterr()
    assert told.err == ""  # no bar where there is no terminal
    lines = told.out.splitlines()
    assert any("done" in line and "inside/two.webm" in line and "2.0" in line for line in lines)
    assert any(
        line.startswith("failed: videos/bad.mp4: cannot be read as a video") for line in lines
    )
    assert lines[-1].startswith("2 done, 0 skipped, 1 failed: out holds 2 videos, ")
    Path("videos/bad.mp4").unlink()
    Path("videos/one.mp4").unlink()
    # The backbone is remembered.
    assert main(["index", "videos", "--out", "out", "--prune"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "removed: one.mp4" in lines
    assert lines[-1].startswith("0 done, 1 skipped, 0 failed: out holds 1 videos, ")


def test_json(arguments: list[str], capsys: Any) -> None:
    assert main([*arguments, "--json", "--step", "0.5", "--option", "threshold=0.5"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["index", "videos", "removed", "total"]
    bad, two, one = found["videos"]
    assert (bad["status"], two["status"], one["status"]) == ("failed", "done", "done")
    assert bad["reason"].startswith("videos/bad.mp4: cannot be read") and one["reason"] is None
    assert (one["video"], one["path"], one["rows"], one["step"]) == (
        "one.mp4",
        "videos/one.mp4",
        4,
        0.5,
    )
    assert found["total"]["videos"] == 2
    settings = json.loads(Path("out/index.json").read_text())
    assert settings["options"] == {"threshold": 0.5} and settings["step"] == 0.5

    assert main(["index", "--out", "out", "--remove", "one.mp4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["videos"] == [] and found["removed"] == ["one.mp4"]
    assert found["total"]["videos"] == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["nowhere", "--out", "new"], "nowhere: found no such file or folder"),
        (["--out", "new"], "wanted LIBRARY, or a video to --remove"),
        (["--out", "new", "--remove", "one.mp4"], "new is no index: index.json is missing in it"),
        (["--out", "videos", "videos"], "videos is no index, and not empty"),
        (["--out", "new", "videos", "--backbone", "resnet"], "unknown backbone 'resnet'"),
        (["--out", "new", "videos", "--decoder", "vlc"], "unknown decoder 'vlc'"),
        (["--out", "new", "videos", "--checkpoint", "none"], "none is missing"),
        (["--out", "new", "videos", "--option", "x"], "--option: found 'x', wanted NAME=VALUE"),
        (["--out", "new", "videos", "--step", "0"], "step: found 0.0, wanted seconds"),
        (["--out", "new", "--remove", "a", "--prune"], "prune: wanted the library"),
    ],
)
def test_bad_input(arguments: list[str], capsys: Any, change: list[str], told: str) -> None:
    assert main(["index", *change]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith(f"error: {told}")
    assert output.err.count("\n") == 1 and not Path("new").exists()
