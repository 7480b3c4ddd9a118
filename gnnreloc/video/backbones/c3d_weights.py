"""Published weights of C3D, and the projection of its features."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gnnreloc.errors import InputError

# Layers in their order, with the place of each in networks that are one row of layers.
_NAMES = ("conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b")
_IN_A_ROW = dict(zip((0, 3, 6, 8, 11, 13, 16, 18), _NAMES, strict=True))
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_DAMAGE = (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError)


def load_c3d(path: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of C3D from a state dict, whatever its layers are called there.

    Understood are ``conv1.weight`` (also ``conv1a``), ``conv1a.conv.weight``, and rows of layers,
    ``features.0.weight`` with ``classifier.0.weight`` or ``fc6.weight``; each also behind prefixes
    such as ``module.`` or ``backbone.``, and inside an entry ``state_dict``. The last layer, which
    names classes, is left out. Nothing but tensors is ever unpickled.

    Args:
        path: File written by ``torch.save``, or ``.safetensors``.
        wanted: Names and shapes of the parameters.

    Raises:
        InputError: If the file cannot be read, or a parameter is missing or of another shape.
    """
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (*_DAMAGE, safetensors.SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read as weights of C3D: {reason}") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise InputError(f"{path}: found {type(content).__name__}, wanted a state dict of C3D")
    found: dict[str, Tensor] = {}
    for name, value in content.items():
        parameter = _parameter(str(name))
        if parameter is not None and parameter in wanted and isinstance(value, Tensor):
            found[parameter] = value.float()
    for parameter, tensor in wanted.items():
        if parameter not in found:
            names = ", ".join(list(map(str, content))[:4])
            raise InputError(f"{path}: found no {parameter} of C3D among {names}, ...")
        if found[parameter].shape != tensor.shape:
            raise InputError(
                f"{path}: found {parameter} of shape {list(found[parameter].shape)}, wanted "
                f"{list(tensor.shape)}"
            )
    return found


def _parameter(name: str) -> str | None:
    """Our name of a parameter.

    Example:
        >>> names = ("module.conv3a.weight", "backbone.conv1a.conv.bias", "classifier.3.bias")
        >>> [_parameter(name) for name in names], _parameter("features.8.weight")
        (['conv3a.weight', 'conv1.bias', 'fc7.bias'], 'conv3b.weight')
    """
    row = re.fullmatch(r"(?:.*\.)?features\.(\d+)\.(weight|bias)", name)
    if row:
        layer = _IN_A_ROW.get(int(row[1]))
        return layer and f"{layer}.{row[2]}"
    full = re.fullmatch(r"(?:.*\.)?classifier\.(0|3)\.(weight|bias)", name)
    if full:
        return f"{'fc6' if full[1] == '0' else 'fc7'}.{full[2]}"
    plain = re.fullmatch(r"(?:.*\.)?((?:conv|fc)\d[ab]?)(?:\.conv)?\.(weight|bias)", name)
    if plain is None:
        return None
    layer = {"conv1a": "conv1", "conv2a": "conv2"}.get(plain[1], plain[1])
    return f"{layer}.{plain[2]}"


def load_projection(path: Path, channels: int) -> tuple[Tensor, Tensor]:
    """A principal component analysis: rows become ``(row - mean) @ components.T``.

    Args:
        path: ``.npz`` or ``.safetensors`` file with ``mean [channels]`` and
            ``components [k, channels]``, as ``sklearn.decomposition.PCA`` calls them.
        channels: Width of the rows.

    Returns:
        Mean and components, float32.

    Raises:
        InputError: If the file cannot be read, or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            content: dict[str, Any] = safetensors.torch.load_file(path)
        else:
            with np.load(path, allow_pickle=False) as arrays:
                content = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        mean, components = content["mean"].float(), content["components"].float()
    except (*_DAMAGE, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: cannot be read as a projection, with mean and components: {error}"
        ) from error
    mean = mean.flatten()
    if mean.shape != (channels,) or components.dim() != 2 or components.shape[1] != channels:
        raise InputError(
            f"{path}: found mean {list(mean.shape)} and components {list(components.shape)}, "
            f"wanted [{channels}] and [k, {channels}]"
        )
    if not (torch.isfinite(mean).all() and torch.isfinite(components).all()):
        raise InputError(f"{path}: found NaN or infinite numbers in the projection")
    return mean, components
