"""What an index was made with, for later videos and queries: ``index.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from gnnreloc.atomic_write import atomic_write
from gnnreloc.data.feature_files import read_json_object
from gnnreloc.data.features import Features
from gnnreloc.errors import InputError
from gnnreloc.models.saved_model import SavedModel
from gnnreloc.proposals import geometric_lengths, window_proposals
from gnnreloc.search.engine import LENGTHS, LONGEST, SHORTEST
from gnnreloc.video import Backbone, create_backbone
from gnnreloc.video.backbones import DEFAULT_BACKBONE
from gnnreloc.video.decode import check_decoder

FORMAT = 1
FILE_NAME = "index.json"
#: Entry that tells such a file from others, and holds the format.
KEY = "gnnreloc_index"
#: Windows of an index overlap less than those of one video: what is found is looked at again.
WINDOW_OVERLAP = 0.5


@dataclass(frozen=True)
class IndexSettings:
    """What an index was made with.

    Attributes:
        backbone: name by which :func:`~gnnreloc.video.create_backbone` builds what makes the
            features; ``None`` for one that was given as an object, which must be given again.
        options: arguments of it.
        step: seconds from one feature row to the next.
        features: all that the rows depend on, see ``Backbone.settings``, and the decoder.
        lengths: of the windows that are proposals, in seconds.
        overlap: share of a window that it has in common with its neighbour.
    """

    backbone: str | None
    options: Mapping[str, Any]
    step: float
    features: Mapping[str, Any]
    lengths: tuple[float, ...]
    overlap: float = WINDOW_OVERLAP
    format: int = field(default=FORMAT, init=False)

    @property
    def decoder(self) -> str:
        """What decodes the videos."""
        return str(self.features["decoder"])

    def propose(self, features: Features) -> Tensor:
        """The proposals of a video, float64 ``[m, 2]`` in seconds."""
        return window_proposals(features.duration, lengths=self.lengths, overlap=self.overlap)

    def build_backbone(self, given: Backbone | None = None) -> Backbone:
        """What makes the features.

        Args:
            given: a backbone to take, if it makes such features.

        Raises:
            InputError: if it, or what now bears the name, makes other features.
        """
        if given is None:
            if self.backbone is None:
                raise InputError("the index was made with a backbone of your own: give it")
            given = create_backbone(self.backbone, step=self.step, **self.options)
        self.require(backbone_features(given, self.decoder))
        return given

    def require(self, found: Mapping[str, Any]) -> None:
        """Raise unless features are made as those of the index.

        Args:
            found: as :func:`backbone_features` gives it.

        Raises:
            InputError: naming what differs.
        """
        for name, wanted in self.features.items():
            if found.get(name) != wanted:
                raise InputError(
                    f"the index holds features whose {name} is {wanted!r}, found "
                    f"{found.get(name)!r}: one index holds features of one kind"
                )

    def write(self, folder: Path) -> None:
        """Write ``index.json``, whole or not at all.

        Raises:
            InputError: if an option does not fit into JSON.
        """
        content = {KEY: self.format, **asdict(self)}
        del content["format"]
        try:
            document = json.dumps(content, indent=2, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"{folder / FILE_NAME}: does not fit into JSON: {error}") from error
        with atomic_write(folder / FILE_NAME) as file:
            file.write(f"{document}\n".encode())


def read_settings(folder: Path) -> IndexSettings:
    """Read ``index.json`` of an index.

    Raises:
        InputError: if there is none, it is damaged, or of a format that this version cannot read.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(f"{folder} is no index: {FILE_NAME} is missing in it")
    content = read_json_object(path)
    version = content.pop(KEY, None)
    if not isinstance(version, int):
        raise InputError(f"{path} is not what gnnreloc index writes: {KEY!r} is missing in it")
    if version != FORMAT:
        raise InputError(
            f"{path}: found an index of format {version}, this version of gnnreloc reads format "
            f"{FORMAT}: make the index anew"
        )
    try:
        content["lengths"] = tuple(float(length) for length in content["lengths"])
        settings = IndexSettings(**content)
        if not {"decoder", "channels"} <= set(settings.features):
            raise KeyError("features")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error!r}") from error
    return settings


def backbone_features(backbone: Backbone, decoder: str) -> dict[str, Any]:
    """All that the features of a backbone depend on."""
    return {**backbone.settings, "decoder": decoder}


@dataclass(frozen=True)
class WantedFeatures:
    """What someone asks of the features of an index, as far as they say.

    Attributes:
        backbone: what makes them, or its name.
        step: seconds from one row to the next.
        options: arguments of a backbone that is given by its name.
        decoder: what decodes.
        model: a trained model that is to be asked.
    """

    backbone: Backbone | str | None = None
    step: float | None = None
    options: Mapping[str, Any] | None = None
    decoder: str | None = None
    model: SavedModel | None = None

    def settings(self) -> tuple[IndexSettings, Backbone]:
        """Settings of a new index, and what makes its features.

        Raises:
            InputError: if the backbone cannot be used, or there is no such decoder.
        """
        trained: Mapping[str, Any] = {} if self.model is None else self.model.features
        name, options, decoder = None, dict(self.options or {}), self.decoder or "pyav"
        check_decoder(decoder)
        if isinstance(self.backbone, Backbone):
            backbone = self.backbone
        else:
            name = self.backbone or trained.get("backbone") or DEFAULT_BACKBONE
            step = trained.get("step") if self.step is None else self.step
            backbone = create_backbone(name, step=step, **options)
        lengths = () if self.model is None else self.model.windows
        made = IndexSettings(
            name,
            options,
            backbone.step,
            backbone_features(backbone, decoder),
            lengths or geometric_lengths(SHORTEST, LONGEST, LENGTHS),
        )
        return made, backbone

    def fitting(self, settings: IndexSettings) -> Backbone:
        """What makes features as an index holds them.

        Raises:
            InputError: if something else is asked for; names what differs.
        """
        model = self.model
        if self.decoder is not None:
            settings.require({**settings.features, "decoder": self.decoder})
        if model is not None and model.windows and model.windows != settings.lengths:
            raise InputError(
                f"the index holds windows of {_seconds(settings.lengths)}, the model was trained "
                f"on {_seconds(model.windows)}: make another index for it"
            )
        if isinstance(self.backbone, Backbone):
            return settings.build_backbone(self.backbone)
        name = self.backbone or settings.backbone
        if name is None or (self.backbone, self.step, self.options) == (None, None, None):
            return settings.build_backbone()
        step = settings.step if self.step is None else self.step
        options = settings.options if self.options is None else self.options
        return settings.build_backbone(create_backbone(name, step=step, **options))


def _seconds(lengths: Sequence[float]) -> str:
    return ", ".join(f"{length:g}" for length in lengths) + " s"
