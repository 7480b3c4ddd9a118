"""The wheel, installed into an environment of its own, does in an empty folder what it says."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("av", reason="the extra 'video' is not installed")
pytest.importorskip("efficientnet_lite_pytorch", reason="the extra 'video' is not installed")
pytest.importorskip("lancedb", reason="the extra 'search' is not installed")

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[1]
SOURCES = ("gnnreloc", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
TINY = "--epochs 1 --samples 4 --batch-size 2 --list-length 4 --timesteps 4 --hidden-channels 8"


class Installed:
    """The program of the wheel, called in an empty folder."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "empty"
        self.folder.mkdir()
        self.programs = root / "environment" / "bin"

    def __call__(self, *arguments: str, status: int = 0, program: str = "gnnreloc") -> str:
        """Call it; what it prints."""
        clean = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            cwd=self.folder,
            env={**clean, "XDG_CACHE_HOME": str(self.folder / "cache"), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel; what it depends on is that of the tests, where nothing else of ours is seen."""
    root = tmp_path_factory.mktemp("wheel")
    source = root / "source"
    source.mkdir()
    for name in SOURCES:
        whole = PROJECT / name
        if whole.is_dir():
            shutil.copytree(whole, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif whole.is_file():
            shutil.copy(whole, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", root / "dist", source], check=True)
    (wheel,) = (root / "dist").glob("*.whl")
    environment = root / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    # A path that a .pth file names is searched, but .pth files in it are not read: the checkout,
    # which such a file would add, stays out.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = str(environment / "bin" / "python")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    program = Installed(root)
    where = program("-c", "import gnnreloc; print(gnnreloc.__file__)", program="python")
    assert Path(where.strip()).is_relative_to(environment)
    return program


@pytest.fixture(scope="module")
def videos(installed: Installed, rendered_videos: ModuleType) -> Path:
    """Six videos of two actions each, and the table of them."""
    draw, rows = random.Random(0), []
    folder = installed.folder / "videos"
    folder.mkdir()
    for number in range(6):
        scenes, time = [], 1.0
        for action in draw.sample(["bar_swings", "ring_grows", "cross_orbits"], 2):
            scenes.append(rendered_videos.Scene(action, time, time + 3, 1.0, number))
            rows.append((f"{number}.mp4", time, time + 3, action))
            time += 4
        rendered_videos.render(
            folder / f"{number}.mp4", scenes, duration=time, fps=8, size=(64, 48), seed=number
        )
    with (installed.folder / "moments.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("video", "start", "end", "label"), *rows])
    return folder


def test_version_and_help(installed: Installed) -> None:
    assert installed("--version").startswith("gnnreloc ")
    for command in ("localize", "index", "search", "features", "train", "demo", "check"):
        assert command in installed("--help")
        assert "--" in installed(command, "--help")


def test_files_beside_the_code(installed: Installed) -> None:
    code = (
        "from importlib.resources import files\n"
        "from gnnreloc.report import Page\n"
        "assert '<h1>a run</h1>' in Page('a run').html()\n"
        "for name in ('query', 'reference'):\n"
        "    path = files('gnnreloc.demo') / f'example_{name}.mp4'\n"
        "    assert path.read_bytes()[4:8] == b'ftyp'\n"
    )
    installed("-c", code, program="python")


def test_from_videos_to_moments(installed: Installed, videos: Path) -> None:
    found = json.loads(
        installed(
            "localize", "--query", "videos/0.mp4#t=1,4", "--reference", "videos/1.mp4", "--json"
        )
    )
    assert found["moments"][0]["video"] == "videos/1.mp4"
    assert (installed.folder / "1_moments.png").stat().st_size > 1000

    installed("index", "videos", "--out", "library")
    found = json.loads(installed("search", "library", "--query", "videos/0.mp4#t=1,4", "--json"))
    best = found["moments"][0]
    assert best["video"] == "0.mp4" and best["start"] < 2.5 < best["end"]


@pytest.mark.parametrize(
    "more", [("--divide", "videos"), ("--unlabelled",)], ids=["labels", "none"]
)
def test_training_and_its_model(installed: Installed, videos: Path, more: tuple[str, ...]) -> None:
    installed("features", "videos", "--out", "features")
    run = f"run {len(more)}"
    installed("train", "--data", ".", "--out", run, *TINY.split(), *more)
    found = json.loads(
        installed(
            *("localize", "--query", "videos/0.mp4", "--reference", "videos/1.mp4", "--json"),
            *("--checkpoint", run, "--no-figure"),
        )
    )
    assert len(found["moments"]) >= 1
