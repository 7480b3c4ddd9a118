"""Moments across a library: both stages, against looking at every video as a whole."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("av", reason="the extra 'video' is not installed")
pytest.importorskip("lancedb", reason="the extra 'search' is not installed")

from gnnreloc.data import Features, write_features
from gnnreloc.errors import InputError
from gnnreloc.models import create_model
from gnnreloc.models.saved_model import SavedModel
from gnnreloc.proposals import nms_1d
from gnnreloc.search import FoundMoment, index_tables
from gnnreloc.search.engine import MAX_OVERLAP
from gnnreloc.search.index import update_index
from gnnreloc.search.index_tables import IndexTables
from gnnreloc.search.library import Library, open_library
from gnnreloc.video import Backbone, Outcome
from gnnreloc.video.video_files import feature_name

STEP = 0.25


def made_up(rows: int, seed: int) -> Features:
    """Features that change slowly, around a place of their own, as those of videos do."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(rows + 8, 192, generator=random)
    moving = noise.unfold(0, 8, 1).mean(dim=-1)[:rows]
    return Features(moving + 0.1 * torch.randn(192, generator=random), STEP)


def extract(
    videos: Mapping[str, Path], store: Path, backbone: Backbone, decoder: str
) -> Iterator[Outcome]:
    """Features made up from what the file says: a number of rows and a seed."""
    for video, path in videos.items():
        text = path.read_text()
        rows, seed = map(int, text.split())
        metadata = {**backbone.settings, "decoder": decoder, "sha256": text}
        features = Features(made_up(rows, seed).values, STEP, metadata=metadata)
        write_features(store / f"{feature_name(video)}.safetensors", features)
        yield Outcome(video, path, "done", rows, STEP)


