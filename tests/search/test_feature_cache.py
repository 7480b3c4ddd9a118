"""Kept features: of which file and backbone, whatever happened to the cache."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from gnnreloc.errors import InputError
from gnnreloc.search.feature_cache import FeatureCache
from gnnreloc.video import DamagedVideoWarning, VideoClip, create_backbone

CODE = """
from gnnreloc.video import Backbone

class Mean(Backbone):
    name, channels, frame_size = "mean", 3, (8, 8)

    def encode(self, clips):
        return clips.float().mean(dim=(1, 2, 3)){more}
"""


@pytest.fixture
def clip(scenes: dict[str, Any], tmp_path: Path) -> VideoClip:
    return VideoClip(Path(shutil.copy(scenes["query"], tmp_path / "q.mp4")))


def test_what_is_broken_is_made_anew(clip: VideoClip, backbone: Any, tmp_path: Path) -> None:
    cache = FeatureCache(backbone, folder=tmp_path / "cache")
    first = cache[clip]
    (entry,) = tmp_path.glob("cache/*/*.safetensors")
    whole = entry.read_bytes()
    for number in (0, 7, len(whole) // 2, len(whole) - 1):
        entry.unlink()  # what is in memory of it stays
        entry.write_bytes(whole[:number])
        made = backbone.rows
        assert torch.equal(cache[clip].values, first.values)
        assert backbone.rows == made + first.num_steps
    assert torch.equal(cache[clip].values, first.values)
    assert backbone.rows == made + first.num_steps


def test_a_backbone_that_was_changed(
    clip: VideoClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for folder, more in (("before", ""), ("after", " + 1")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"mean_{folder}.py").write_text(CODE.format(more=more))
        monkeypatch.syspath_prepend(tmp_path / folder)
        backbone = create_backbone(f"mean_{folder}:Mean")
        found.append(FeatureCache(backbone, folder=tmp_path / "cache")[clip].values)
    torch.testing.assert_close(found[1], found[0] + 1)


def test_damage_is_told_each_time(
    scenes: dict[str, Any], backbone: Any, rendered_videos: Any, tmp_path: Path
) -> None:
    path = rendered_videos.render(tmp_path / "cut.mkv", duration=4.0, size=(64, 48)).path
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cache = FeatureCache(backbone, folder=tmp_path / "cache")
    for _ in range(2):
        with pytest.warns(DamagedVideoWarning, match="truncated or damaged"):
            cache[VideoClip(path)]


def test_a_folder_that_cannot_be_written(
    clip: VideoClip, backbone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FeatureCache(backbone, folder=tmp_path / "cache")
    monkeypatch.setattr("os.access", lambda *given: False)
    with pytest.raises(InputError, match="cannot be written: no permission"):
        cache[clip]
    assert backbone.rows == 0
