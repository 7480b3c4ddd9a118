"""Videos extracted by workers of Ray: the same store and index, whatever befalls a worker."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from gnnreloc.commands import features
from gnnreloc.data import DirectoryFeatureStore
from gnnreloc.errors import InputError
from gnnreloc.search.index import update_index
from gnnreloc.video import Backbone, create_backbone, extract_folder

try:
    from gnnreloc.video.ray_extraction import RayExtraction

    RayExtraction()
except InputError as error:
    pytest.skip(str(error), allow_module_level=True)

# Ray's own calls of what it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

# A worker that dies over files of some names: each time, or the first time.
MODULE = """
import os
import signal
from pathlib import Path

from gnnreloc.video import Backbone


class Colours(Backbone):
    name, channels, frame_size = "colours", 12, (2, 2)

    def __init__(self, store=None):
        self.store = store

    def encode(self, clips):
        begun = Path(self.store or "/nowhere").glob(".*.begun.tmp")
        for file in sorted(begun, key=lambda file: file.stat().st_mtime_ns)[-1:]:
            if "always" in file.name or "once" in file.name and file.stat().st_size == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        return clips.float().flatten(1)
"""


@pytest.fixture(scope="module")
def own_backbone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of a backbone in a module that workers must find as well."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_backbones.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    yield "own_backbones:Colours"
    sys.path.remove(str(folder))
    sys.modules.pop("own_backbones", None)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, rendered_videos: ModuleType) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for seed, name in enumerate(("a \u00fc.mp4", "b.webm", "c/d.mkv", "e.mp4")):
        (folder / name).parent.mkdir(exist_ok=True)
        rendered_videos.render(folder / name, duration=2.0 + seed, size=(64, 48), seed=seed)
    (folder / "text.mp4").write_text("no video")
    (folder / "empty.mp4").touch()
    return folder


@contextlib.contextmanager
def two_workers() -> Iterator[RayExtraction]:
    """A cluster of this machine for several calls, which find it running."""
    import ray

    with contextlib.ExitStack() as stack:
        from gnnreloc.video import ray_extraction

        stack.enter_context(ray_extraction._connected(ray, None, 2))
        yield RayExtraction(workers=2)


@pytest.mark.slow
def test_workers_leave_what_one_process_leaves(
    videos: Path, tmp_path: Path, own_backbone: str
) -> None:
    backbone = create_backbone(own_backbone)
    alone = extract_folder(videos, tmp_path / "alone", backbone)
    with two_workers() as extract:
        together = extract_folder(videos, tmp_path / "together", backbone, extract=extract)
        assert together == alone
        assert [outcome.status for outcome in alone].count("failed") == 2
        stores = [DirectoryFeatureStore(tmp_path / name) for name in ("alone", "together")]
        assert set(stores[0]) == set(stores[1]) and len(stores[0]) == 4
        for name in stores[0]:
            assert torch.equal(stores[0][name].values, stores[1][name].values)
            assert stores[0][name].metadata == stores[1][name].metadata
        again = extract_folder(videos, tmp_path / "together", backbone, extract=extract)
        assert {outcome.status for outcome in again} == {"skipped", "failed"}

        reports = [
            update_index(videos, tmp_path / f"index {name}", backbone, extract=how)
            for name, how in (("alone", None), ("together", extract))
        ]
        assert reports[0] == reports[1] and reports[0].videos == 4


@pytest.mark.slow
def test_ray_of_the_caller_and_a_step_chosen_late(
    videos: Path, tmp_path: Path, own_backbone: str
) -> None:
    import ray

    folder = str(Path(importlib.import_module("own_backbones").__file__ or "").parent)
    backbone = create_backbone(own_backbone)
    backbone.set_step(0.25)
    (tmp_path / "videos").mkdir()
    # The first one takes longest: the others are ready before it.
    for name, source in (("a.mp4", "e.mp4"), ("b.mp4", "a \u00fc.mp4"), ("c.mp4", "text.mp4")):
        shutil.copy(videos / source, tmp_path / "videos" / name)
    alone = extract_folder(tmp_path / "videos", tmp_path / "alone", backbone)
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join([folder, *sys.path])}},
    )
    try:
        before = ray.data.DataContext.get_current().execution_options.preserve_order
        extract = RayExtraction(workers=2)
        together = extract_folder(
            tmp_path / "videos", tmp_path / "together", backbone, extract=extract
        )
        assert ray.is_initialized()
        assert ray.data.DataContext.get_current().execution_options.preserve_order == before
    finally:
        ray.shutdown()
    assert together == alone and [outcome.rows for outcome in alone] == [20, 8, 0]
    assert DirectoryFeatureStore(tmp_path / "together")["a.mp4"].step == 0.25


@pytest.mark.slow
def test_worker_that_dies_costs_one_video_at_most(
    videos: Path, tmp_path: Path, own_backbone: str
) -> None:
    for name in ("always.mp4", "once.mp4", "x.mp4"):
        (tmp_path / "videos").mkdir(exist_ok=True)
        shutil.copy(videos / "e.mp4", tmp_path / "videos" / name)
    store = tmp_path / "store"
    backbone = create_backbone(own_backbone, store=str(store))
    with two_workers():
        # One worker, so that no other one dies of the file that is not its own.
        outcomes = extract_folder(
            tmp_path / "videos", store, backbone, extract=RayExtraction(workers=1)
        )
    found = {outcome.video: outcome for outcome in outcomes}
    assert {video: outcome.status for video, outcome in found.items()} == {
        "always.mp4": "failed",
        "once.mp4": "done",
        "x.mp4": "done",
    }
    assert "the worker died 2 times over it" in found["always.mp4"].reason
    assert not list(store.glob(".*.tmp"))


@pytest.mark.slow
def test_command_prints_json_alone(videos: Path, tmp_path: Path, own_backbone: str) -> None:
    folder = str(Path(importlib.import_module("own_backbones").__file__ or "").parent)
    line = [sys.executable, "-m", "gnnreloc.cli", "features", str(videos), "--out", "store"]
    line += ["--engine", "ray", "--workers", "2", "--backbone", own_backbone, "--json"]
    done = subprocess.run(
        line,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": folder},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    statuses = [video["status"] for video in json.loads(done.stdout)["videos"]]
    assert sorted(statuses) == ["done"] * 4 + ["failed"] * 2


def test_options_of_workers_need_the_engine(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    features.add_engine_options(parser)
    assert features.choose_engine(parser.parse_args([])) is None
    for option in (["--workers", "2"], ["--address", "auto"]):
        with pytest.raises(InputError, match=f"{option[0]} has no meaning without --engine ray"):
            features.choose_engine(parser.parse_args(option))
    asked = parser.parse_args(["--engine", "ray", "--workers", "3"])
    assert features.choose_engine(asked) == RayExtraction(workers=3)
    with pytest.raises(InputError, match="workers: at least 1 is needed, got 0"):
        RayExtraction(workers=0)


@pytest.mark.parametrize(
    ("address", "culprit"),
    [
        ("somewhere", "ray: found the address 'somewhere', wanted auto or HOST:PORT"),
        ("host:99999", "ray: found the address 'host:99999', wanted auto or HOST:PORT"),
        ("127.0.0.1:{closed}", "ray: no cluster 127.0.0.1:.*: Connection refused"),
        ("ray://127.0.0.1:{closed}", "ray: no cluster ray://127.0.0.1:.*: Connection refused"),
    ],
)
def test_a_cluster_that_is_not_there(
    address: str, culprit: str, tmp_path: Path, own_backbone: str
) -> None:
    with socket.socket() as one:  # its number is free again, and nobody listens there
        one.bind(("127.0.0.1", 0))
        closed = one.getsockname()[1]
    extract = RayExtraction(address=address.format(closed=closed))
    with pytest.raises(InputError, match=culprit):
        list(extract({"a": Path("a")}, tmp_path, create_backbone(own_backbone), "pyav"))


def test_backbone_that_cannot_travel_is_named() -> None:
    class Stuck(Backbone):
        name, channels, frame_size = "stuck", 3, (1, 1)

        def __init__(self) -> None:
            self.file = open(__file__, "rb")

        def encode(self, clips: torch.Tensor) -> torch.Tensor:
            return clips

    stuck = Stuck()
    with stuck.file, pytest.raises(InputError, match="backbone 'stuck' cannot be sent to workers"):
        next(iter(RayExtraction()({"a": Path("a")}, Path("store"), stuck, "pyav")))
