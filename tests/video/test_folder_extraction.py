"""Many videos into a store: what is skipped, redone, failed, and what an interruption leaves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gnnreloc.data import DirectoryFeatureStore
from gnnreloc.errors import InputError
from gnnreloc.video import Backbone, Outcome, extract_folder
from gnnreloc.video.store_lock import lock_store
from gnnreloc.video.video_files import feature_name, find_videos


class MeanColour(Backbone):
    """Three channels; counts what goes through it."""

    name, channels, frame_size = "mean_colour", 3, (16, 16)

    def __init__(self) -> None:
        self.rows = 0

    def encode(self, clips: Tensor) -> Tensor:
        self.rows += len(clips)
        return clips.float().mean(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def originals(rendered_videos: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five good files of 1 s, two in folders inside; a truncated one of 2 s; four bad ones."""
    folder = tmp_path_factory.mktemp("originals")
    names = ("a.mp4", "a.webm", "b.AVI.avi", "day 1/a.mp4", "day 1/100%/c..mkv")
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        rendered_videos.render(folder / name, duration=1.0, size=(64, 48), seed=seed)
    whole = rendered_videos.render(folder / "cut.mkv", duration=4.0, size=(64, 48)).path
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "text.mp4").write_text("no video")
    (folder / "empty.mp4").touch()
    rendered_videos.render_sound(folder / "sound.mp4")
    shutil.copytree(folder / "day 1", folder / ".hidden")
    (folder / "notes.txt").write_text("not looked at")
    return folder


@pytest.fixture
def videos(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals, tmp_path / "videos"))


GOOD = ["a.mp4", "a.webm", "b.AVI.avi", "cut.mkv", "day 1/100%/c..mkv", "day 1/a.mp4"]
BAD = ["empty.mp4", "sound.mp4", "text.mp4"]


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.video: outcome.status for outcome in outcomes}


def test_bad_files_are_listed_and_stop_nothing(videos: Path, tmp_path: Path) -> None:
    backbone, told = MeanColour(), list[Outcome]()
    outcomes = extract_folder(videos, tmp_path / "store", backbone, on_outcome=told.append)
    assert told == outcomes
    assert statuses(outcomes) == dict.fromkeys(GOOD, "done") | dict.fromkeys(BAD, "failed")
    reasons = {outcome.video: outcome.reason for outcome in outcomes if outcome.reason}
    assert list(reasons) == ["cut.mkv", *BAD]
    assert "truncated or damaged: readable to" in reasons["cut.mkv"]
    assert reasons["sound.mp4"] == f"{videos / 'sound.mp4'}: found no video in it, only audio"

    store = DirectoryFeatureStore(tmp_path / "store")
    assert set(store) == {feature_name(name) for name in GOOD}
    for outcome in outcomes:
        if outcome.status == "done":
            features = store[feature_name(outcome.video)]
            assert (features.num_steps, features.step) == (outcome.rows, outcome.step)
            assert features.step == 0.5 and features.num_channels == 3
            assert features.metadata["backbone"] == "mean_colour"
    assert store["a.mp4"].num_steps == 2
    # Videos of another seed look otherwise.
    assert not torch.equal(store["a.mp4"].values, store["day 1%2Fa.mp4"].values)


def test_what_is_done_is_skipped_and_what_changed_is_done_again(
    videos: Path, tmp_path: Path
) -> None:
    backbone, store = MeanColour(), tmp_path / "store"
    first = extract_folder(videos, store, backbone)
    again = extract_folder(videos, store, backbone)
    assert statuses(again) == dict.fromkeys(GOOD, "skipped") | dict.fromkeys(BAD, "failed")
    assert [(one.rows, one.step, one.reason) for one in again] == [
        (one.rows, one.step, one.reason) for one in first
    ]
    rows = backbone.rows

    os.utime(videos / "a.mp4", ns=(0, 10**18))  # same content: nothing to do, and remembered
    shutil.copy(videos / "day 1" / "a.mp4", videos / "a.webm")  # other content
    (store / "b.AVI.avi.safetensors").write_bytes(b"broken")
    shutil.copy(videos / "a.mp4", videos / "text.mp4")
    outcomes = statuses(extract_folder(videos, store, backbone))
    done = {name for name, status in outcomes.items() if status == "done"}
    assert done == {"a.webm", "b.AVI.avi", "text.mp4"}
    assert backbone.rows == rows + 6
    assert DirectoryFeatureStore(store)["a.mp4"].metadata["changed"] == 10**18
    assert set(statuses(extract_folder(videos, store, backbone)).values()) == {"skipped", "failed"}

    backbone.set_step(0.25)  # other settings
    assert statuses(extract_folder(videos, store, backbone))["a.mp4"] == "done"
    assert DirectoryFeatureStore(store)["a.mp4"].num_steps == 4


