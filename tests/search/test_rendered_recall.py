"""Without any training, the right moment first: 50 pairs of rendered videos in five formats."""

from __future__ import annotations

import random
from pathlib import Path
from types import ModuleType

import pytest

import gnnreloc

pytest.importorskip("efficientnet_lite_pytorch", reason="the extra 'video' is not installed")

#: Ending, codec and rate of the references; the queries take the next one.
FORMATS = [
    (".mp4", "h264", 25),
    (".avi", "mpeg4", 24),
    (".webm", "vp9", "30000/1001"),
    (".mkv", "h264", "variable"),
    (".mp4", "mpeg4", "30000/1001"),
]
REFERENCES, ACTIONS, LEAST = 10, 5, 0.7


@pytest.mark.slow
def test_the_right_moment_comes_first(tmp_path: Path, rendered_videos: ModuleType) -> None:
    draw = random.Random(20261123)
    reloc = gnnreloc.load()
    found: dict[str, list[bool]] = {}
    for number in range(REFERENCES):
        ending, codec, fps = FORMATS[number % len(FORMATS)]
        time, scenes = 2.0, []
        for action in draw.sample(sorted(rendered_videos.ACTIONS), ACTIONS):
            length, speed = draw.uniform(5, 10), draw.uniform(0.7, 1.4)
            seed = draw.randrange(1000)
            scenes.append(rendered_videos.Scene(action, time, time + length, speed, seed))
            time += length + draw.uniform(2, 6)
        path = tmp_path / f"reference{number}{ending}"
        rendered_videos.render(path, scenes, duration=time, fps=fps, codec=codec, seed=number)
        video = reloc.encode(path)
        assert video.features.duration == pytest.approx(time, abs=0.5)
        ending, codec, fps = FORMATS[(number + 1) % len(FORMATS)]
        for scene in scenes:
            # Another figure, place, colour, background, speed and length of the same action.
            length, speed = draw.uniform(5, 10), draw.uniform(0.7, 1.4)
            shown = rendered_videos.Scene(scene.action, 0, length, speed, draw.randrange(1000))
            query = tmp_path / f"query{number}_{scene.action}{ending}"
            rendered_videos.render(query, [shown], fps=fps, codec=codec, seed=100 + number)
            best = reloc.localize(query, video, top=1)[0]
            inside = min(best.end, scene.end) - max(best.start, scene.start)
            union = max(best.end, scene.end) - min(best.start, scene.start)
            found.setdefault(scene.action, []).append(inside >= 0.5 * union)
    hits = [hit for action in found.values() for hit in action]
    shares = {action: f"{sum(hit)} of {len(hit)}" for action, hit in found.items()}
    print(f"{sum(hits)} of {len(hits)} found: {shares}")
    assert len(hits) == REFERENCES * ACTIONS
    assert sum(hits) >= LEAST * len(hits), shares
