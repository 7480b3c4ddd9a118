"""The tutorials: their Python runs as it stands, their commands run on less data."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
TINY = (
    "--epochs 1 --training.samples 8 --evaluation.queries 4 --data.train_videos 6 "
    "--data.validation_videos 4 --data.test_videos 4"
)
#: What makes the commands of a tutorial shorter.
SHORTER = {
    "quick_start.md": {"--epochs 6": f"--epochs 1 -- {TINY.removeprefix('--epochs 1 ')}"},
    "compare_graphs.md": {
        "--graph dynamic": f"--graph dynamic {TINY}",
        "--hops 1 --out": f"--hops 1 {TINY} --out",
        "complete identity training_free": "training_free --epochs 1 -- "
        + TINY.removeprefix("--epochs 1 "),
    },
}


def blocks(page: str) -> list[tuple[str, str]]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [(kind, code) for kind, code in BLOCK.findall(text)]


def run(page: str, folder: Path) -> str:
    """Runs all blocks in order, Python ones in one process each; what they print."""
    for name in ("experiments", "examples"):
        (folder / name).symlink_to(ROOT / name)
    binaries = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([binaries, os.environ["PATH"]]),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    printed, before = "", ""
    shorter = SHORTER.get(page, {})
    for long in shorter:
        assert any(long in code for _, code in blocks(page)), f"{page}: {long!r} is gone"
    for kind, code in blocks(page):
        for long, short in shorter.items():
            code = code.replace(long, short)
        if kind == "python":
            before += code
            continue
        for line in code.splitlines():
            done = subprocess.run(
                line, shell=True, cwd=folder, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            printed += done.stdout
    if before:
        (folder / "tutorial.py").write_text(before, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "tutorial.py"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    return printed


def test_own_features(tmp_path: Path) -> None:
    printed = run("own_features.md", tmp_path)
    rows = [line.split()[0] for line in printed.splitlines() if "R@1 at .5: " in line]
    assert rows[0] == "dynamic" and "longest_proposal" in rows


def test_extend(tmp_path: Path) -> None:
    first, second = run("extend.md", tmp_path).split("\n")[:2]
    mine, wrong, chance = map(float, first.split())
    assert mine > max(wrong, chance)
    assert 0.0 <= float(second) <= 1.0


@pytest.mark.slow
def test_quick_start(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    printed = run("quick_start.md", tmp_path)
    first, second = re.findall(r"│ [12] │ +([\d.]+) s │ +([\d.]+) s │", printed)
    assert [float(time) for time in first] == pytest.approx([2, 9], abs=0.5)
    assert [float(time) for time in second] == pytest.approx([22, 30], abs=1.5)
    assert (tmp_path / "video_moments.png").is_file()
    assert (tmp_path / "runs/compare/synthetic_report.html").stat().st_size > 50_000


@pytest.mark.slow
def test_compare_graphs(tmp_path: Path) -> None:
    run("compare_graphs.md", tmp_path)
    folder = tmp_path / "runs"
    for name in ("learned/report.html", "fixed/report.html", "compare/synthetic_report.html"):
        assert (folder / name).stat().st_size > 50_000
    for name in ("synthetic_slices.csv", "synthetic_differences.csv"):
        assert (folder / "compare" / name).is_file()


@pytest.mark.slow
def test_search_a_library(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    pytest.importorskip("lancedb", reason="the extra 'search' is not installed")
    printed = run("search_a_library.md", tmp_path)
    assert '"moments": [' in printed
    last = printed.splitlines()[-3:]
    assert all(re.fullmatch(r"\S+\.mp4 [\d.]+ [\d.]+ -?[\d.]+", line) for line in last), last


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_pages_build_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the extra 'docs' is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reference" / "nn.html").is_file()
