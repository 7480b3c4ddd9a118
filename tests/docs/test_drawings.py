"""The drawings of the pages are those that their scripts draw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

IMAGES = Path(__file__).parents[2] / "docs" / "images"


@pytest.mark.parametrize(
    ("script", "names"), [("time", ["time.png"]), ("concepts", ["task.png", "pair_graph.png"])]
)
def test_a_script_draws_the_pictures_that_are_shown(tmp_path: Path, script, names) -> None:
    target = tmp_path / names[0] if script == "time" else tmp_path
    subprocess.run([sys.executable, IMAGES / f"{script}.py", target], check=True)
    for name in names:
        drawn, shown = (matplotlib.image.imread(folder / name) for folder in (tmp_path, IMAGES))
        assert drawn.shape == shown.shape
        # Fonts may differ a little from one machine to another.
        assert abs(drawn - shown).mean() < 0.02
