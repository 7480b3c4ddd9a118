"""What the page draws."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from gnnreloc.data import Features
from gnnreloc.demo import EdgeMap, Found, drawings
from gnnreloc.search import FoundMoment
from gnnreloc.video import VideoClip


def found(names: tuple[str, ...] = ("a.mp4", "a.mp4"), duration: float = 40.0) -> Found:
    moments = [FoundMoment(name, 10.0 * i, 10.0 * i + 8, 1.0 - i) for i, name in enumerate(names)]
    clip = VideoClip(Path("q.mp4"), 0.0, 4.0)
    return Found(clip, Features(torch.ones(8, 2), 0.5), moments, list(names), duration)


def test_timeline_has_a_bar_for_each_moment_and_escapes_names():
    line = drawings.timeline(found(), 1)
    assert len(re.findall("<span", line)) == 2
    assert '<span class="chosen" style="left:25.00%;width:20.00%" title="2. 10.0 to 18.0 s' in line
    assert drawings.timeline(found(duration=0.0), 0) == ""
    assert drawings.told(found(("<b>.mp4",), 0.0), 0).startswith("1. <b>.mp4, 0.0 to 8.0 s")


@pytest.mark.parametrize("shape", [(6, 9), (24, 24), (1, 1), (300, 2)])
def test_a_pixel_of_the_picture_leads_back_to_its_cell(shape):
    generator = np.random.default_rng(0)
    values = torch.from_numpy(generator.uniform(0, 1, shape))
    edges = EdgeMap(values, [0.0] * shape[0], [0.0] * shape[1], learned=True)
    picture = drawings.draw(edges, 0, 0)
    side = picture.shape[0] // shape[0]
    assert picture.shape == (shape[0] * side, shape[1] * side, 3)
    for row, column in {(0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 2)}:
        assert drawings.cell(edges, column * side + side / 2, row * side + side / 2) == (
            row,
            column,
        )
    assert drawings.cell(edges, 1e6, -5.0) == (0, shape[1] - 1)
