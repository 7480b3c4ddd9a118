"""A trained model as one file, which says all that is needed to ask it about new videos.

``model.safetensors`` holds the weights and the scaling of the features, and in its header a JSON
object: name and options of the model, where the features came from, the candidates it was trained
on, a checksum. Nothing in it is executed, and the data is not needed to read it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gnnreloc.atomic_write import atomic_write
from gnnreloc.data.features import Features
from gnnreloc.data.scaled_features import FeatureScaling
from gnnreloc.errors import InputError
from gnnreloc.models.registry import create_model, model_builder
from gnnreloc.models.trainable import TrainableRelocalizer
from gnnreloc.proposals.corpus_proposals import WINDOW_OVERLAP
from gnnreloc.proposals.windows import window_proposals

FORMAT = 1
FILE_NAME = "model.safetensors"
#: Entry of the header that tells such a file from others.
KEY = "gnnreloc_model"


@dataclass(frozen=True, eq=False)
class SavedModel:
    """A trained model, and what it must be asked with.

    Attributes:
        model: on the CPU, in evaluation mode.
        name: name of the model, one of :func:`~gnnreloc.models.list_models`.
        options: the arguments that it was built with, all but ``in_channels``.
        features: where the features that it was trained on came from, as far as it is known:
            ``backbone`` and ``step`` (seconds) among others. New videos need the same.
        scaling: what is done to features before the model sees them; ``None`` for nothing.
        windows: lengths in seconds of the windows that it was trained on; empty if not windows.
        trained: how it was trained, as plain data, for people.
    """

    model: TrainableRelocalizer
    name: str
    options: Mapping[str, Any]
    features: Mapping[str, Any] = field(default_factory=dict)
    scaling: FeatureScaling | None = None
    windows: tuple[float, ...] = ()
    trained: Mapping[str, Any] = field(default_factory=dict)

    def prepare(self, features: Features, video: str = "?") -> Features:
        """The features of a video or clip as the model wants them.

        Args:
            features: as they were extracted.
            video: its name, for the messages.

        Raises:
            InputError: if they come from another backbone or have another width than the model was
                trained on; names both.
        """
        wanted, found = self.features.get("backbone"), features.metadata.get("backbone")
        if wanted is not None and found is not None and wanted != found:
            raise InputError(
                f"video {video!r}: its features come from the backbone {found!r}, the model was "
                f"trained on {wanted!r}"
            )
        if features.num_channels != self.model.in_channels:
            source = f" ({wanted})" if wanted is not None else ""
            raise InputError(
                f"video {video!r}: found features of {features.num_channels} channels, the model "
                f"was trained on {self.model.in_channels}{source}"
            )
        return features if self.scaling is None else self.scaling.apply(features, video)

    def propose(self, features: Features) -> Tensor:
        """Candidates as in training: half overlapping windows, float64 ``[m, 2]`` in seconds.

        Raises:
            InputError: if the model was not trained on windows.
        """
        if not self.windows:
            raise InputError("the model was not trained on windows: give it proposals")
        return window_proposals(features.duration, lengths=self.windows, overlap=WINDOW_OVERLAP)


def save_model(
    folder: str | Path,
    model: TrainableRelocalizer,
    *,
    name: str,
    options: Mapping[str, Any] | None = None,
    features: Mapping[str, Any] | None = None,
    scaling: FeatureScaling | None = None,
    windows: Sequence[float] = (),
    trained: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model to ``model.safetensors`` in a folder, whole or not at all.

    Args:
        folder: made where it is missing.
        model: the model; it is not changed.
        name: name that it was built by, see :func:`~gnnreloc.models.create_model`.
        options: the options that were given for it, but ``in_channels``. Defaults are added, so
            that the file does not change its meaning when they do.
        features: where the features come from; must fit into JSON.
        scaling: what was done to the features.
        windows: lengths in seconds of the windows that it was trained on.
        trained: how it was trained; must fit into JSON.

    Returns:
        The file.

    Raises:
        InputError: if the name is unknown, or something does not fit into JSON.
    """
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    if scaling is not None:
        tensors |= {"scaling.mean": scaling.mean, "scaling.deviation": scaling.deviation}
    # Copies: a tensor that is a part of another one cannot be written.
    tensors = {key: value.detach().cpu().clone() for key, value in tensors.items()}
    content = {
        "model": name,
        "options": all_options(name, options or {}),
        "in_channels": model.in_channels,
        "features": dict(features or {}),
        "windows": list(windows),
        "trained": dict(trained or {}),
        "sha256": _checksum(tensors),
    }
    path = Path(folder) / FILE_NAME
    try:
        document = json.dumps(content, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: does not fit into JSON: {error}") from error
    with atomic_write(path) as file:
        file.write(safetensors.torch.save(tensors, {KEY: str(FORMAT), "content": document}))
    return path


def load_model(path: str | Path) -> SavedModel:
    """Read a model that :func:`save_model` or ``gnnreloc train`` wrote.

    Args:
        path: the folder, or the file in it.

    Raises:
        InputError: if there is none, it is damaged, of a newer version of gnnreloc, or the model
            that it names cannot be built.
    """
    path = Path(path).expanduser()
    path = path / FILE_NAME if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"{path} is missing: wanted the folder that gnnreloc train wrote")
    content, tensors = _read(path)
    try:
        name, options, width = content["model"], content["options"], content["in_channels"]
        scaling = None
        if "scaling.mean" in tensors:
            scaling = FeatureScaling(tensors["scaling.mean"], tensors["scaling.deviation"])
        known = {"features": dict(content["features"]), "trained": dict(content["trained"])}
        windows = tuple(float(length) for length in content["windows"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error!r} in its header") from error
    weights = {
        key.removeprefix("model."): value
        for key, value in tensors.items()
        if key.startswith("model.")
    }
    # Initial weights are drawn and thrown away: the caller's random numbers go on as they were.
    with torch.random.fork_rng(devices=[]):
        try:
            model = create_model(name, in_channels=width, **options)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    if not isinstance(model, TrainableRelocalizer):
        raise InputError(f"{path}: model {name!r} is not one that is trained")
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: its weights are of another model: {reason}") from error
    return SavedModel(model.eval(), name, options, scaling=scaling, windows=windows, **known)


def all_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a model, given and default, but ``in_channels`` and what its name stands for.

    Raises:
        InputError: if the name is unknown.
    """
    build, chosen = model_builder(name)
    defaults = {
        option: parameter.default
        for option, parameter in inspect.signature(build).parameters.items()
        if parameter.default is not parameter.empty and option not in chosen
    }
    return {**defaults, **options}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of the file, checked against each other."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        version = int(header.get(KEY, 0))
        content = json.loads(header.get("content", "null"))
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} is damaged or no saved model: {error}") from error
    if version > FORMAT:
        raise InputError(
            f"{path} was written by a newer version of gnnreloc (its format is {version}, this "
            f"version reads {FORMAT}): update gnnreloc"
        )
    if version < 1 or not isinstance(content, dict):
        raise InputError(f"{path} is no model that gnnreloc train saved")
    if content.get("sha256") != _checksum(tensors):
        raise InputError(f"{path} is damaged: the weights do not have their checksum")
    return content, tensors


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
