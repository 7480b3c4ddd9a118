"""From files to ranked moments: training-free and trained, encoded once, cached, bad input."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import gnnreloc
from gnnreloc.data import Features
from gnnreloc.errors import InputError
from gnnreloc.models import create_model
from gnnreloc.models.saved_model import save_model
from gnnreloc.proposals import geometric_lengths, window_proposals
from gnnreloc.search import FoundMoment
from gnnreloc.search.engine import LENGTHS, LONGEST, SHORTEST, WINDOW_OVERLAP


def tiou(found: FoundMoment, truth: tuple[float, float]) -> float:
    inside = min(found.end, truth[1]) - max(found.start, truth[0])
    return max(inside, 0.0) / (max(found.end, truth[1]) - min(found.start, truth[0]))


def test_the_moment_that_shows_the_query_comes_first(scenes: dict[str, Any], backbone: Any) -> None:
    reloc = gnnreloc.load(backbone=backbone)
    video = reloc.encode(scenes["reference"])
    moments = reloc.localize(scenes["query"], video)
    assert tiou(moments[0], scenes["truth"]) >= 0.5
    assert 1 < len(moments) <= 5
    assert [found.score for found in moments] == sorted((m.score for m in moments), reverse=True)
    for place, found in enumerate(moments):
        assert found.video == str(scenes["reference"]) and 0 <= found.start < found.end <= 16
        assert all(tiou(found, (m.start, m.end)) <= 0.3 for m in moments[:place])
    assert len(reloc.localize(scenes["query"], video, top=1)) == 1
    # The same, encoded for this one query.
    assert reloc.localize(scenes["query"], scenes["reference"]) == moments


def test_a_video_is_encoded_once(scenes: dict[str, Any], backbone: Any) -> None:
    reloc = gnnreloc.load(backbone=backbone)
    video = reloc.encode(scenes["reference"])
    made = backbone.rows
    assert made == 64
    query = reloc.encode_query(scenes["query"])
    assert backbone.rows == made + 16
    assert reloc.localize(query, video) == reloc.localize(query, video)
    assert backbone.rows == made + 16


def test_times_of_a_part_are_those_of_its_file(scenes: dict[str, Any], backbone: Any) -> None:
    reloc = gnnreloc.load(backbone=backbone)
    name = f"{scenes['reference']}#t=7,15"
    found = reloc.localize(scenes["query"], name, top=1)[0]
    assert found.video == name and tiou(found, scenes["truth"]) >= 0.5
    part = f"{scenes['reference']}#t=9,13"
    assert tiou(reloc.localize(part, scenes["reference"], top=1)[0], scenes["truth"]) >= 0.5


def test_moments_end_with_the_video(backbone: Any, rendered_videos: Any, tmp_path: Path) -> None:
    path = rendered_videos.render(tmp_path / "v.mp4", duration=3.16, size=(64, 48)).path
    reloc = gnnreloc.load(backbone=backbone)
    video = reloc.encode(path)
    assert video.features.duration > video.end == pytest.approx(3.16)
    assert max(found.end for found in reloc.localize(path, video)) == pytest.approx(3.16)


def test_features_of_whole_files_are_kept(
    scenes: dict[str, Any], backbone: Any, tmp_path: Path
) -> None:
    path = shutil.copy(scenes["reference"], tmp_path / "a.mp4")
    first = gnnreloc.load(backbone=backbone, cache=tmp_path / "cache").encode(path)
    made = backbone.rows
    again = gnnreloc.load(backbone=backbone, cache=tmp_path / "cache").encode(path)
    assert backbone.rows == made
    assert torch.equal(first.features.values, again.features.values)
    # Another file of the same name, elsewhere and in its place.
    (tmp_path / "other").mkdir()
    other = shutil.copy(scenes["query"], tmp_path / "other" / "a.mp4")
    reloc = gnnreloc.load(backbone=backbone, cache=tmp_path / "cache")
    assert reloc.encode(other).features.num_steps == 16
    assert reloc.encode(path).features.num_steps == 64
    shutil.copy(scenes["query"], path)
    assert reloc.encode(path).features.num_steps == 16


def trained(folder: Path, **more: Any) -> Path:
    torch.manual_seed(0)
    model = create_model("dynamic", in_channels=192, timesteps=6, hidden_channels=8)
    options = {"timesteps": 6, "hidden_channels": 8}
    return save_model(folder, model, name="dynamic", options=options, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("windows", [(2.0, 4.0), ()])
def test_a_trained_model(
    scenes: dict[str, Any], backbone: Any, tmp_path: Path, windows: tuple[float, ...]
) -> None:
    features = {"backbone": "thumbnail", "step": 0.25}
    trained(tmp_path / "run", features=features, windows=windows)
    reloc = gnnreloc.load(tmp_path / "run", backbone=backbone)
    video = reloc.encode(scenes["reference"])
    lengths = windows or geometric_lengths(SHORTEST, LONGEST, LENGTHS)
    overlap = 0.5 if windows else WINDOW_OVERLAP
    wanted = window_proposals(16.0, lengths=lengths, overlap=overlap)
    assert video.encoded.proposals is not None and torch.equal(video.encoded.proposals, wanted)
    found = reloc.localize(scenes["query"], video)
    assert reloc.model is not None
    query = reloc.encode_query(scenes["query"])
    best = reloc.model.model.localize(query, video.features, wanted)
    assert (found[0].start, found[0].end) == pytest.approx(best.segments[0].tolist(), abs=1e-3)
    other = gnnreloc.load(tmp_path / "run", backbone=backbone, proposals="tag")
    proposals = other.encode(scenes["reference"]).encoded.proposals
    assert proposals is not None and not torch.equal(proposals, wanted)


def test_a_model_refuses_features_of_others(
    scenes: dict[str, Any], backbone: Any, tmp_path: Path
) -> None:
    trained(tmp_path / "run", features={"backbone": "c3d"})
    reloc = gnnreloc.load(tmp_path / "run", backbone=backbone)
    with pytest.raises(InputError, match=r"reference.mp4.*'thumbnail'.*'c3d'"):
        reloc.encode(scenes["reference"])


def test_bad_input(scenes: dict[str, Any], backbone: Any, tmp_path: Path) -> None:
    reloc = gnnreloc.load(backbone=backbone, cache=tmp_path / "cache")
    with pytest.raises(InputError, match=r"missing.mp4: found no such file"):
        reloc.encode(tmp_path / "missing.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError, match=r"text.mp4"):
        reloc.encode(tmp_path / "text.mp4")
    with pytest.raises(InputError, match=r"end at 40 s is beyond the end, 16.00 s"):
        reloc.localize(f"{scenes['reference']}#t=30,40".replace("30", "3"), scenes["reference"])
    with pytest.raises(InputError, match="top: at least 1"):
        reloc.localize(scenes["query"], scenes["reference"], top=0)
    with pytest.raises(InputError, match="proposals must be one of windows, tag, got 'all'"):
        gnnreloc.load(backbone=backbone, proposals="all")
    with pytest.raises(InputError, match="query has 3 feature channels, the reference 192"):
        reloc.localize(Features(torch.zeros(4, 3), 0.25), scenes["reference"])
    with pytest.raises(InputError, match="step: found 0.5, and a backbone whose step is 0.25"):
        gnnreloc.load(backbone=backbone, step=0.5)
    broken = Features(torch.full((4, 192), torch.nan), 0.25)
    with pytest.raises(InputError, match="the query.*row 0 .*nan"):
        reloc.localize(broken, scenes["reference"])
    with pytest.raises(InputError, match="the video.*row 0 .*nan"):
        reloc.encode(broken)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written"):
        gnnreloc.load(backbone=backbone, cache=tmp_path / "file").encode(scenes["query"])
    with pytest.raises(InputError, match="nothing here"):
        gnnreloc.load(tmp_path / "nothing here", backbone=backbone)
