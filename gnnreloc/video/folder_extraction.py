"""Features of many videos, into a folder that a feature store reads."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from gnnreloc.data.feature_files import read_feature_file, read_feature_header, write_features
from gnnreloc.data.features import Features
from gnnreloc.errors import InputError
from gnnreloc.video.backbones import Backbone, create_backbone
from gnnreloc.video.decode import DamagedVideoWarning, check_decoder
from gnnreloc.video.extract import extract_features
from gnnreloc.video.store_lock import lock_store
from gnnreloc.video.video_files import feature_name, file_checksum, file_identity, find_videos


@dataclass(frozen=True)
class Outcome:
    """What became of a video.

    Attributes:
        video: Its name.
        path: Its file.
        status: ``"done"``, ``"skipped"`` because its features were there, or ``"failed"``.
        rows: Feature rows in the store; 0 when it failed.
        step: Seconds from one row to the next.
        reason: Why it failed, or what was read of a damaged file; empty when all is well.
    """

    video: str
    path: Path
    status: Literal["done", "skipped", "failed"]
    rows: int = 0
    step: float = 0.0
    reason: str = ""


class Extract(Protocol):
    """Writes the features of videos into a folder whose lock is held."""

    def __call__(
        self, videos: Mapping[str, Path], store: Path, backbone: Backbone, decoder: str, /
    ) -> Iterable[Outcome]:
        """Outcomes as they come.

        Args:
            videos: Name and file of each.
            store: The folder.
            backbone: What makes the rows.
            decoder: What decodes.
        """


def extract_folder(
    sources: Iterable[Path | str] | Path | str,
    store: Path | str,
    backbone: Backbone | str | None = None,
    *,
    step: float | None = None,
    decoder: str = "pyav",
    extract: Extract | None = None,
    on_seconds: Callable[[str, float], None] | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Write the features of videos into a folder, one ``.safetensors`` file for each.

    The folder is one for :class:`gnnreloc.data.DirectoryFeatureStore`; names that hold a ``/`` are
    found there by :func:`gnnreloc.video.video_files.feature_name`. A file appears when it is
    complete. Videos whose features are there are skipped: made with the same settings, from a file
    with the same size and time of change or the same SHA-256. So whatever ended a run, the same
    call goes on where it was; and a video that cannot be used does not stop the others.

    Args:
        sources: Folders and files, see :func:`gnnreloc.video.video_files.find_videos`.
        store: Folder to write to; one process at a time.
        backbone: As for :func:`gnnreloc.video.extract.extract_features`.
        step: As there.
        decoder: As there.
        extract: What extracts, such as :class:`gnnreloc.video.ray_extraction.RayExtraction`; by
            default one video after the other.
        on_seconds: Called with the video and the seconds of it that are done.
        on_outcome: Called with the outcome of each video when it is known.

    Returns:
        What became of every video, in the order of their names.

    Raises:
        InputError: If there are no videos, the backbone cannot be used, or the folder cannot be
            written or is being written by another process.
    """
    videos = find_videos(sources)
    check_decoder(decoder)
    if not isinstance(backbone, Backbone):
        backbone = create_backbone(step=step, **({"name": backbone} if backbone else {}))
    elif step is not None and step != backbone.step:
        raise InputError(f"step: found {step:g}, and a backbone whose step is {backbone.step:g}")
    extract = extract or one_by_one(on_seconds)
    outcomes = []
    with lock_store(store) as folder:
        for outcome in extract(videos, folder, backbone, decoder):
            outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
    return outcomes


def one_by_one(on_seconds: Callable[[str, float], None] | None = None) -> Extract:
    """Extracts one video after the other.

    Args:
        on_seconds: Called with the video and the seconds of it that are done.
    """

    def extract(
        videos: Mapping[str, Path], store: Path, backbone: Backbone, decoder: str
    ) -> Iterator[Outcome]:
        for video, path in videos.items():

            def tell(seconds: float, video: str = video) -> None:
                if on_seconds is not None:
                    on_seconds(video, seconds)

            yield extract_to_store(video, path, store, backbone, decoder, tell)

    return extract


def extract_to_store(
    video: str,
    path: Path,
    store: Path,
    backbone: Backbone,
    decoder: str = "pyav",
    progress: Callable[[float], None] | None = None,
) -> Outcome:
    """Write the features of one video, unless they are there. Whatever goes wrong is the outcome.

    Args:
        video: Name of the video.
        path: Its file.
        store: Folder to write to.
        backbone: What makes the rows.
        decoder: What decodes.
        progress: Called with the seconds that are done.
    """
    target = store / f"{feature_name(video)}.safetensors"
    try:
        settings = {**backbone.settings, "decoder": decoder}
        finished = _finished(path, target, settings)
        if finished is not None:
            rows, damage = finished
            return Outcome(video, path, "skipped", rows, backbone.step, damage)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            features = extract_features(path, backbone, decoder=decoder, progress=progress)
        reason = ""
        for warning in caught:
            if issubclass(warning.category, DamagedVideoWarning):
                reason = str(warning.message)
            else:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )
        write_features(target, features)
        return Outcome(video, path, "done", features.num_steps, features.step, reason)
    except InputError as error:
        return Outcome(video, path, "failed", reason=str(error))
    # Also what a backbone of the user's own may raise, a full disk, or too little memory.
    except Exception as error:
        return Outcome(video, path, "failed", reason=f"{path}: {type(error).__name__}: {error}")


def _finished(path: Path, target: Path, settings: dict[str, Any]) -> tuple[int, str] | None:
    """Whether the store has the rows of this file with these settings: their number, the damage."""
    if not target.exists():
        return None
    try:
        shape, metadata = read_feature_header(target)
    except InputError:  # a file that is not ours, or damaged: written anew
        return None
    if len(shape) != 2 or any(metadata.get(name) != value for name, value in settings.items()):
        return None
    identity = file_identity(path)
    if any(metadata.get(name) != value for name, value in identity.items()):
        if metadata.get("sha256") != file_checksum(path):
            return None
        # Copied or touched: remember its new time, so that it need not be read whole again.
        values, metadata = read_feature_file(target)
        step, offset = metadata.pop("step"), metadata.pop("offset")
        write_features(target, Features(torch.as_tensor(values), step, offset, metadata | identity))
    return shape[0], metadata.get("damaged", "")
