"""A service on rendered videos, with features of brightness."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

pytest.importorskip("av", reason="the extra 'video' is not installed")

from gnnreloc.demo import Limits, Service
from gnnreloc.search import Engine
from gnnreloc.video import Backbone


class Bright(Backbone):
    """The pixels of a small picture, of what is brighter than the background."""

    name, channels, frame_size, fps = "bright", 192, (8, 8), 4.0

    def encode(self, clips: Tensor) -> Tensor:
        return (clips.flatten(1).float() / 255 - 0.65).relu()


class Demo(NamedTuple):
    """A service, and a query and a reference for it; the query's action is there from 4 to 6 s."""

    service: Service
    query: Path
    reference: Path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, rendered_videos: ModuleType) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    scene = rendered_videos.Scene
    moments = [scene("ring_grows", 1, 3, seed=1), scene("bar_swings", 4, 6, seed=2)]
    rendered_videos.render(folder / "r.mp4", moments, duration=8, seed=3, numbered=False)
    shown = [scene("bar_swings", 1, 3, seed=2)]
    rendered_videos.render(folder / "q.mp4", shown, duration=4, seed=3, numbered=False)
    return folder


@pytest.fixture
def demo(videos: Path, tmp_path: Path) -> Demo:
    torch.manual_seed(0)
    engine = Engine(backbone=Bright())
    (tmp_path / "clips").mkdir()
    service = Service(engine, tmp_path / "clips", limits=Limits(megabytes=1.0, seconds=60.0))
    return Demo(service, videos / "q.mp4", videos / "r.mp4")
