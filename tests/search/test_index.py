"""The index of a library: put in, skipped, changed, taken out; bad files; interruptions."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="the extra 'video' is not installed")
pytest.importorskip("lancedb", reason="the extra 'search' is not installed")

import lancedb.merge
import lancedb.table

from gnnreloc.data import DirectoryFeatureStore
from gnnreloc.errors import InputError
from gnnreloc.proposals import window_proposals
from gnnreloc.search import index as index_module
from gnnreloc.search.index import IndexReport, update_index
from gnnreloc.search.index_settings import read_settings
from gnnreloc.search.index_tables import IndexTables
from gnnreloc.video.folder_extraction import one_by_one
from gnnreloc.video.store_lock import lock_store

GOOD = ["a.mp4", "b.webm", "cut.mkv", "day 1/it's.mp4"]
BAD = ["empty.mp4", "sound.mp4", "text.mp4"]


@pytest.fixture(scope="module")
def originals(rendered_videos: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good files of 2 s, a truncated one, and three bad ones."""
    folder = tmp_path_factory.mktemp("originals")
    (folder / "day 1").mkdir()
    for seed, name in enumerate(("a.mp4", "b.webm", "day 1/it's.mp4")):
        scenes = [rendered_videos.Scene("bar_swings", 0.5, 1.5, seed=seed)]
        rendered_videos.render(folder / name, scenes, duration=2.0, size=(64, 48), seed=seed)
    whole = rendered_videos.render(folder / "cut.mkv", duration=4.0, size=(64, 48)).path
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "text.mp4").write_text("no video")
    (folder / "empty.mp4").touch()
    rendered_videos.render_sound(folder / "sound.mp4")
    return folder


@pytest.fixture
def videos(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals, tmp_path / "videos"))


def statuses(report: IndexReport) -> dict[str, str]:
    return {outcome.video: outcome.status for outcome in report.outcomes}


class Rounded(list[Any]):
    """Vectors that are equal to others where they differ by rounding alone, as with two threads."""

    def __eq__(self, other: object) -> bool:
        return np.shape(self) == np.shape(other) and np.allclose(self, other, atol=1e-4)

    __hash__ = None  # type: ignore[assignment]


def content(index: Path) -> tuple[Any, ...]:
    """All that an index holds, without the paths and times of the videos."""
    tables = IndexTables(index)
    store = DirectoryFeatureStore(index / "features")
    rows = {name: video._replace(path="") for name, video in tables.videos().items()}
    means = {name: mean.tolist() for name, (_, mean) in tables.means(list(rows)).items()}
    features = {name: store[name].values.tolist() for name in store}
    proposals = tables.all_proposals().to_pydict()
    proposals["vector"] = Rounded(proposals["vector"])
    return rows, means, proposals, features, read_settings(index)


def test_bad_files_are_listed_and_stop_nothing(videos: Path, tmp_path: Path, backbone: Any) -> None:
    told: list[str] = []
    report = update_index(
        videos, tmp_path / "index", backbone, on_outcome=lambda one: told.append(one.video)
    )
    assert statuses(report) == dict.fromkeys(GOOD, "done") | dict.fromkeys(BAD, "failed")
    assert told == sorted([*GOOD, *BAD]) and report.videos == len(GOOD)
    reasons = {outcome.video: outcome.reason for outcome in report.outcomes if outcome.reason}
    assert list(reasons) == ["cut.mkv", *BAD]
    assert "truncated or damaged" in reasons["cut.mkv"] and "is empty" in reasons["empty.mp4"]
    assert "only audio" in reasons["sound.mp4"]
    rows, means, proposals, _, settings = content(tmp_path / "index")
    assert list(rows) == GOOD and report.proposals == len(proposals["video"])
    store = DirectoryFeatureStore(tmp_path / "index" / "features")
    for name, video in rows.items():
        features = store[name.replace("/", "%2F")]
        wanted = window_proposals(features.duration, lengths=settings.lengths, overlap=0.5)
        found = [
            (proposals["start"][i], proposals["end"][i])
            for i, owner in enumerate(proposals["video"])
            if owner == name
        ]
        assert torch.equal(torch.tensor(found, dtype=torch.float64), wanted)
        assert (video.rows, video.proposals) == (features.num_steps, len(wanted))
        assert means[name] == pytest.approx(features.values.mean(dim=0).tolist(), abs=1e-6)


