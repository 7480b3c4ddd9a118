"""Where in videos to look more closely."""

from __future__ import annotations

import torch

from gnnreloc.search.places import neighbourhoods


def test_neighbourhoods_cover_their_segments_and_do_not_meet() -> None:
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        start = torch.rand(12, generator=random).double() * 100
        segments = torch.stack([start, start + 5 * torch.rand(12, generator=random)], dim=1)
        parts = list(neighbourhoods(segments, 400, 0.25))
        assert sorted(place for *_, inside in parts for place in inside) == list(range(12))
        for first, last, inside in parts:
            assert first * 0.25 <= segments[inside, 0].min() + 1e-6
            assert last * 0.25 >= min(100.0, segments[inside, 1].max() - 1e-6)
        assert all(one[1] < other[0] for one, other in zip(parts, parts[1:], strict=False))
