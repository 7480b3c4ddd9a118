"""From a query clip and a video to ranked moments in seconds: ``gnnreloc.load``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from gnnreloc.data.features import Features, validate_features
from gnnreloc.errors import InputError
from gnnreloc.models import EncodedReference, FrameLevel, Relocalizer
from gnnreloc.models.saved_model import SavedModel, load_model
from gnnreloc.proposals import geometric_lengths, nms_1d, window_proposals
from gnnreloc.proposals.unusual_rows import unusual_proposals
from gnnreloc.search.feature_cache import FeatureCache
from gnnreloc.video import Backbone, VideoClip, create_backbone, probe

Source = VideoClip | Path | str | Features
Proposals = Literal["windows", "tag"]

#: Lengths in seconds of the windows that are candidates where a model says nothing about them.
SHORTEST, LONGEST, LENGTHS = 1.0, 60.0, 12
WINDOW_OVERLAP = 0.75
#: How much a segment must stand out from its surroundings where nothing is trained: on validation
#: classes of bandai and on rendered videos better than 0, .25 and 1.
CONTRAST = 0.5
#: Feature rows above which a video is looked at more coarsely: half an hour at two a second.
MOST_ROWS = 4096
#: Moments that it gives, of which those that overlap are then left out.
MOMENTS = 200
#: Moments with a higher tIoU are one moment: only the better one is told.
MAX_OVERLAP = 0.3


@dataclass(frozen=True)
class FoundMoment:
    """A moment of a video.

    Attributes:
        video: as it was given.
        start: seconds.
        end: seconds.
        score: higher is better; comparable among the answers to one query alone.
    """

    video: str
    start: float
    end: float
    score: float


@dataclass(frozen=True, eq=False)
class EncodedVideo:
    """A video that was made ready for any number of queries.

    Attributes:
        name: as it was given.
        start: seconds at which it starts in its file; 0 unless it is a clip.
        end: seconds at which it ends in its file, maybe within its last feature row; ``inf`` where
            that is not known.
        features: its feature rows, as they were extracted.
        encoded: what the system made of them.
    """

    name: str
    start: float
    end: float
    features: Features
    encoded: EncodedReference


def training_free_system(*, centred: bool = True) -> FrameLevel:
    """What answers where no model is given: no training, and no proposals.

    The query is aligned with every segment of the video by the cosines of their features, less the
    mean row of the video; a segment must stand out from what surrounds it.

    Args:
        centred: take the mean row away; not where that is done already.
    """
    return FrameLevel(contrast=CONTRAST, centred=centred, max_rows=MOST_ROWS, max_moments=MOMENTS)


class Engine:
    """Finds in videos what a query clip shows.

    Args:
        model: a trained model; by default :func:`training_free_system`.
        backbone: what makes the features, or its name; by default that of the model.
        step: seconds from one feature row to the next; by default that of the model.
        options: arguments of a backbone that is given by its name, or that of the model.
        decoder: what decodes, see :func:`gnnreloc.video.decode.decode`.
        cache: folder in which features of whole videos are kept between calls; ``None`` for none.
        proposals: candidates of a trained model: ``windows``, by default those of its training, or
            ``tag`` (:func:`gnnreloc.proposals.unusual_rows.unusual_proposals`).
        progress: called with the seconds of a video whose features are done.

    Raises:
        InputError: if the backbone cannot be used, or an option is unknown.
    """

    def __init__(
        self,
        model: SavedModel | None = None,
        *,
        backbone: Backbone | str | None = None,
        step: float | None = None,
        options: Mapping[str, Any] | None = None,
        decoder: str = "pyav",
        cache: Path | str | None = None,
        proposals: Proposals = "windows",
        progress: Callable[[float], None] | None = None,
    ) -> None:
        if proposals not in get_args(Proposals):
            known = ", ".join(get_args(Proposals))
            raise InputError(f"proposals must be one of {known}, got {proposals!r}")
        self.model = model
        self.system: Relocalizer = training_free_system() if model is None else model.model
        self.proposals: Proposals = proposals
        trained = {} if model is None else model.features
        if not isinstance(backbone, Backbone):
            name = trained.get("backbone") if backbone is None else backbone
            step = trained.get("step") if step is None else step
            named: dict[str, Any] = {} if name is None else {"name": name}
            backbone = create_backbone(step=step, **named, **(options or {}))
        elif step is not None and step != backbone.step:
            raise InputError(
                f"step: found {step:g}, and a backbone whose step is {backbone.step:g}"
            )
        self.cache = FeatureCache(backbone, folder=cache, decoder=decoder, progress=progress)

    def encode(self, video: Source) -> EncodedVideo:
        """Make a video ready: its features, and what the system can compute of it alone.

        Args:
            video: a file, a clip such as ``a.mp4#t=60,120``, or features.

        Raises:
            InputError: if the file is no readable video, or the features do not fit the model.
        """
        features = self._features(video, "the video")
        name, start, end = _place(video)
        if self.model is None:
            system_input, proposals = features, None
        else:
            system_input = self.model.prepare(features, name or "the video")
            proposals = self._propose(features)
        encoded = self.system.encode(system_input, proposals)
        return EncodedVideo(name, start, end, features, encoded)

    def encode_query(self, query: Source) -> Features:
        """The features of a query clip, to ask them of several videos; their second 0 is its start.

        Raises:
            InputError: if the file is no readable video.
        """
        features = self._features(query, "the query")
        return replace(features, offset=0.0) if features.offset else features

    def localize(
        self, query: Source, video: EncodedVideo | Source, *, top: int = 5
    ) -> list[FoundMoment]:
        """Rank the moments of a video.

        Args:
            query: the clip, as a file, a part of one such as ``q.mp4#t=3,7.5``, or features.
            video: the video, best as :meth:`encode` gave it.
            top: number of moments at most. No two of them overlap by more than a tIoU of 0.3.

        Raises:
            InputError: as :meth:`encode`, of either; or if ``top`` is below 1.
        """
        if top < 1:
            raise InputError(f"top: at least 1 moment must be asked for, got {top}")
        if not isinstance(video, EncodedVideo):
            video = self.encode(video)
        clip = self.encode_query(query)
        if self.model is not None:
            clip = self.model.prepare(clip, _name(query) or "the query")
        moments = video.encoded.localize(clip)
        kept = nms_1d(moments.segments, moments.scores, MAX_OVERLAP, max_keep=top)
        segments = moments.segments[kept] + video.start
        # The last row may reach beyond the end.
        segments[:, 1] = segments[:, 1].clamp(max=video.end)
        return [
            FoundMoment(video.name, round(start, 3), round(end, 3), round(score, 6))
            for (start, end), score in zip(
                segments.tolist(), moments.scores[kept].tolist(), strict=True
            )
        ]

    def _features(self, source: Source, role: str) -> Features:
        if not isinstance(source, Features):
            return self.cache[VideoClip.of(source)]
        validate_features(source.values, role)
        return source

    def _propose(self, features: Features) -> torch.Tensor:
        assert self.model is not None
        if self.proposals == "tag":
            return unusual_proposals(features)
        if self.model.windows:
            return self.model.propose(features)
        lengths = geometric_lengths(SHORTEST, LONGEST, LENGTHS)
        return window_proposals(features.duration, lengths=lengths, overlap=WINDOW_OVERLAP)


def load(checkpoint: Path | str | None = None, **options: Any) -> Engine:
    """An engine that is ready to be asked.

    Args:
        checkpoint: what ``gnnreloc train`` left, folder or file; ``None`` for the training-free
            system.
        **options: of :class:`Engine`.

    Raises:
        InputError: if the checkpoint or an option cannot be used.

    Example:
        .. code-block:: python

            reloc = gnnreloc.load()
            video = reloc.encode("match.mp4")
            for moment in reloc.localize("goal.mp4#t=3,7.5", video):
                print(moment.start, moment.end, moment.score)
    """
    return Engine(None if checkpoint is None else load_model(checkpoint), **options)


def _name(source: Source) -> str:
    """A video as it was given."""
    if isinstance(source, Features):
        return ""
    return source if isinstance(source, str) else str(VideoClip.of(source))


def _place(source: Source) -> tuple[str, float, float]:
    """Name of a video, and the seconds at which it starts and ends in its file."""
    if isinstance(source, Features):
        return "", 0.0, math.inf
    clip = VideoClip.of(source)
    clip = clip.within(probe(clip.path).duration)
    assert clip.end is not None
    return _name(source), clip.start, clip.end
