"""The backbones by name: what turns the frames of a video into feature rows."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from gnnreloc.errors import InputError
from gnnreloc.video.backbones.backbone import Backbone
from gnnreloc.video.backbones.c3d import C3D
from gnnreloc.video.backbones.efficientnet_lite0 import EfficientNetLite0
from gnnreloc.video.backbones.videomae import VideoMAE
from gnnreloc.video.backbones.vjepa2 import VJEPA2

__all__ = [
    "BACKBONES",
    "C3D",
    "DEFAULT_BACKBONE",
    "VJEPA2",
    "Backbone",
    "EfficientNetLite0",
    "VideoMAE",
    "create_backbone",
]

#: Name of each backbone to what builds it.
BACKBONES: dict[str, Callable[..., Backbone]] = {
    "efficientnet_lite0": EfficientNetLite0,
    "videomae": VideoMAE,
    "vjepa2": VJEPA2,
    "c3d": C3D,
}

DEFAULT_BACKBONE = "efficientnet_lite0"


def create_backbone(
    name: str = DEFAULT_BACKBONE, *, step: float | None = None, **options: Any
) -> Backbone:
    """Build a backbone.

    Args:
        name: One of :data:`BACKBONES`, or ``module:Class`` for one of your own; modules are also
            looked for in the current folder.
        step: Seconds from one feature row to the next; by default as the backbone has it.
        **options: Arguments of its class.

    Raises:
        InputError: If there is no such backbone, an option or the step does not fit, or something
            that it needs is missing.

    Example:
        >>> create_backbone("resnet")
        Traceback (most recent call last):
        gnnreloc.errors.InputError: unknown backbone 'resnet'; known are: efficientnet_lite0...
    """
    build = BACKBONES.get(name) or _own(name)
    try:
        backbone = build(**options)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # one of the user's own may raise anything
        raise InputError(f"backbone {name!r}: {_told(error)}") from error
    if not isinstance(backbone, Backbone):
        raise InputError(f"backbone {name!r}: found {backbone!r}, wanted a subclass of Backbone")
    backbone.check()
    if step is not None:
        backbone.set_step(step)
    backbone.made_of = {"name": name, "step": step, **options}
    return backbone


def _own(name: str) -> Callable[..., Backbone]:
    if not isinstance(name, str):
        raise InputError(f"backbone: found {name!r}, wanted a name or an instance of Backbone")
    module, colon, attribute = name.partition(":")
    if not colon:
        known = ", ".join(BACKBONES)
        raise InputError(
            f"unknown backbone {name!r}; known are: {known}, and module:Class for one of your own"
        )
    try:
        # An installed command has the folder of its script there, not the one it is called in.
        if not {"", os.getcwd()} & set(sys.path):
            sys.path.append(os.getcwd())
        build: Callable[..., Backbone] = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # whatever the module does
        raise InputError(f"backbone {name!r}: cannot be imported: {_told(error)}") from error
    return build


def _told(error: BaseException) -> str:
    """An error in words; of those whose text says little alone, also the kind."""
    if isinstance(error, (AttributeError, ImportError, OSError, TypeError, ValueError)):
        return str(error) or type(error).__name__
    return f"{type(error).__name__}: {error}"