def write_library(folder: Path, numbers: Mapping[str, tuple[int, int]]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, (rows, seed) in numbers.items():
        (folder / name).write_text(f"{rows} {seed}")
    return folder


NUMBERS = {f"it's {seed}.mp4": (120 + 17 * seed, seed) for seed in range(6)}
WINDOWS = (2.0, 4.0, 8.0, 16.0)


def saved_model(context: float = 0.0) -> SavedModel:
    torch.manual_seed(0)
    model = create_model(
        "dynamic", in_channels=192, timesteps=6, hidden_channels=8, context=context
    )
    features = {"backbone": "thumbnail", "step": STEP}
    return SavedModel(model.eval(), "dynamic", {}, features, windows=WINDOWS)  # type: ignore[arg-type]


@pytest.fixture
def index(tmp_path: Path, backbone: Any) -> Path:
    library = write_library(tmp_path / "videos", NUMBERS)
    update_index(library, tmp_path / "index", backbone, extract=extract)
    return tmp_path / "index"


def ask_every_video(library: Library, query: Features, top: int) -> list[FoundMoment]:
    """The best moments of all videos, each looked at as a whole."""
    engine, found = library.engine, []
    for name, numbers in NUMBERS.items():
        video = made_up(*numbers)
        if engine.model is None:
            # Told apart by what differs from the video, and in the query from the library.
            centred = replace(video, values=video.values - video.values.mean(dim=0))
            clip = replace(query, values=query.values - library.embedding.mean)
            moments = engine.system.localize(clip, centred)
            kept = nms_1d(moments.segments, moments.scores, MAX_OVERLAP, max_keep=top)
            rows = moments.as_tensor()[kept].tolist()
        else:
            told = engine.localize(query, video, top=top)
            rows = [(one.start, one.end, one.score) for one in told]
        found += [FoundMoment(name, *row) for row in rows]
    return sorted(found, key=lambda one: -one.score)[:top]


def assert_same(found: list[FoundMoment], wanted: list[FoundMoment]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.video == other.video
        assert (one.start, one.end) == pytest.approx((other.start, other.end), abs=1e-3)
        assert one.score == pytest.approx(other.score, abs=1e-5)


def test_the_moment_that_shows_the_query_comes_first(
    scenes: dict[str, Any], rendered_videos: Any, tmp_path: Path, backbone: Any
) -> None:
    (tmp_path / "videos").mkdir()
    shutil.copy(scenes["reference"], tmp_path / "videos" / "right.mp4")
    for seed, action in enumerate(("ring_grows", "bar_swings", "circle_bounces")):
        moments = [rendered_videos.Scene(action, 2, 6, seed=seed)]
        path = tmp_path / "videos" / f"{action}.mp4"
        rendered_videos.render(path, moments, duration=10, seed=seed, numbered=False)
    update_index(tmp_path / "videos", tmp_path / "index", backbone)
    library = Library(tmp_path / "index", backbone=backbone)
    found = library.search(scenes["query"], candidates=20, top=3)
    start, end = scenes["truth"]
    assert found[0].video == "right.mp4" and len(found) == 3
    shared = min(found[0].end, end) - max(found[0].start, start)
    assert shared >= 0.5 * (max(found[0].end, end) - min(found[0].start, start))


def test_with_all_candidates_it_is_every_video_as_a_whole(index: Path, backbone: Any) -> None:
    library = Library(index, backbone=backbone)
    for seed, rows in ((0, 16), (1, 30)):
        query = made_up(*NUMBERS[f"it's {seed}.mp4"]).slice(10.0, 10.0 + rows * STEP)
        wanted = ask_every_video(library, query, top=8)
        assert_same(library.search(query, top=8, candidates=10**6), wanted)
        # Few candidates are enough for a query that is in the library.
        assert_same(library.search(query, top=1, candidates=20), wanted[:1])


@pytest.mark.parametrize("context", [0.0, 0.25])
def test_the_same_with_a_trained_model(tmp_path: Path, backbone: Any, context: float) -> None:
    write_library(tmp_path / "videos", NUMBERS)
    model = saved_model(context)
    update_index(tmp_path / "videos", tmp_path / "index", backbone, model=model, extract=extract)
    library = Library(tmp_path / "index", model, backbone=backbone)
    query = made_up(200, 2).slice(10.0, 14.0)
    wanted = ask_every_video(library, query, top=8)
    assert_same(library.search(query, top=8, candidates=10**6), wanted)
    # A few candidates are scored as among all: what surrounds them is there.
    few = library.search(query, top=3, candidates=5)
    every = [
        (name, score)
        for name, numbers in NUMBERS.items()
        for score in model.model.localize(
            query, made_up(*numbers), model.propose(made_up(*numbers))
        ).scores.tolist()
    ]
    assert few
    for one in few:
        assert any(v == one.video and s == pytest.approx(one.score, abs=1e-5) for v, s in every)


def test_an_inverted_file_gives_nearly_what_all_vectors_give(
    index: Path, backbone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_tables, "EXACT_UP_TO", 300)
    monkeypatch.setattr(index_tables, "PROBED", 0.7)  # of few cells, learned by chance
    tables = IndexTables(index)
    assert tables.count_proposals() > 300
    tables.build_inverted_file()
    library = Library(index, backbone=backbone)
    query = made_up(200, 3).slice(10.0, 14.0)
    vector = library.embedding.embed_query(query)
    lengths = (2.0, 8.0)
    exact = library.tables.nearest(vector, 20, lengths, exact=True)
    found = library.tables.nearest(vector, 20, lengths, exact=False)
    assert all(2.0 <= one.end - one.start <= 8.0 for one in [*exact, *found])
    assert [one.score for one in exact] == sorted((one.score for one in exact), reverse=True)
    places = [{(one.video, one.start, one.end) for one in some} for some in (exact, found)]
    assert len(places[0] & places[1]) >= 10
    # What comes later is found too.
    write_library(tmp_path / "videos", {"later.mp4": (200, 77)})
    update_index(tmp_path / "videos", index, backbone, extract=extract)
    later = library.search(made_up(200, 77).slice(10.0, 14.0), top=1)
    assert later[0].video == "later.mp4"


def test_it_is_read_while_it_is_written(index: Path, backbone: Any, tmp_path: Path) -> None:
    library = Library(index, backbone=backbone)
    query = made_up(200, 3).slice(10.0, 14.0)
    more = {f"more {seed}.mp4": (150, 100 + seed) for seed in range(12)}
    changed = {name: (rows // 2, seed + 50) for name, (rows, seed) in NUMBERS.items()}
    write_library(tmp_path / "videos", more | changed)
    answers: list[list[FoundMoment]] = []
    written = threading.Event()

    def ask() -> None:
        while not written.is_set():
            answers.append(library.search(query, top=5, candidates=50))

    reader = threading.Thread(target=ask)
    reader.start()
    try:
        update_index(tmp_path / "videos", index, backbone, extract=extract)
        update_index([], index, remove=list(more))
    finally:
        written.set()
        reader.join()
    assert len(answers) >= 2 and all(answers)
    for moments in answers:
        assert [one.score for one in moments] == sorted((m.score for m in moments), reverse=True)
        assert {one.video for one in moments} <= {*NUMBERS, *more}
    assert {one.video for one in library.search(query)} <= {*NUMBERS}


READER = """
import json
import sys
from pathlib import Path

import torch

from gnnreloc.data import DirectoryFeatureStore
from gnnreloc.search.library import Library
from gnnreloc.video import Backbone

{thumbnail}

folder = Path.cwd()
library = Library(folder / "index", backbone=Thumbnail())
query = DirectoryFeatureStore(folder / "queries")["query"]
names, count, lasts = set(), 0, False
while not lasts:
    lasts = (folder / "written").exists()  # once more after the end
    moments = library.search(query, top=5, candidates=50)
    assert len(moments) == 5
    names |= {{moment.video for moment in moments}}
    count += 1
    (folder / ("reads " + sys.argv[1])).touch()
print(json.dumps([count, sorted(names), sorted(moment.video for moment in moments)]))
"""


@pytest.mark.slow
def test_two_processes_read_while_one_writes(index: Path, backbone: Any, tmp_path: Path) -> None:
    script = READER.format(thumbnail=inspect.getsource(type(backbone)))
    query = made_up(200, 3).slice(10.0, 14.0)
    write_features(tmp_path / "queries" / "query.safetensors", query)
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(number)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    more = {f"more {seed}.mp4": (150, 100 + seed) for seed in range(12)}
    try:
        end = time.monotonic() + 120
        while len(list(tmp_path.glob("reads *"))) < 2 and time.monotonic() < end:
            assert all(reader.poll() is None for reader in readers)
            time.sleep(0.05)
        write_library(tmp_path / "videos", more)
        update_index(tmp_path / "videos", index, backbone, extract=extract)
        update_index([], index, remove=list(more))
        (tmp_path / "written").touch()
        told = [reader.communicate(timeout=120) for reader in readers]
    finally:
        for reader in readers:
            reader.kill()
    for output, errors in told:
        assert output, errors
        count, names, last = json.loads(output)
        assert count >= 3 and set(names) <= {*NUMBERS, *more} and set(last) <= {*NUMBERS}


def test_what_is_half_written_or_gone(index: Path, backbone: Any) -> None:
    library = Library(index, backbone=backbone)
    query = made_up(200, 3).slice(10.0, 14.0)
    best = library.search(query)[0].video
    writer = IndexTables(index)
    writer.remove_row(best)  # its proposals are still there
    assert best not in {one.video for one in library.search(query)}
    other = library.search(query)[0].video
    features = index / "features" / f"{feature_name(other)}.safetensors"
    features.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        library.search(query)
    for name in NUMBERS:
        writer.remove_proposals(name)
    assert library.search(query) == []


def test_bad_use(index: Path, backbone: Any, tmp_path: Path) -> None:
    library = Library(index, backbone=backbone)
    query = made_up(20, 3)
    with pytest.raises(InputError, match="top: at least 1 is needed, got 0"):
        library.search(query, top=0)
    with pytest.raises(InputError, match="candidates: at least 1 is needed, got -1"):
        library.search(query, candidates=-1)
    with pytest.raises(InputError, match="query has 3 feature channels, the index 192"):
        library.search(Features(torch.zeros(4, 3), STEP))
    with pytest.raises(InputError, match="nowhere is no index: index.json is missing"):
        open_library(tmp_path / "nowhere")
    with pytest.raises(InputError, match="a backbone of your own: give it"):
        open_library(index)
    with pytest.raises(InputError, match=r"holds windows of 1, .*trained on 2, 4, 8, 16 s"):
        update_index(tmp_path / "videos", index, backbone, model=saved_model(), extract=extract)
    (index / "embedding.safetensors").unlink()
    with pytest.raises(InputError, match="holds no videos yet"):
        Library(index, backbone=backbone)
