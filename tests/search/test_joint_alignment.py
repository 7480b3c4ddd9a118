"""Many parts aligned at once, against FrameLevel with one after the other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnreloc.data import Features
from gnnreloc.errors import InputError
from gnnreloc.models import FrameLevel
from gnnreloc.models.frame_level import all_segments
from gnnreloc.search import joint_alignment
from gnnreloc.search.index_tables import Candidate
from gnnreloc.search.joint_alignment import VideoPart, align, distinct
from gnnreloc.search.places import first_places

STEP = 0.5


def clip(rows: int, seed: int, offset: float = 0.0, channels: int = 6) -> Features:
    drawn = torch.Generator().manual_seed(seed)
    return Features(torch.randn(rows, channels, generator=drawn), STEP, offset)


def whole(video: str, features: Features) -> VideoPart:
    return VideoPart(video, features, 0, features.num_steps)


@pytest.mark.parametrize("alignment", ["dtw", "diagonal"])
@pytest.mark.parametrize("cells", [1, 3000, 10**9])
def test_moments_are_those_of_each_part_alone(
    alignment: str, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint_alignment, "CELLS", cells)
    system = FrameLevel(
        alignment=alignment,  # type: ignore[arg-type]
        timesteps=7,
        contrast=0.5,
        max_rows=40,
        max_moments=6,
    )
    query = clip(9, 0)
    # Some shorter than the query, one so long that its rows are averaged.
    rows = (12, 3, 40, 100, 1, 25)
    parts = [clip(count, 1 + seed, offset=3.0 * seed) for seed, count in enumerate(rows)]
    found = list(align(system, query, (whole(str(n), part) for n, part in enumerate(parts))))
    assert sorted(one.video for one in found) == list("012345")
    for one in found:
        kept = distinct(system, one)
        wanted = system.localize(query, parts[int(one.video)])
        assert torch.allclose(kept.scores, wanted.scores, atol=1e-6)
        assert torch.equal(kept.segments, wanted.segments)


def test_segments_within_a_part_have_the_scores_of_the_video() -> None:
    system = FrameLevel(timesteps=7, contrast=0.5)
    query, video = clip(8, 0), clip(60, 1)
    (everything,) = align(system, query, [whole("a", video)])
    scores = {
        tuple(place): score
        for place, score in zip(
            everything.segments.tolist(), everything.scores.tolist(), strict=True
        )
    }
    # A quarter of the longest segment, 16 rows, is looked at on both sides.
    part = Features(video.values[16:46], STEP, 8.0)
    (found,) = align(system, query, [VideoPart("a", part, 4, 26)])
    rows = ((found.segments - 8.0) / STEP).round().long()
    assert torch.equal(rows, 4 + all_segments(22, 4, 16))
    for place, score in zip(found.segments.tolist(), found.scores.tolist(), strict=True):
        assert scores[tuple(place)] == pytest.approx(score, abs=1e-6)


def test_nothing_and_other_channels() -> None:
    system = FrameLevel()
    assert list(align(system, clip(4, 0), [])) == []
    with pytest.raises(InputError, match="query has 6 feature channels, the reference 5"):
        list(align(system, clip(4, 0), [whole("a", clip(9, 1, channels=5))]))


CANDIDATES = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(1, 8)), max_size=25
)


@settings(max_examples=60)
@given(CANDIDATES, st.integers(1, 6), st.integers(0, 4))
def test_as_many_places_as_wanted(
    rows: list[tuple[str, int, int]], count: int, distance: int
) -> None:
    candidates = [
        Candidate(video, start, start + length, -number)
        for number, (video, start, length) in enumerate(rows)
    ]

    def apart(one: Candidate, other: Candidate) -> bool:
        return one.video != other.video or (
            max(one.start, other.start) - min(one.end, other.end) >= distance
        )

    def places(some: list[Candidate]) -> list[Candidate]:
        heads: list[Candidate] = []
        for one in some:
            if all(apart(one, head) for head in heads):
                heads.append(one)
        return heads

    found = list(first_places(candidates, count, distance))
    assert found == candidates[: len(found)]
    assert len(places(found)) == min(count, len(places(candidates)))
    if len(found) < len(candidates):  # one more would be a place too many
        assert len(places(candidates[: len(found) + 1])) == count + 1
