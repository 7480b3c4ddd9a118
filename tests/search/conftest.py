"""A backbone that needs no weights, and a video of two actions."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

pytest.importorskip("av", reason="the extra 'video' is not installed")

from gnnreloc.video import Backbone


class Thumbnail(Backbone):
    """Rows are small pictures of what is bright; counts how many it has made."""

    name, channels, frame_size = "thumbnail", 192, (8, 8)

    def __init__(self) -> None:
        self.rows = 0
        self.set_step(0.25)

    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        self.rows += len(clips)
        return (clips.flatten(1).float() / 255 - 0.65).relu()


@pytest.fixture
def backbone() -> Thumbnail:
    return Thumbnail()


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory, rendered_videos: ModuleType) -> dict[str, Any]:
    """A reference with two actions, and a query that shows the second one."""
    folder: Path = tmp_path_factory.mktemp("scenes")
    scene = rendered_videos.Scene
    moments = [scene("square_rotates", 2, 6, seed=1), scene("triangle_zigzags", 9, 13, seed=2)]
    reference = rendered_videos.render(
        folder / "reference.mp4", moments, duration=16, seed=3, numbered=False
    )
    shown = [scene("triangle_zigzags", 0, 4, seed=2)]
    query = rendered_videos.render(folder / "query.mp4", shown, seed=3, numbered=False)
    return {
        "folder": folder,
        "reference": reference.path,
        "query": query.path,
        "truth": (9.0, 13.0),
    }
