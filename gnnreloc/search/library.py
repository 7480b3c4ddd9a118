"""Moments across a whole library, in two stages: candidates from an index, then a closer look."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from gnnreloc.data.features import Features, widen
from gnnreloc.errors import InputError
from gnnreloc.models.saved_model import SavedModel, load_model
from gnnreloc.proposals import nms_1d
from gnnreloc.search.engine import MAX_OVERLAP, Engine, FoundMoment, Source
from gnnreloc.search.index import FEATURES
from gnnreloc.search.index_settings import read_settings
from gnnreloc.search.index_tables import Candidate, IndexTables
from gnnreloc.search.proposal_embedding import read_embedding
from gnnreloc.video import Backbone
from gnnreloc.video.video_files import feature_name

#: Lengths of moments that are looked for where nothing is trained, in lengths of the query.
SHORTEST_SHARE, LONGEST_SHARE = 0.5, 2.0
#: Candidates that are looked at more closely.
CANDIDATES = 200


class Library:
    """An index of videos, to be asked. It may be written meanwhile; every answer is up to date.

    Args:
        index: folder that ``gnnreloc index`` wrote.
        model: a trained model, which ranks the candidates; by default the query is aligned with
            what is near them, as :class:`~gnnreloc.search.Engine` does without a model, but that
            the query is centred by the mean of several videos: so answers of videos compare.
        backbone: the one the index was made with, if that was none that has a name.
        cache: folder in which features of whole query files are kept; ``None`` for none.
        progress: called with the seconds of a query whose features are done.

    Raises:
        InputError: if there is no index, it is of another version, or the model or the backbone
            does not fit it.
    """

    def __init__(
        self,
        index: Path | str,
        model: SavedModel | None = None,
        *,
        backbone: Backbone | None = None,
        cache: Path | str | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.folder = Path(index).expanduser()
        self.settings = read_settings(self.folder)
        embedding = read_embedding(self.folder)
        if embedding is None:
            raise InputError(f"{self.folder} holds no videos yet: let gnnreloc index finish")
        self.embedding = embedding
        self.tables = IndexTables(self.folder)
        self.engine = Engine(
            model,
            backbone=self.settings.build_backbone(backbone),
            decoder=self.settings.decoder,
            cache=cache,
            progress=progress,
        )

    def search(
        self,
        query: Source,
        *,
        top: int = 10,
        candidates: int = CANDIDATES,
        exact: bool = False,
    ) -> list[FoundMoment]:
        """Rank the moments of all videos.

        The first stage takes the proposals whose vectors are most like that of the query. The
        second one ranks them with the model; without one, it aligns the query with all segments in
        their neighbourhoods, half to twice as long as the query.

        Args:
            query: the clip, as a file, a part of one such as ``q.mp4#t=3,7.5``, or features.
            top: number of moments at most. Those of a video do not overlap by
                more than :data:`~gnnreloc.search.engine.MAX_OVERLAP` (tIoU).
            candidates: number of proposals that the second stage looks at.
            exact: compare with the vectors of all proposals, however many there are.

        Raises:
            InputError: if the query cannot be read, its features do not fit, or a number is below
                1.
        """
        for name, number in (("top", top), ("candidates", candidates)):
            if number < 1:
                raise InputError(f"{name}: at least 1 is needed, got {number}")
        clip = self.engine.encode_query(query)
        if clip.num_channels != len(self.embedding.mean):
            raise InputError(
                f"the query has {clip.num_channels} feature channels, the index "
                f"{len(self.embedding.mean)}"
            )
        self.tables.refresh()
        found = self.tables.nearest(
            self.embedding.embed_query(clip), candidates, self._lengths(clip), exact=exact
        )
        by_video: dict[str, list[Candidate]] = defaultdict(list)
        for candidate in found:
            by_video[candidate.video].append(candidate)
        means = self.tables.means(list(by_video)) if by_video else {}
        moments: list[FoundMoment] = []
        # A video without a row is being written, or taken out.
        for video, (rows, mean) in means.items():
            moments += self._rank(video, rows, mean, by_video[video], clip, top)
        return sorted(moments, key=lambda found: -found.score)[:top]

    def _lengths(self, query: Features) -> tuple[float, float] | None:
        """Proposals to take, by their length in seconds; a model may like any."""
        if self.engine.model is not None:
            return None
        lengths = self.settings.lengths
        return (
            min(SHORTEST_SHARE * query.duration, max(lengths)),
            max(LONGEST_SHARE * query.duration, min(lengths)),
        )

    def _rank(
        self,
        video: str,
        rows: int,
        mean: Tensor,
        candidates: Sequence[Candidate],
        query: Features,
        top: int,
    ) -> list[FoundMoment]:
        """The best moments of a video near its candidates."""
        step = self.settings.step
        segments = torch.tensor(
            [(found.start, found.end) for found in candidates], dtype=torch.float64
        )
        # Those beyond the end are of another file, whose place this one is taking.
        segments = segments[segments[:, 1] <= (rows + 1) * step]
        places, scores = [], []
        around = self._around(segments, query)
        for first, last, inside in neighbourhoods(around, rows, step):
            part = self._rows(video, first, last)
            if part is None:
                return []
            found = self._localize(video, query, part, mean, segments[inside])
            places.append(found.segments)
            scores.append(found.scores)
        if not places:
            return []
        times, values = torch.cat(places), torch.cat(scores)
        kept = nms_1d(times, values, MAX_OVERLAP, max_keep=top)
        return [
            FoundMoment(video, round(start, 3), round(end, 3), round(score, 6))
            for (start, end), score in zip(times[kept].tolist(), values[kept].tolist(), strict=True)
        ]

    def _around(self, segments: Tensor, query: Features) -> Tensor:
        """Candidates with what is looked at around them."""
        if self.engine.model is None:
            return segments + torch.tensor([-query.duration, query.duration]).double()
        # What the model sees around a clip, and by how much it may move a boundary.
        return widen(segments, 1.0 + getattr(self.engine.system, "context", 0.0))

    def _localize(
        self, video: str, query: Features, part: Features, mean: Tensor, candidates: Tensor
    ) -> Any:
        system, model = self.engine.system, self.engine.model
        if model is None:
            clip = replace(query, values=query.values - self.embedding.mean)
            return system.localize(clip, replace(part, values=part.values - mean))
        clip, part = model.prepare(query, "the query"), model.prepare(part, video)
        return system.encode(part, candidates).localize(clip)

    def _rows(self, video: str, first: int, last: int) -> Features | None:
        """Some feature rows of a video, at their place in time."""
        path = self.folder / FEATURES / f"{feature_name(video)}.safetensors"
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                values = file.get_slice("features")[first:last]
        except (OSError, safetensors.SafetensorError) as error:
            self.tables.refresh()
            if video not in self.tables.means([video]):
                return None  # taken out meanwhile
            raise InputError(f"{path}: cannot be read: {error}") from error
        if not len(values):
            return None
        return Features(values, self.settings.step, first * self.settings.step)


def open_library(
    index: Path | str, checkpoint: Path | str | None = None, **options: Any
) -> Library:
    """An index that is ready to be asked.

    Args:
        index: folder that ``gnnreloc index`` wrote.
        checkpoint: what ``gnnreloc train`` left, folder or file; ``None`` for the training-free
            system.
        **options: of :class:`Library`.

    Raises:
        InputError: if the index, the checkpoint or an option cannot be used.
    """
    return Library(index, None if checkpoint is None else load_model(checkpoint), **options)


def neighbourhoods(
    segments: Tensor, rows: int, step: float
) -> Iterator[tuple[int, int, list[int]]]:
    """Parts of a video that hold segments; those that meet are joined.

    Args:
        segments: ``[m, 2]`` in seconds; they may leave the video.
        rows: number of feature rows of the video.
        step: seconds from one row to the next.

    Yields:
        First row and row after the last one of each part, and the numbers of its segments.

    Example:
        >>> segments = torch.tensor([[6.5, 8.5], [1.5, 4.5], [-0.5, 2.5]])
        >>> list(neighbourhoods(segments, 9, 1.0))
        [(0, 5, [2, 1]), (6, 9, [0])]
    """
    first = last = 0
    inside: list[int] = []
    for place in segments[:, 0].argsort(stable=True).tolist():
        start, end = (segments[place] / step).tolist()
        # Rounded, so that 7.2 s are 72 rows of 0.1 s and not a hair more.
        low, high = max(0, math.floor(round(start, 6))), min(rows, math.ceil(round(end, 6)))
        if inside and low > last:
            yield first, last, inside
            inside = []
        first, last = (first, max(last, high)) if inside else (low, high)
        inside.append(place)
    if inside:
        yield first, last, inside
