"""The page about own videos: its commands run one after the other, its figures are those measured.

Run with fewer videos and epochs than it names; what it says of the figures is read from the file
that its own commands wrote.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "own_videos.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCK = re.compile(r"^```sh\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
SMALLER = {"--videos 60": "--videos 8", "--epochs 12": "--epochs 1 --samples 8"}


def commands() -> list[str]:
    return [line for block in BLOCK.findall(TEXT) for line in block.splitlines()]


def test_the_figures_are_those_of_the_file() -> None:
    figures = json.loads((ROOT / "docs" / "own_videos.json").read_text(encoding="utf-8"))
    rows = re.findall(r"^\| `?([\w-]+)`?[^|]* \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", TEXT, re.M)
    shown = {name: [float(value) for value in values] for name, *values in rows}
    assert shown == {
        name: [figure["r1_0.5"], figure["r1_0.7"], figure["miou"]]
        for name, figure in figures.items()
    }
    pairs = {figure["pairs"] for figure in figures.values()}
    assert f"{pairs.pop()} pairs" in TEXT and not pairs


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    pytest.importorskip("lancedb", reason="the extra 'search' is not installed")
    shutil.copytree(ROOT / "examples" / "videos", tmp_path / "examples" / "videos")
    binaries = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([binaries, os.environ["PATH"]]),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    printed = {}
    for command in commands():
        for long, short in SMALLER.items():
            command = command.replace(long, short)
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        printed[command] = done.stdout
    judged = next(text for command, text in printed.items() if "judge_library" in command)
    assert [line.split()[0] for line in judged.splitlines()] == [
        *("training-free", "labelled", "unlabelled", "both")
    ]
    for name in ("gnnreloc localize", "gnnreloc search"):
        tables = [text for command, text in printed.items() if command.startswith(name)]
        assert tables and all(".mp4" in text and " 1 " in text for text in tables)
