"""One short vector for each proposal, so that a dot product says whether to look closer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gnnreloc.atomic_write import atomic_write
from gnnreloc.data.features import Features, resample, resample_clip
from gnnreloc.errors import InputError
from gnnreloc.models.saved_model import SavedModel

FILE_NAME = "embedding.safetensors"
#: Bins of a clip, and what is kept of each: of the right moments on rendered videos, as many come
#: among the best 50 as with all 1280 channels and 8 bins.
TIMESTEPS, CHANNELS = 4, 64
#: Rows of a video, evenly spread, from which the directions are learned.
_ROWS = 512
#: Proposals that are embedded together.
_TOGETHER = 256


@dataclass(frozen=True, eq=False)
class ProposalEmbedding:
    r"""From clips to unit vectors whose products tell clips that look alike from others.

    A clip is :math:`T` bins in time. The mean of the rows in each, less what the clip has in common
    with its surroundings, is brought to few channels and to the length 1:

    .. math:: e = \frac{1}{\sqrt T} \left( \frac{P^\top (x_t - \mu)}{\|P^\top (x_t - \mu)\|}
              \right)_{t = 1 \dots T}

    so that the product of two is the mean of the cosines of their bins. Of a proposal, :math:`\mu`
    is the mean of its video; of a query, whose surroundings are not known, the mean of videos.

    Args:
        mean: :math:`\mu` of queries, ``[C]``.
        directions: :math:`P`, ``[C, d]``: those in which rows differ most, or those that a model
            reads.
        timesteps: :math:`T`.
    """

    mean: Tensor
    directions: Tensor
    timesteps: int = TIMESTEPS

    @property
    def width(self) -> int:
        """Length of a vector: ``T d``."""
        return self.timesteps * self.directions.shape[1]

    def embed_proposals(self, features: Features, mean: Tensor, proposals: Tensor) -> Tensor:
        """The vectors of the proposals of a video.

        Args:
            features: of the video.
            mean: of all its rows, ``[C]``.
            proposals: ``[m, 2]`` in seconds.

        Returns:
            float32 ``[m, width]``.
        """
        small = self._reduced(features, mean)
        parts = [
            self._unit(resample(small, some, self.timesteps, "pool"))
            for some in proposals.split(_TOGETHER)
        ]
        return torch.cat(parts)

    def embed_query(self, query: Features) -> Tensor:
        """The vector of a query clip, float32 ``[width]``."""
        clip = resample_clip(self._reduced(query, self.mean), self.timesteps, "pool")
        return self._unit(clip.unsqueeze(0))[0]

    def _reduced(self, features: Features, mean: Tensor) -> Features:
        values = (features.values - mean) @ self.directions
        return Features(values, features.step, features.offset)

    def _unit(self, clips: Tensor) -> Tensor:
        unit: Tensor = torch.nn.functional.normalize(clips, dim=-1).flatten(1)
        return unit / math.sqrt(self.timesteps)

    def write(self, folder: Path) -> None:
        """Write ``embedding.safetensors``, whole or not at all."""
        tensors = {"mean": self.mean, "directions": self.directions.contiguous()}
        content = safetensors.torch.save(tensors, {"timesteps": str(self.timesteps)})
        with atomic_write(folder / FILE_NAME) as file:
            file.write(content)


def read_embedding(folder: Path) -> ProposalEmbedding | None:
    """The embedding of an index, or ``None`` where there is none yet.

    Raises:
        InputError: if the file is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            timesteps = int((file.metadata() or {})["timesteps"])
            return ProposalEmbedding(
                file.get_tensor("mean"), file.get_tensor("directions"), timesteps
            )
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} is damaged: {error}") from error


def fit_embedding(
    videos: Iterable[Features], *, channels: int = CHANNELS, model: SavedModel | None = None
) -> ProposalEmbedding:
    """Learn the embedding: the directions in which rows differ most from the mean of their video.

    Args:
        videos: features of some videos of the library, at least one; read one after the other.
        channels: directions that are kept at most.
        model: what will rank the candidates; where it begins with a linear layer, the directions
            are the rows of this, as many as it has: what it has learned to overlook is overlooked.

    Raises:
        InputError: if the model reads features of another width.

    Example:
        >>> video = Features(torch.tensor([[0.0, 5.0], [2.0, 5.0]]), step=1.0)
        >>> embedding = fit_embedding([video], channels=1)
        >>> embedding.mean.tolist(), embedding.directions.abs().tolist()
        ([1.0, 5.0], [[1.0], [0.0]])
    """
    means: list[Tensor] = []
    products = torch.zeros(())
    for features in videos:
        rows, mean = features.values, features.values.mean(dim=0)
        spread = torch.linspace(0, len(rows) - 1, min(len(rows), _ROWS)).round().long()
        centred = (rows[spread] - mean).double()
        products = products + centred.T @ centred / len(centred)
        means.append(mean)
    directions = None if model is None else _read_by(model)
    if directions is None:
        directions = torch.linalg.eigh(products).eigenvectors.flip(dims=[1])[:, :channels].float()
    mean = mean_of(means)
    if len(directions) != len(mean):
        raise InputError(
            f"the model reads {len(directions)} feature channels, the videos have {len(mean)}"
        )
    return ProposalEmbedding(mean, directions)


def mean_of(means: Sequence[Tensor]) -> Tensor:
    """Mean of the means of several videos, ``[C]``."""
    return torch.stack(list(means)).mean(dim=0)


def _read_by(model: SavedModel) -> Tensor | None:
    """Directions of features, as they were extracted, that a model reads, ``[C, d]``."""
    projection = getattr(model.model, "projection", None)
    if not isinstance(projection, torch.nn.Sequential):
        return None
    linear = projection[0]
    assert isinstance(linear, torch.nn.Linear)
    weight = linear.weight.detach().float()
    if model.scaling is not None:
        weight = weight / model.scaling.deviation
    return weight.T.contiguous()
