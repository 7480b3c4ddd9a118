"""What the page does, without the page: limits of uploads, moments, clips, edges, frames."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnreloc.data.features import Features
from gnnreloc.errors import InputError
from gnnreloc.models import GraphRelocalizer
from gnnreloc.search import Engine, FoundMoment, Library
from gnnreloc.video import VideoClip, VideoInfo, probe
from gnnreloc.video.cut import cut_clip
from gnnreloc.video.decode import decode

#: Clips that are kept to be played; older ones are removed.
_MOST_CLIPS = 40

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Limits:
    """What may be uploaded.

    Attributes:
        megabytes: size of a file.
        seconds: length of a video.
    """

    megabytes: float = 200.0
    seconds: float = 1800.0


@dataclass(frozen=True, eq=False)
class EdgeMap:
    """Weights between the timesteps of a query (rows) and of a moment (columns).

    Attributes:
        values: ``[rows, columns]``.
        query: seconds of the rows, in the file of the query.
        moment: seconds of the columns, in the file of the moment.
        learned: whether a model made them; else they are cosines of the features.
    """

    values: Tensor
    query: list[float]
    moment: list[float]
    learned: bool


@dataclass(frozen=True, eq=False)
class Found:
    """The answer to a query, with what is needed to look closer.

    Attributes:
        query: the query clip.
        features: of the query clip.
        moments: best first; their ``video`` is a file.
        names: of the videos, as they are shown.
        duration: of the reference in seconds; 0 where it is a library.
    """

    query: VideoClip
    features: Features
    moments: Sequence[FoundMoment]
    names: Sequence[str]
    duration: float


class Service:
    """Answers queries, one at a time: models are not asked by two threads at once.

    Args:
        engine: what finds moments in a video.
        folder: for the clips that are played; it is the caller's to remove.
        library: what finds moments in a library; ``None`` without one.
        limits: of what may be uploaded.
    """

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        library: Library | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.engine = engine
        self.library = library
        self.folder = folder
        self.limits = limits or Limits()
        self._lock = threading.Lock()

    def check(self, path: str | None, role: str) -> VideoInfo:
        """Read what a file is, and whether it may be searched.

        Args:
            path: the file; ``None`` where none was chosen.
            role: what it is to be, for the messages.

        Raises:
            InputError: if there is none, it is no readable video, too large or too long.
        """
        if not path:
            raise InputError(f"no {role} was chosen: upload one, or take the example")
        file = Path(path)
        megabytes = file.stat().st_size / 1e6 if file.is_file() else 0.0
        if megabytes > self.limits.megabytes:
            raise InputError(
                f"{file.name} is too large: {megabytes:.0f} MB, at most {self.limits.megabytes:g} "
                "are taken"
            )
        try:
            info = probe(file)
        except InputError as error:
            # The folder of uploads is nothing to a user.
            raise InputError(str(error).replace(str(file), file.name)) from error
        if info.duration > self.limits.seconds:
            raise InputError(
                f"{file.name} is too long: {info.duration:.0f} s, at most {self.limits.seconds:g} "
                "are taken"
            )
        return info

    def clip(self, path: str | None, start: float, end: float) -> VideoClip:
        """The part of a query between two seconds.

        Raises:
            InputError: as :meth:`check`, or if the part is empty or lies outside.
        """
        info = self.check(path, "query")
        assert path is not None
        end = min(end, info.duration)
        if not 0 <= start < end:
            raise InputError(f"the query must end after it starts: {start:.1f} to {end:.1f} s")
        return VideoClip(Path(path), start, end)

    def localize(
        self, query: VideoClip, reference: str | None, *, top: int = 5, progress: Progress
    ) -> Found:
        """The moments of a video.

        Args:
            query: the query clip.
            reference: the file.
            top: number of moments at most.
            progress: called with the seconds of a video whose features are done.

        Raises:
            InputError: if a file cannot be used.
        """
        info = self.check(reference, "reference")
        assert reference is not None
        with self._lock:
            self.engine.cache.progress = progress
            video = self.engine.encode(reference)
            clip = self.engine.encode_query(query)
            moments = self.engine.localize(clip, video, top=top)
        names = [Path(reference).name] * len(moments)
        return Found(query, clip, moments, names, info.duration)

    def search(self, query: VideoClip, *, top: int = 10, progress: Progress) -> Found:
        """The moments of the library.

        Raises:
            InputError: if there is none, or the query cannot be used.
        """
        if self.library is None:
            raise InputError("there is no library: start the page with --index")
        with self._lock:
            self.library.engine.cache.progress = progress
            clip = self.library.engine.encode_query(query)
            found = self.library.search(clip, top=top)
            paths = {video: each.path for video, each in self.library.tables.videos().items()}
        moments = [replace(each, video=paths[each.video]) for each in found]
        return Found(query, clip, moments, [each.video for each in found], 0.0)

    def cut(self, moment: FoundMoment) -> Path:
        """A file of a moment alone, to be played.

        Raises:
            InputError: if its video is gone or cannot be read.
        """
        clip = VideoClip(Path(moment.video), moment.start, moment.end)
        target = cut_clip(clip, self.folder / f"{uuid.uuid4().hex}.mp4")
        files = sorted(self.folder.glob("*.mp4"), key=lambda file: file.stat().st_mtime)
        for file in files[:-_MOST_CLIPS]:
            file.unlink(missing_ok=True)
        return target

    def edges(self, found: Found, place: int) -> EdgeMap:
        """How the timesteps of a query and a moment are joined.

        With a trained graph these are the learned edges with which the query receives, of the
        moment with its surroundings where the model sees them; else the cosines of the feature
        rows, less their mean over the video.

        Args:
            found: an answer.
            place: of the moment in it, from 0.

        Raises:
            InputError: if a file cannot be read.
        """
        query, clip, moment = found.query, found.features, found.moments[place]
        with self._lock:
            if self.library is not None and not found.duration:
                engine, video = self.library.engine, self.library.features(found.names[place])
            else:
                engine, video = self.engine, self.engine.cache[VideoClip(Path(moment.video))]
            saved = engine.model
            if saved is not None and isinstance(saved.model, GraphRelocalizer):
                asked = saved.prepare(clip, str(query))
                shown = saved.prepare(video, moment.video)
                segment = torch.tensor([[moment.start, moment.end]], dtype=torch.float64)
                with saved.model.evaluating():
                    edges = saved.model.edges(saved.model.pair_graphs(asked, shown, segment))
                if "learned" in edges:
                    return _learned_map(edges["learned"][0].cpu(), query, moment, saved.model)
            return _cosine_map(clip, video, query, moment)

    def frame(self, path: str | Path, time: float) -> NDArray[np.uint8]:
        """The frame of a video that is shown at a second, ``[height, width, 3]``.

        Raises:
            InputError: if the file cannot be read.
        """
        last = probe(Path(path)).duration
        time = min(max(time, 0.0), max(last - 1e-3, 0.0))
        return next(iter(decode(Path(path), times=[time]))).image


def _learned_map(
    values: Tensor, query: VideoClip, moment: FoundMoment, model: GraphRelocalizer
) -> EdgeMap:
    assert query.end is not None
    rows, columns = model.node_seconds((query.start, query.end), (moment.start, moment.end))
    return EdgeMap(values, rows.tolist(), columns.tolist(), learned=True)


def _cosine_map(clip: Features, video: Features, query: VideoClip, moment: FoundMoment) -> EdgeMap:
    mean = video.values.mean(dim=0)
    part = video.slice(moment.start, moment.end)
    rows, columns = (
        torch.nn.functional.normalize(values - mean, dim=1) for values in (clip.values, part.values)
    )
    times = (torch.arange(len(rows)) + 0.5) * clip.step
    others = (torch.arange(len(columns)) + 0.5) * part.step
    return EdgeMap(
        rows @ columns.T,
        (query.start + times).tolist(),
        (moment.start + others).tolist(),
        learned=False,
    )