def test_a_file_that_may_not_be_read(
    videos: Path, tmp_path: Path, backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = videos / "a.mp4"
    closed.chmod(0)
    if os.geteuid() == 0:  # root may read every file

        def open_others(path: Path, *given: Any, **more: Any) -> Any:
            if path == closed:
                raise PermissionError(13, "Permission denied")
            return open(path, *given, **more)

        monkeypatch.setattr(Path, "open", open_others)
    report = update_index(videos, tmp_path / "index", backbone)
    assert [one.video for one in report.outcomes if one.status == "done"] == GOOD[1:]
    assert report.outcomes[0].reason == f"{closed}: no permission to read it"


def test_videos_in_a_folder_that_cannot_be_read_stay(
    videos: Path, tmp_path: Path, backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, closed, scandir = tmp_path / "index", videos / "day 1", os.scandir
    update_index(videos, index, backbone)
    before = content(index)

    def scan(path: Any) -> Any:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    report = update_index(videos, index, backbone, prune=True)
    assert report.removed == () and statuses(report)["day 1/"] == "failed"
    assert content(index) == before
    reasons = {outcome.video: outcome.reason for outcome in report.outcomes}
    assert reasons["day 1/"] == f"{closed}: the folder cannot be read: no permission to read it"


def test_what_is_done_is_skipped_and_what_changed_is_replaced(
    videos: Path, tmp_path: Path, backbone: Any
) -> None:
    index = tmp_path / "index"
    update_index(videos, index, backbone)
    before, made = content(index), backbone.rows
    again = update_index(videos, index, backbone)
    assert statuses(again) == dict.fromkeys(GOOD, "skipped") | dict.fromkeys(BAD, "failed")
    assert content(index) == before and backbone.rows == made

    shutil.copy(videos / "cut.mkv", videos / "b.webm")  # longer than before
    shutil.copy(videos / "a.mp4", videos / "text.mp4")
    (videos / "a.mp4").write_text("broken now")  # what is there of it stays
    report = update_index(videos, index, backbone)
    done = {name for name, status in statuses(report).items() if status == "done"}
    assert done == {"b.webm", "text.mp4"}
    assert statuses(report)["a.mp4"] == "failed"
    rows, means, *_ = content(index)
    assert list(rows) == sorted([*GOOD, "text.mp4"])
    assert rows["b.webm"][2:] == rows["cut.mkv"][2:] != before[0]["b.webm"][2:]
    assert means["text.mp4"] == means["a.mp4"] == before[1]["a.mp4"]
    vectors = IndexTables(index).all_proposals().to_pandas()
    of = {name: Rounded(some["vector"].tolist()) for name, some in vectors.groupby("video")}
    assert of["b.webm"] == of["cut.mkv"] and of["text.mp4"] == of["a.mp4"]


def test_videos_are_taken_out(videos: Path, tmp_path: Path, backbone: Any) -> None:
    index = tmp_path / "index"
    update_index(videos, index, backbone)
    report = update_index([], index, remove=["day 1/it's.mp4"])
    assert report.removed == ("day 1/it's.mp4",) and report.videos == 3
    rows, _, proposals, features, _ = content(index)
    kept = {"a.mp4", "b.webm", "cut.mkv"}
    assert set(rows) == set(proposals["video"]) == set(features) == kept
    with pytest.raises(InputError, match=r"index holds no video \"day 1/it's.mp4\" to remove"):
        update_index([], index, remove=["day 1/it's.mp4"])

    (videos / "b.webm").unlink()
    assert update_index(videos, index, backbone).removed == ()
    assert "b.webm" in content(index)[0]
    report = update_index(videos, index, backbone, prune=True)
    assert report.removed == ("b.webm",) and statuses(report)["day 1/it's.mp4"] == "skipped"
    assert list(content(index)[0]) == ["a.mp4", "cut.mkv", "day 1/it's.mp4"]
    with pytest.raises(InputError, match="prune: wanted the library"):
        update_index([], index, remove=["a.mp4"], prune=True)


def test_a_library_that_moved_and_another_one(videos: Path, tmp_path: Path, backbone: Any) -> None:
    index = tmp_path / "index"
    update_index(videos, index, backbone)
    made = backbone.rows
    (tmp_path / "more").mkdir()
    shutil.copy(videos / "b.webm", tmp_path / "more" / "a.mp4")
    with pytest.raises(InputError, match=r"would both be called 'a.mp4'"):
        update_index(tmp_path / "more", index, backbone)
    videos.rename(tmp_path / "moved")
    update_index(tmp_path / "moved", index, backbone)
    assert backbone.rows == made
    assert IndexTables(index).videos()["a.mp4"].path == str(tmp_path / "moved" / "a.mp4")


def test_the_order_of_extraction_is_free(videos: Path, tmp_path: Path, backbone: Any) -> None:
    update_index(videos, tmp_path / "wanted", backbone)

    def backwards(found: Any, store: Path, chosen: Any, decoder: str) -> Iterator[Any]:
        yield from reversed(list(one_by_one()(found, store, chosen, decoder)))

    report = update_index(videos, tmp_path / "index", backbone, extract=backwards)
    assert [outcome.video for outcome in report.outcomes] == sorted([*GOOD, *BAD])
    assert content(tmp_path / "index") == content(tmp_path / "wanted")


class Crash(BaseException):
    """Stands for a process that ends here."""


WRITES = [
    (os, "replace"),
    (lancedb.table.LanceTable, "add"),
    (lancedb.table.LanceTable, "delete"),
    (lancedb.table.LanceTable, "optimize"),
    (lancedb.merge.LanceMergeInsertBuilder, "execute"),
]


def crash_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the process end before a write."""
    count = 0

    def watched(write: Callable[..., Any]) -> Callable[..., Any]:
        def write_or_crash(*given: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count > number:
                raise Crash
            return write(*given, **more)

        return write_or_crash

    for owner, name in WRITES:
        monkeypatch.setattr(owner, name, watched(getattr(owner, name)))


def test_ended_before_any_write_and_continued_is_as_uninterrupted(
    videos: Path, tmp_path: Path, backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "FITTED_ON", 2)
    update_index(videos, tmp_path / "before", backbone)
    shutil.copy(videos / "cut.mkv", videos / "b.webm")
    (videos / "a.mp4").unlink()
    shutil.copytree(tmp_path / "before", tmp_path / "wanted")
    update_index(videos, tmp_path / "wanted", backbone, prune=True)
    update_index(videos, tmp_path / "new", backbone)
    for name, start in (("wanted", tmp_path / "before"), ("new", None)):
        wanted, crashed = content(tmp_path / name), 0
        while True:
            index = tmp_path / f"{name}_{crashed}"
            if start is not None:
                shutil.copytree(start, index)
            with monkeypatch.context() as patch:
                crash_at(patch, crashed)
                try:
                    update_index(videos, index, backbone, prune=True)
                    break
                except Crash:
                    crashed += 1
            update_index(videos, index, backbone, prune=True)
            assert content(index) == wanted
        # At least the features, the proposals and the row of each video that is written.
        assert crashed >= (5 if start else 12)


BACKBONE = """
import time
from gnnreloc.video import Backbone

class Slow(Backbone):
    name, channels, frame_size, fps = "slow", 192, (8, 8), 4.0

    def encode(self, clips):
        time.sleep(0.02 * len(clips))
        return (clips.flatten(1).float() / 255 - 0.65).relu()
"""

START = """
import sys
import gnnreloc.search.index as module
from gnnreloc.cli import main
import lancedb
module.FITTED_ON = 2
print("ready", flush=True)
sys.exit(main(["index", sys.argv[1], "--out", sys.argv[2], "--backbone", "slow_backbone:Slow"]))
"""


@pytest.mark.slow
def test_killed_at_five_random_points_and_continued_is_as_uninterrupted(
    videos: Path, tmp_path: Path
) -> None:
    for number in range(6):
        shutil.copy(videos / "a.mp4", videos / f"more {number}.mp4")
    (tmp_path / "slow_backbone.py").write_text(BACKBONE)

    def start(index: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", START, str(videos), str(index)]
        path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        return process

    index, chance, killed = tmp_path / "index", random.Random(), 0
    with start(tmp_path / "wanted") as process:
        began = time.monotonic()
        assert process.stdout is not None and process.stdout.read()
        assert process.wait() == 1  # some files are bad
        whole = time.monotonic() - began
    for _ in range(5):
        with start(index) as process:
            time.sleep(chance.uniform(0, whole / 3))
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
    assert killed >= 1
    with start(index) as process:
        assert process.stdout is not None and process.stdout.read()
        assert process.wait() == 1
    assert content(index) == content(tmp_path / "wanted")


def test_without_lancedb(
    videos: Path, tmp_path: Path, backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(InputError, match=r"an index needs the extra 'search': pip install"):
        update_index(videos, tmp_path / "index", backbone)
    assert backbone.rows == 0


def test_bad_use(videos: Path, tmp_path: Path, backbone: Any) -> None:
    index = tmp_path / "index"
    update_index(videos / "a.mp4", index, backbone)
    with lock_store(index):
        with pytest.raises(InputError, match=r"being written by another process"):
            update_index(videos, index, backbone)
    backbone.set_step(0.5)
    with pytest.raises(InputError, match=r"whose fps is 4.0, found 2.0"):
        update_index(videos, index, backbone)
    with pytest.raises(InputError, match=r"whose backbone is 'thumbnail', found 'efficientnet"):
        update_index(videos, index, "efficientnet_lite0")
    with pytest.raises(InputError, match=r"a backbone of your own: give it"):
        update_index(videos, index)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(InputError, match=r"other is no index, and not empty: .* 'notes.txt'"):
        update_index(videos, tmp_path / "other", backbone)
    with pytest.raises(InputError, match=r"none is no index: index.json is missing"):
        update_index([], tmp_path / "none", remove=["a.mp4"])
    text = (index / "index.json").read_text()
    (index / "index.json").write_text(text.replace('"gnnreloc_index": 1', '"gnnreloc_index": 2'))
    with pytest.raises(InputError, match=r"format 2, this version of gnnreloc reads format 1"):
        update_index(videos, index, backbone)
    (index / "index.json").write_text("{}")
    with pytest.raises(InputError, match=r"'gnnreloc_index' is missing"):
        update_index(videos, index, backbone)
    (index / "index.json").write_text('{"gnnreloc_index": 1, "lengths": [1.0]}')
    with pytest.raises(InputError, match=r"index.json is damaged"):
        update_index(videos, index, backbone)
