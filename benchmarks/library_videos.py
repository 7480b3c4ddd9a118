"""Libraries of generated videos, and queries that show what also happens in them."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from gnnreloc.data import Features, InMemoryFeatureStore, write_features
from gnnreloc.datasets import synthetic
from gnnreloc.datasets.synthetic import CLASSES, STEP
from gnnreloc.models import TrainableRelocalizer, create_model
from gnnreloc.models.saved_model import SavedModel
from gnnreloc.proposals import geometric_lengths, replace_proposals, window_proposals
from gnnreloc.search.engine import LENGTHS, LONGEST, SHORTEST
from gnnreloc.search.index import IndexReport, update_index
from gnnreloc.search.index_settings import WINDOW_OVERLAP
from gnnreloc.training import Trainer
from gnnreloc.video import Backbone, Outcome
from gnnreloc.video.video_files import feature_name

#: Videos of which the moments are queries; they are in no library.
QUERY_VIDEOS = 25
#: A generated video has this many proposals at least, on average.
_PROPOSALS_OF_A_VIDEO = 280


class Generated(Backbone):
    """Stands for what made the features; makes none.

    Args:
        channels: width of a row.
    """

    name, frame_size = "generated", (8, 8)

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.set_step(STEP)

    def encode(self, clips: Tensor) -> NoReturn:
        raise NotImplementedError("features are generated, not extracted")


@dataclass(frozen=True, eq=False)
class Videos:
    """Features of the videos of a library, and queries.

    The features of the data set ``synthetic`` are brought to more channels by a matrix with
    orthonormal rows: their cosines stay, a row is as long as that of a real backbone.

    Attributes:
        features: by name, of 48 channels.
        queries: clips of other videos, of ``channels``, in turn of all videos.
        asked: the action that each query shows.
        moments: the actions in the library, by video: start, end and action.
        mixing: ``[48, channels]``.
    """

    features: Mapping[str, Features]
    queries: list[Features]
    asked: list[str]
    moments: Mapping[str, Sequence[tuple[float, float, str]]]
    mixing: Tensor

    def is_right(self, query: int, video: str, start: float, end: float) -> bool:
        """Whether a moment shows what a query does, with a tIoU of a half at least."""
        return any(
            label == self.asked[query]
            and 2 * (min(end, until) - max(start, since)) >= max(end, until) - min(start, since)
            for since, until, label in self.moments[Path(video).stem]
        )

    @property
    def backbone(self) -> Generated:
        """What the features are said to come from."""
        return Generated(self.mixing.shape[1])

    @property
    def hours(self) -> float:
        """Length of all videos."""
        return sum(features.duration for features in self.features.values()) / 3600

    def extract(
        self, videos: Mapping[str, Path], store: Path, backbone: Backbone, decoder: str
    ) -> Iterator[Outcome]:
        """Write the features of videos, as :func:`gnnreloc.search.index.update_index` asks it."""
        settings = {**backbone.settings, "decoder": decoder}
        for video, path in videos.items():
            features = widen(self.features[path.stem], self.mixing)
            features = replace(features, metadata={**settings, "sha256": video})
            write_features(store / f"{feature_name(video)}.safetensors", features)
            yield Outcome(video, path, "done", features.num_steps, features.step)

    def build(self, folder: Path, model: SavedModel | None = None) -> IndexReport:
        """Write the index of the library, for all or for a model."""
        with tempfile.TemporaryDirectory() as files:
            for name in self.features:
                Path(files, f"{name}.mp4").touch()
            return update_index(files, folder, self.backbone, model=model, extract=self.extract)


def generate(proposals: int, *, channels: int, seed: int) -> Videos:
    """Videos with so many proposals, or a few more, of 30 actions; and queries of these.

    Args:
        proposals: number of proposals that an index makes of them.
        channels: width of a feature row, at least 48.
        seed: of the matrix that mixes the channels, and of the choice of videos.
    """
    videos = QUERY_VIDEOS + proposals // _PROPOSALS_OF_A_VIDEO + 8
    share = videos / sum(CLASSES.values())
    counts = {f"{name}_videos": 2 + round(share * many) for name, many in CLASSES.items()}
    corpus = synthetic(**counts)
    names = sorted(corpus.features)
    random.Random(seed).shuffle(names)
    mix = mixing(channels, seed)
    asked = corpus.moments[corpus.moments["video"].isin(names[:QUERY_VIDEOS])]
    asked = asked.sample(frac=1, random_state=seed)
    queries = [
        widen(corpus.features[row.video].slice(row.start, row.end), mix)
        for row in asked.itertuples()
    ]
    kept: dict[str, Features] = {}
    found = 0
    lengths = geometric_lengths(SHORTEST, LONGEST, LENGTHS)
    for name in names[QUERY_VIDEOS:]:
        kept[name] = corpus.features[name]
        duration = kept[name].duration
        found += len(window_proposals(duration, lengths=lengths, overlap=WINDOW_OVERLAP))
        if found >= proposals:
            break
    moments = {
        str(name): [(row.start, row.end, row.label) for row in some.itertuples()]
        for name, some in corpus.moments.groupby("video")
    }
    return Videos(kept, queries, asked["label"].tolist(), moments, mix)


def train(videos: int, *, channels: int, epochs: int, seed: int, **options: int) -> SavedModel:
    """A model that is trained just enough to rank by what the query shows.

    Args:
        videos: of the training classes.
        channels: width of a feature row.
        epochs: of training.
        seed: as for :func:`generate`, and of the training.
        **options: of the model.
    """
    corpus = synthetic(train_videos=videos, validation_videos=2, test_videos=2)
    mix = mixing(channels, seed)
    wide = {name: widen(corpus.features[name], mix) for name in corpus.features}
    corpus = replace_proposals(replace(corpus, features=InMemoryFeatureStore(wide)), "windows")
    torch.manual_seed(seed)
    model = create_model("dynamic", in_channels=channels, **options)
    assert isinstance(model, TrainableRelocalizer)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(epochs=epochs, validate_every=0, device="cpu", seed=seed).fit(
            model, corpus, folder=folder
        )
    return SavedModel(model.eval(), "dynamic", options, {"backbone": "generated", "step": STEP})


def mixing(channels: int, seed: int) -> Tensor:
    """Orthonormal rows, ``[48, channels]``."""
    drawn = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(channels, 48, generator=drawn))[0].T


def widen(features: Features, mix: Tensor) -> Features:
    """The features with other channels."""
    return replace(features, values=features.values @ mix)
