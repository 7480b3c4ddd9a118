"""Moments across a whole library, in two stages: candidates from an index, then a closer look."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from torch import Tensor

from gnnreloc.data.features import Features, widen
from gnnreloc.errors import InputError
from gnnreloc.models.frame_level import SURROUNDINGS, FrameLevel
from gnnreloc.models.saved_model import SavedModel, load_model
from gnnreloc.proposals import nms_1d
from gnnreloc.search.engine import (
    MAX_OVERLAP,
    Engine,
    FoundMoment,
    Source,
    training_free_system,
)
from gnnreloc.search.index import FEATURES
from gnnreloc.search.index_settings import read_settings
from gnnreloc.search.index_tables import Candidate, IndexTables
from gnnreloc.search.joint_alignment import ScoredSegments, VideoPart, align, distinct
from gnnreloc.search.places import first_places, neighbourhoods
from gnnreloc.search.proposal_embedding import read_embedding
from gnnreloc.video import Backbone
from gnnreloc.video.video_files import feature_name

#: Lengths of moments that are looked for where nothing is trained, in lengths of the query.
SHORTEST_SHARE, LONGEST_SHARE = 0.5, 2.0
#: Candidates that are looked at more closely.
CANDIDATES = 200
#: Proposals that are looked through for so many places: many lie in one place.
_OF_A_PLACE = 10


class _Neighbourhood(NamedTuple):
    """A part of a video that is looked at more closely.

    Attributes:
        part: its rows.
        mean: of all rows of the video, ``[C]``.
        candidates: proposals in it, ``[m, 2]`` in seconds.
    """

    part: VideoPart
    mean: Tensor
    candidates: Tensor


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
        # Rows are centred here: by the mean of their whole video, of which a part is read.
        self.system = training_free_system(centred=False) if model is None else model.model

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
            candidates: number of proposals that the second stage looks at; without a model, of
                places, each with all proposals in it.
            exact: compare with the vectors of all proposals, however many there are.

        Raises:
            InputError: if the query cannot be read, its features do not fit, or a number is below
                1.
        """
        for name, number in (("top", top), ("candidates", candidates)):
            if number < 1:
                raise InputError(f"{name}: at least 1 is needed, got {number}")
        clip = self.engine.encode_query(query)
        return self.rank(clip, self.nearest(clip, candidates, exact=exact), top=top)

    def nearest(self, query: Features, count: int, *, exact: bool = False) -> Sequence[Candidate]:
        """The first stage alone: proposals whose vectors are most like that of a query.

        Args:
            query: features of the clip.
            count: how many, or, without a model, in how many places: what overlaps the
                neighbourhood of a better one is looked at with it.
            exact: compare with the vectors of all proposals, however many there are.

        Raises:
            InputError: if the features do not fit.
        """
        if query.num_channels != len(self.embedding.mean):
            raise InputError(
                f"the query has {query.num_channels} feature channels, the index "
                f"{len(self.embedding.mean)}"
            )
        self.tables.refresh()
        vector = self.embedding.embed_query(query)
        lengths = self._lengths(query)
        if lengths is None:
            return self.tables.nearest(vector, count, None, exact=exact)
        found = self.tables.nearest(vector, _OF_A_PLACE * count, lengths, exact=exact)
        return first_places(found, count, query.duration)

    def rank(
        self, query: Features, candidates: Sequence[Candidate], *, top: int = 10
    ) -> list[FoundMoment]:
        """The second stage alone: the best moments near candidates.

        Args:
            query: features of the clip.
            candidates: as :meth:`nearest` gives them.
            top: as for :meth:`search`.

        Raises:
            InputError: if features of the index cannot be read, or do not fit the model.
        """
        best: list[FoundMoment] = []
        for scored in self._scored(self._parts(candidates, query), query):
            if len(best) == top and round(float(scored.scores.max()), 6) <= best[-1].score:
                continue
            moments = [*best, *self._moments(scored, top)]
            best = sorted(moments, key=lambda moment: -moment.score)[:top]
        return best

    def features(self, video: str) -> Features:
        """All feature rows of a video.

        Args:
            video: its name, as that of a :class:`~gnnreloc.search.FoundMoment`.

        Raises:
            InputError: if it is not in the library, or its rows cannot be read.
        """
        self.tables.refresh()
        found = self.tables.means([video])
        rows = self._rows(video, 0, found[video][0]) if found else None
        if rows is None:
            raise InputError(f"{self.folder} holds no video {video!r}")
        return rows

    def _lengths(self, query: Features) -> tuple[float, float] | None:
        """Proposals to take, by their length in seconds; a model may like any."""
        if self.engine.model is not None:
            return None
        lengths = self.settings.lengths
        return (
            min(SHORTEST_SHARE * query.duration, max(lengths)),
            max(LONGEST_SHARE * query.duration, min(lengths)),
        )

    def _parts(self, found: Sequence[Candidate], query: Features) -> Iterator[list[_Neighbourhood]]:
        """The neighbourhoods of candidates, video by video."""
        by_video: dict[str, list[Candidate]] = defaultdict(list)
        for candidate in found:
            by_video[candidate.video].append(candidate)
        means = self.tables.means(list(by_video)) if by_video else {}
        step = self.settings.step
        # A video without a row is being written, or taken out.
        for video, (rows, mean) in means.items():
            segments = torch.tensor(
                [(candidate.start, candidate.end) for candidate in by_video[video]],
                dtype=torch.float64,
            )
            # Those beyond the end are of another file, whose place this one is taking.
            segments = segments[segments[:, 1] <= (rows + 1) * step]
            around, margin = self._around(segments, query)
            parts = []
            for first, last, inside in neighbourhoods(around, rows, step):
                features = self._rows(video, first, last)
                if features is None:
                    break
                # At an end of the video nothing is beyond.
                begins = margin if first else 0
                ends = features.num_steps - (margin if last < rows else 0)
                part = VideoPart(video, features, begins, ends)
                parts.append(_Neighbourhood(part, mean, segments[inside]))
            else:
                yield parts

    def _scored(
        self, videos: Iterable[list[_Neighbourhood]], query: Features
    ) -> Iterator[ScoredSegments]:
        """Segments of videos with their scores."""
        system, model = self.system, self.engine.model
        if model is None:
            assert isinstance(system, FrameLevel)
            clip = replace(query, values=query.values - self.embedding.mean)
            near = (neighbourhood for parts in videos for neighbourhood in parts)
            yield from align(system, clip, (_centred(part, mean) for part, mean, _ in near))
            return
        clip = model.prepare(query, "the query")
        for parts in videos:
            ranked = [
                system.encode(model.prepare(part.features, part.video), candidates).localize(clip)
                for part, _, candidates in parts
            ]
            if ranked:
                segments = torch.cat([moments.segments for moments in ranked])
                scores = torch.cat([moments.scores for moments in ranked])
                yield ScoredSegments(parts[0].part.video, segments, scores)

    def _moments(self, scored: ScoredSegments, top: int) -> list[FoundMoment]:
        """The best of them that hardly overlap."""
        if isinstance(self.system, FrameLevel):
            scored = distinct(self.system, scored)
        video, segments, scores = scored
        kept = nms_1d(segments, scores, MAX_OVERLAP, max_keep=top)
        return [
            FoundMoment(video, round(start, 3), round(end, 3), round(score, 6))
            for (start, end), score in zip(
                segments[kept].tolist(), scores[kept].tolist(), strict=True
            )
        ]

    def _around(self, segments: Tensor, query: Features) -> tuple[Tensor, int]:
        """Candidates with what is looked at around them, and rows of it that only surround."""
        system = self.system
        if not isinstance(system, FrameLevel):
            # What the model sees around a clip, and by how much it may move a boundary.
            return widen(segments, 1.0 + getattr(system, "context", 0.0)), 0
        # A segment is compared with its surroundings.
        margin = math.ceil(SURROUNDINGS * system.longest * query.duration / self.settings.step) + 1
        wide = query.duration + margin * self.settings.step
        return segments + torch.tensor([-wide, wide]).double(), margin

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


def _centred(part: VideoPart, mean: Tensor) -> VideoPart:
    """A part less the mean row of its video."""
    features = part.features
    return part._replace(features=replace(features, values=features.values - mean))