def test_what_a_backbone_raises_is_the_reason(videos: Path, tmp_path: Path) -> None:
    class Broken(MeanColour):
        def encode(self, clips: Tensor) -> Tensor:
            raise RuntimeError("out of memory")

    outcomes = extract_folder(videos / "a.mp4", tmp_path / "store", Broken())
    assert outcomes[0].status == "failed"
    assert outcomes[0].reason == f"{videos / 'a.mp4'}: RuntimeError: out of memory"


def test_an_interruption_keeps_what_is_done(videos: Path, tmp_path: Path) -> None:
    backbone, store = MeanColour(), tmp_path / "store"

    def interrupt(video: str, seconds: float) -> None:
        if video == "b.AVI.avi":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_folder(videos, store, backbone, on_seconds=interrupt)
    (store / ".a.mp4.safetensors.0123.tmp").write_bytes(b"left by a process that was killed")
    assert set(DirectoryFeatureStore(store)) == {"a.mp4", "a.webm"}
    outcomes = statuses(extract_folder(videos, store, backbone))
    assert [name for name in GOOD if outcomes[name] == "skipped"] == ["a.mp4", "a.webm"]
    assert not list(store.glob(".*.tmp"))


START = """
import sys, time
from gnnreloc.video import Backbone, extract_folder
class Slow(Backbone):
    name, channels, frame_size, fps = "mean_colour", 3, (16, 16), 8.0
    def encode(self, clips):
        time.sleep(0.2)
        return clips.float().mean(dim=(1, 2, 3))
print("ready", flush=True)
extract_folder(sys.argv[1], sys.argv[2], Slow())
"""


def content(store: Path) -> dict[str, tuple[object, ...]]:
    found = DirectoryFeatureStore(store)
    return {
        video: (features.values.tolist(), features.step, features.offset, features.metadata)
        for video, features in found.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_and_continued_is_as_uninterrupted(
    videos: Path, tmp_path: Path, kind: signal.Signals
) -> None:
    backbone = MeanColour()
    backbone.set_step(1 / 8)
    extract_folder(videos, tmp_path / "wanted", backbone)
    wanted, store = content(tmp_path / "wanted"), tmp_path / "store"
    command = [sys.executable, "-c", START, str(videos), str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        while len(list(store.glob("*.safetensors"))) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        with pytest.raises(InputError, match=rf"being written by another process \({process.pid}"):
            extract_folder(videos, store, backbone)
        process.send_signal(kind)
        assert process.wait(30) != 0
    kept = content(store)
    assert kept and all(wanted[name] == rows for name, rows in kept.items())
    assert len(kept) < len(wanted)
    outcomes = extract_folder(videos, store, backbone)
    assert sum(outcome.status == "skipped" for outcome in outcomes) == len(kept)
    assert content(store) == wanted


def test_one_writer_at_a_time(videos: Path, tmp_path: Path) -> None:
    with lock_store(tmp_path / "store"):
        with pytest.raises(InputError, match=rf"another process \({os.getpid()}\): wait for it"):
            extract_folder(videos, tmp_path / "store", MeanColour())
    assert extract_folder(videos / "a.mp4", tmp_path / "store", MeanColour())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: cannot be written"):
        extract_folder(videos, tmp_path / "file", MeanColour())


def test_names_are_those_of_the_files(videos: Path) -> None:
    found = find_videos(videos)
    assert list(found) == sorted([*GOOD, *BAD])
    assert all(path == videos / name for name, path in found.items())
    several = find_videos([videos / "day 1", videos / "b.AVI.avi", videos / "notes.txt"])
    assert list(several) == ["100%/c..mkv", "a.mp4", "b.AVI.avi", "notes.txt"]
    assert list(find_videos([videos / "a.mp4", videos / "a.mp4"])) == ["a.mp4"]


def test_sources_without_videos(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: find_videos(tmp_path / "none"), "none: found no videos"),
        (lambda: find_videos(tmp_path / "nowhere"), "nowhere: found no such file or folder"),
        (lambda: find_videos([]), "nothing: found no videos"),
        (lambda: find_videos([videos, videos / "day 1"]), "would both be called 'a.mp4'"),
    ]
    for use, culprit in cases:
        with pytest.raises(InputError, match=culprit):
            use()


@given(st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_every_name_has_a_plain_one_of_its_own(video: str) -> None:
    name = feature_name(video)
    assert not name.startswith(".") and not set(name) & set("/\\")
    # Undone by reading every %XX as a byte: so no two videos share one.
    parts = name.split("%")
    raw = os.fsencode(parts[0]) + b"".join(
        bytes([int(part[:2], 16)]) + os.fsencode(part[2:]) for part in parts[1:]
    )
    assert os.fsdecode(raw) == video
