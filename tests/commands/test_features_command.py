"""The command ``gnnreloc features``."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gnnreloc.cli import main
from gnnreloc.data import open_features
from gnnreloc.video.backbones import BACKBONES

pytest.importorskip("av", reason="the extra 'video' is not installed")


@pytest.fixture
def videos(rendered_videos: ModuleType, tmp_path: Path) -> Path:
    """Two good videos of 1 s."""
    (tmp_path / "videos" / "inside").mkdir(parents=True)
    rendered_videos.render(tmp_path / "videos" / "one.mp4", duration=1.0)
    rendered_videos.render(tmp_path / "videos" / "inside" / "two.webm", duration=1.0)
    return tmp_path / "videos"


def test_a_table_and_a_store(
    videos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["features", str(videos), "--out", str(tmp_path / "store")]
    assert main(arguments) == 0
    captured = capfd.readouterr()
    assert captured.err == ""  # no bar where there is no terminal
    lines = captured.out.splitlines()
    assert lines[-1] == f"2 done, 0 skipped, 0 failed: {tmp_path / 'store'}"
    assert any("done" in line and "inside/two.webm" in line and "1.0" in line for line in lines)
    store = open_features(tmp_path / "store")
    assert list(store) == ["inside%2Ftwo.webm", "one.mp4"]
    assert store["one.mp4"].values.shape == (2, 1280) and store["one.mp4"].step == 0.5

    (videos / "bad.mp4").write_text("no video")
    assert main(arguments) == 1
    out = capfd.readouterr().out
    assert out.splitlines()[-1].startswith("0 done, 2 skipped, 1 failed: ")
    assert "bad.mp4: cannot be read as a video: Invalid data found" in out


def test_json(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (videos / "bad.mp4").touch()
    store = str(tmp_path / "store")
    arguments = ["features", str(videos / "one.mp4"), str(videos / "bad.mp4"), "--out", store]
    assert main([*arguments, "--json", "--step", "0.25", "--option", 'device="cpu"']) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["store"] == store and found["settings"]["fps"] == 4.0
    bad, good = found["videos"]
    assert bad == {
        "video": "bad.mp4",
        "path": str(videos / "bad.mp4"),
        "status": "failed",
        "rows": 0,
        "step": None,
        "reason": f"{videos / 'bad.mp4'}: is empty, wanted a video",
    }
    assert (good["status"], good["rows"], good["step"], good["reason"]) == ("done", 4, 0.25, None)


def test_a_bar_on_a_terminal(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["features", str(videos), "--out", str(tmp_path / "store"), "--json"]) == 0
    shown = terminal.getvalue()
    assert "2/2" in shown and "one.mp4 1 s" in shown


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["VIDEOS"], "the following arguments are required: --out"),
        (["nowhere", "--out", "OUT"], "nowhere: found no such file or folder"),
        (["VIDEOS", "--out", "OUT", "--backbone", "alexnet"], "unknown backbone 'alexnet'"),
        (["VIDEOS", "--out", "OUT", "--step", "0"], "step: found 0.0, wanted seconds"),
        (["VIDEOS", "--out", "OUT", "--step", "x"], "argument --step: invalid float value"),
        (["VIDEOS", "--out", "OUT", "--option", "x"], "found 'x', wanted NAME=VALUE"),
        (["VIDEOS", "--out", "OUT", "--option", "x=1"], "unexpected keyword argument 'x'"),
        (["VIDEOS", "--out", "OUT", "--decoder", "vlc"], "unknown decoder 'vlc'"),
        (["VIDEOS", "--out", "VIDEOS/one.mp4"], "one.mp4: cannot be written: File exists"),
    ],
)
def test_bad_usage_is_told_in_one_line(
    videos: Path, arguments: list[str], culprit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(videos.parent / "out")
    given = [text.replace("VIDEOS", str(videos)).replace("OUT", out) for text in arguments]
    try:
        status: object = main(["features", *given])
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    assert status == 2 and captured.out == "" and not Path(out).exists()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert culprit in captured.err


def test_help_names_every_backbone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["features", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    named = out.partition("backbones: ")[2].partition(";")[0].split(", ")
    assert set(named) == set(BACKBONES)
