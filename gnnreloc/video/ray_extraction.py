"""Features of many videos, by several processes or machines: Ray Data."""

from __future__ import annotations

import logging
import os
import pickle
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from gnnreloc.errors import InputError
from gnnreloc.video.backbones import Backbone, create_backbone
from gnnreloc.video.folder_extraction import Outcome, extract_to_store
from gnnreloc.video.video_files import feature_name

#: Times that a video is begun: a worker that dies may have been killed, or have choked on it.
ATTEMPTS = 2
#: Videos are handed out one by one up to this number of them, above it several at a time.
MOST_BLOCKS = 20_000
#: Seconds within which a cluster must answer.
CONNECT = 10.0


@dataclass(frozen=True)
class RayExtraction:
    """Extracts videos side by side, as :func:`~gnnreloc.video.extract_folder` does in turn.

    Each worker is an actor of Ray Data that makes the backbone once and writes the features of
    whole videos into the store, which all machines of a cluster must reach under the same path, as
    the videos. What the store holds says what is done: whatever ended a run, the next one goes on
    from there. A worker that dies is replaced, and its video begun once more.

    A backbone of :func:`~gnnreloc.video.create_backbone` is made anew by each worker, on the GPU
    where it has one; any other one travels to them as it is.

    Args:
        workers: how many; by default as many as there are GPUs, else CPUs.
        address: of a Ray cluster, or ``auto`` for the one of this machine; by default that of the
            environment variable ``RAY_ADDRESS``, and without it processes of this machine, which
            end with the call.

    Raises:
        InputError: if ``workers`` is below 1, or Ray is not installed.

    Example:
        .. code-block:: python

            extract_folder("VIDEOS", "FEATURES", extract=RayExtraction(workers=8))
    """

    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"workers: at least 1 is needed, got {self.workers}")
        _import_ray()

    def __call__(
        self, videos: Mapping[str, Path], store: Path, backbone: Backbone, decoder: str = "pyav"
    ) -> Iterator[Outcome]:
        """Outcomes of videos in their order, each as soon as it and those before are known.

        Args:
            videos: name and file of each.
            store: folder that the caller holds the lock of.
            backbone: what makes the rows.
            decoder: what decodes.

        Raises:
            InputError: if the cluster cannot be reached, or the workers cannot make the backbone.
        """
        if not videos:
            return
        ray = _import_ray()
        maker = _pickled(ray, backbone)
        with _connected(ray, self.address, self.workers):
            resources = ray.cluster_resources()
            cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
            workers = min(self.workers or gpus or cpus, len(videos))
            threads = max(1, cpus // workers)
            items = [
                {"video": os.fsencode(video), "path": os.fsencode(path.absolute())}
                for video, path in videos.items()
            ]
            with ray.data.DataContext.current(_in_order(ray)):
                data = ray.data.from_items(items, override_num_blocks=min(len(items), MOST_BLOCKS))
            made = data.map(
                _Worker,
                fn_constructor_args=(maker, str(Path(store).absolute()), decoder, threads),
                concurrency=workers,
                num_cpus=threads,
                num_gpus=min(1.0, gpus / workers) if gpus else None,
            )
            try:
                for row in made.iter_rows():
                    outcome: Outcome = pickle.loads(row["outcome"])
                    yield replace(outcome, path=videos[outcome.video])
            except ray.exceptions.RayError as error:
                reason = str(error).strip().rpartition("\n")[2]
                raise InputError(f"ray: the workers failed: {reason}") from error


class _Worker:
    """Extracts one video after the other, in a process of its own."""

    def __init__(self, maker: bytes, store: str, decoder: str, threads: int) -> None:
        torch.set_num_threads(threads)
        made = pickle.loads(maker)
        self.backbone: Backbone = made if isinstance(made, Backbone) else create_backbone(**made)
        self.store = Path(store)
        self.decoder = decoder

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        video, path = os.fsdecode(row["video"]), Path(os.fsdecode(row["path"]))
        # Whoever takes the lock of the store removes these, so that a new run tries again.
        begun = self.store / f".{feature_name(video)}.begun.tmp"
        times = begun.stat().st_size if begun.exists() else 0
        if times >= ATTEMPTS:
            reason = f"{path}: the worker died {times} times over it"
            outcome = Outcome(video, path, "failed", reason=reason)
        else:
            try:
                with begun.open("ab") as file:
                    file.write(b".")
            except OSError as error:  # such as a full disk
                reason = f"{self.store}: cannot be written: {error.strerror or error}"
                outcome = Outcome(video, path, "failed", reason=reason)
            else:
                outcome = extract_to_store(video, path, self.store, self.backbone, self.decoder)
        begun.unlink(missing_ok=True)
        return {"outcome": pickle.dumps(outcome)}


def _pickled(ray: ModuleType, backbone: Backbone) -> bytes:
    """A backbone, or how it was made, for other processes."""
    try:
        pickled: bytes = ray.cloudpickle.dumps(backbone.made_of or backbone)
    except (TypeError, ValueError, AttributeError, pickle.PicklingError) as error:
        raise InputError(
            f"backbone {backbone.name!r} cannot be sent to workers: {error}; name it instead, as "
            "module:Class"
        ) from error
    return pickled


@contextmanager
def _connected(ray: ModuleType, address: str | None, workers: int | None) -> Iterator[None]:
    """A cluster: one that is there, or processes of this machine for as long as this lasts."""
    if ray.is_initialized():  # by the caller, who ends it
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {}
    if address is None:
        # As many CPUs as workers where more of these are asked for; modules are found as here.
        cpus = max(workers or 1, len(os.sched_getaffinity(0)))
        found = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        own = {
            "num_cpus": cpus,
            "include_dashboard": False,
            "runtime_env": {"env_vars": found},
        }
    elif address != "auto":
        _check_address(address)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        place = "on this machine" if address is None else address
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"ray: no cluster {place}: {reason}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _in_order(ray: ModuleType) -> Any:
    """Settings of Ray Data: those of the caller, and outcomes in the order of the videos."""
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    return context


def _check_address(address: str) -> None:
    """Raise unless somebody answers there: Ray itself goes on asking for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 1 << 16):
        raise InputError(f"ray: found the address {address!r}, wanted auto or HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT).close()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"ray: no cluster {address}: {reason}") from error


def _import_ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # It warns of what a coming release does with GPUs where there are none.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError(
            "ray needs the extra 'cluster': pip install 'gnnreloc[cluster]'"
        ) from error
    module: ModuleType = ray
    return module
