"""Training samples from videos without labels: find a changed crop of a video in it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnreloc.data.augmented_clip import Augmentation, augment_clip, every_second_row
from gnnreloc.data.corpus import Corpus
from gnnreloc.data.features import Features, ResampleMode, resample, resample_clip, widen
from gnnreloc.data.overlap import temporal_iou
from gnnreloc.data.pair_graph import pair_graphs
from gnnreloc.data.pairs import Pair
from gnnreloc.data.training_set import TrainingSet, channel_block, list_rows
from gnnreloc.errors import InputError

#: Feature rows that a crop has at least, where the video has candidates as long.
SHORTEST_CROP = 6
#: Share of its video that a crop takes at most, where the video has shorter candidates.
LONGEST_CROP = 0.5
#: How far the ends of a crop lie from those of a candidate, as a share of its length.
OFF_CANDIDATE = 0.2
#: Candidates of another video, as a share of a list.
ELSEWHERE = 0.25


@dataclass(frozen=True)
class Crop(Pair):
    """A crop and the video that it is to be found in again, which is its own.

    Args:
        query: what is asked for: the crop, changed.
        seen: the reference as it is shown, whole or without the rows that the query was made of.
        scene: another video, in whose scene the query was put.
        half: which rows of the videos are shown, the even (0) or odd (1) ones; ``None`` for all.
    """

    query: Features
    seen: Features
    scene: str
    half: int | None


class CropSet(TrainingSet):
    r"""Draws training lists from videos alone: no label is read, nor where a moment lies.

    A sample is a list of pair graphs with the same query, as :class:`~gnnreloc.data.TrainingSet`
    gives them, for the same losses. The query is a crop of a video: a random candidate of it with
    its ends moved, then changed (:func:`~gnnreloc.data.augmented_clip.augment_clip`). The list
    holds candidates of the same video, ranked by their tIoU with the crop (a quarter at most with
    0.5 or more, the rest other places of the video), and for a quarter candidates of another video,
    with a tIoU of 0 and no target.

    What must not give the crop away, and what is done about it:

    - *Equal rows.* In half of the samples (``thin``) query and reference have no row in common: one
      has the even rows, the other the odd ones. In all, rows are read between two others at a
      changed speed, some are lost, and noise is added.
    - *The scene*, which fills a whole video and would tell it from all others. The query is put in
      the scene of another video (:math:`x - \mu_v + \mu_u`), and the candidates from elsewhere are
      of that very video: what looks like the query's scene is never the answer.
    - *Single channels*: some are silent; the ``composite`` lists, as those of ``TrainingSet``,
      mix two crops, so that no channel alone tells the whole.
    - *The length*: crops are as long as candidates, of which a list has many, and are played slower
      or faster.

    What remains is that crop and answer are one performance by one person: a system learns to look
    past scene, speed, noise and place, but not what differs between two performances. Other
    places where the same action is shown count as wrong, which is so for a few lists only, unless
    the videos show one thing over and over.

    Args:
        corpus: the corpus; only which videos it has, their features and candidates are looked at.
        samples: number of samples an epoch.
        list_length: number of candidates in a list (fewer where the video has fewer).
        composite: share of the lists that ask for two crops at once: a random block of the channels
            shows another one, in query and candidates alike.
        augmentation: how the crop is changed.
        timesteps: number of timesteps T of a clip.
        context: share of its length by which a candidate is widened at both ends.
        resampling: how a clip is brought to T timesteps.
        seed: seed of all draws.
        transform: applied to every graph.
        subset: subset to draw from.

    Raises:
        InputError: if a number is out of range, or there are fewer than two videos.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        samples: int = 320,
        list_length: int = 24,
        composite: float = 0.0,
        augmentation: Augmentation | None = None,
        timesteps: int = 40,
        context: float = 0.0,
        resampling: ResampleMode = "linear",
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        subset: str = "train",
    ) -> None:
        videos = sorted(str(video) for video in corpus.subset(subset)["video"].unique())
        if len(videos) < 2:
            raise InputError(
                f"{corpus.name}: crops are told from other videos, wanted at least 2 in subset "
                f"{subset!r}, found {len(videos)}"
            )
        super().__init__(
            corpus,
            samples=samples,
            list_length=list_length,
            composite=composite,
            timesteps=timesteps,
            context=context,
            resampling=resampling,
            seed=seed,
            transform=transform,
            subset=subset,
        )
        self.composite = composite  # two crops are never of one class
        self.augmentation = Augmentation() if augmentation is None else augmentation
        self.videos = videos
        self._statistics: dict[str, tuple[Tensor, Tensor]] = {}

    def draw(self, rng: np.random.Generator, *, other_than: str | None = None) -> Crop:
        """A random crop of a random video.

        Args:
            rng: random generator.
            other_than: a video that it must not be of.
        """
        video = self._draw_video(rng, other_than)
        scene = self._draw_video(rng, video)
        features = self.corpus.features[video]
        start, end = self._draw_segment(rng, features, self.corpus.proposals[video])
        half = None
        shown = source = features
        if rng.random() < self.augmentation.thin and (end - start) >= 4 * features.step:
            half = int(rng.integers(2))
            shown, source = (every_second_row(features, first) for first in (half, 1 - half))
        mean, deviation = self._mean_and_deviation(video)
        query = augment_clip(
            rng,
            source,
            (start, end),
            self.augmentation,
            mean=mean,
            deviation=deviation,
            scene=self._mean_and_deviation(scene)[0],
        )
        return Crop(
            query_video=video,
            query_segment=(start, end),
            query_label="",
            reference=video,
            label="",
            targets=torch.tensor([[start, end]], dtype=torch.float64),
            query=query,
            seen=shown,
            scene=scene,
            half=half,
        )

    def _sample(self, rng: np.random.Generator) -> list[Data]:
        crop = self.draw(rng)
        proposals = self.corpus.proposals[crop.reference]
        overlap = temporal_iou(proposals, crop.targets)[:, 0]
        away = int(ELSEWHERE * self.list_length)
        rows = list_rows(rng, overlap, self.list_length - away)
        own, elsewhere = proposals[rows], self._draw_proposals(rng, crop.scene, away)
        query, clips = self._views(crop, own, elsewhere)
        if rng.random() < self.composite:
            other = self.draw(rng, other_than=crop.reference)
            (first, last), (start, end) = crop.query_segment, other.query_segment
            # The other video is shifted and stretched, so that its crop covers the first one's.
            places = (own - first) * ((end - start) / (last - first)) + start
            theirs = self._views(other, places, self._draw_proposals(rng, other.scene, away))
            block = channel_block(rng, query.size(-1))
            query[..., block], clips[..., block] = theirs[0][..., block], theirs[1][..., block]
        targets = torch.full((len(clips), 2), float("nan"), dtype=torch.float64)
        targets[: len(own)] = crop.targets
        return pair_graphs(
            query,
            clips,
            torch.cat([own, elsewhere]),
            targets=targets,
            overlaps=torch.cat([overlap[rows], overlap.new_zeros(away)]),
            query_duration=crop.query.duration,
        )

    def _views(self, crop: Crop, own: Tensor, elsewhere: Tensor) -> tuple[Tensor, Tensor]:
        """The query ``[T, C]``; segments of its video, then of its scene's, ``[m, T, C]``."""
        other = self.corpus.features[crop.scene]
        if crop.half is not None and other.num_steps > 1:
            other = every_second_row(other, crop.half)
        clips = [
            resample(video, widen(segments, self.context), self.timesteps, self.resampling)
            for video, segments in ((crop.seen, own), (other, elsewhere))
        ]
        return resample_clip(crop.query, self.timesteps, self.resampling), torch.cat(clips)

    def _draw_video(self, rng: np.random.Generator, other_than: str | None) -> str:
        videos = [video for video in self.videos if video != other_than]
        return videos[int(rng.integers(len(videos)))]

    def _draw_proposals(self, rng: np.random.Generator, video: str, number: int) -> Tensor:
        proposals = self.corpus.proposals[video]
        return proposals[torch.from_numpy(rng.integers(len(proposals), size=number))]

    @staticmethod
    def _draw_segment(
        rng: np.random.Generator, features: Features, proposals: Tensor
    ) -> tuple[float, float]:
        """A candidate of a length that suits, its ends moved, inside the video."""
        length = proposals[:, 1] - proposals[:, 0]
        whole = features.duration - features.offset
        long_enough = length >= SHORTEST_CROP * features.step
        suits = long_enough & (length <= LONGEST_CROP * whole)
        for allowed in (suits, long_enough, torch.ones_like(suits)):
            rows = allowed.nonzero()[:, 0]
            if len(rows):
                break
        start, end = proposals[int(rows[int(rng.integers(len(rows)))])].tolist()
        moved = rng.uniform(-OFF_CANDIDATE, OFF_CANDIDATE, size=2) * (end - start)
        start = max(features.offset, start + moved[0])
        return start, max(min(features.duration, end + moved[1]), start + features.step)

    def _mean_and_deviation(self, video: str) -> tuple[Tensor, Tensor]:
        """Of each channel over the rows of a video, ``[C]``."""
        if video not in self._statistics:
            values = self.corpus.features[video].values
            self._statistics[video] = values.mean(dim=0), values.std(dim=0, correction=0)
        return self._statistics[video]
