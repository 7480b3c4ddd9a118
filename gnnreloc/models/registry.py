"""The systems by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gnnreloc.errors import InputError
from gnnreloc.models.chance import Chance
from gnnreloc.models.graph_relocalizer import GraphRelocalizer
from gnnreloc.models.longest_proposal import LongestProposal
from gnnreloc.models.oracle import Oracle
from gnnreloc.models.random_proposal import RandomProposal
from gnnreloc.models.relocalizer import Relocalizer
from gnnreloc.models.training_free import TrainingFree
from gnnreloc.models.whole_reference import WholeReference

_MODELS: dict[str, tuple[Callable[..., Relocalizer], str]] = {
    "chance": (Chance, "a segment between two random cut points"),
    "random_proposal": (RandomProposal, "a random proposal"),
    "longest_proposal": (LongestProposal, "the longest proposal"),
    "whole_reference": (WholeReference, "the whole reference video"),
    "oracle": (Oracle, "the proposal with the best tIoU: the ceiling of all that rank proposals"),
    "training_free": (TrainingFree, "aligned cosine of the raw features, no training"),
    "dynamic": (partial(GraphRelocalizer, graph="dynamic"), "learned graph (the paper's method)"),
    "khop": (partial(GraphRelocalizer, graph="khop"), "fixed graphs by distance in time"),
    "complete": (partial(GraphRelocalizer, graph="complete"), "all edges, one weight"),
    "identity": (partial(GraphRelocalizer, graph="identity"), "no edges between nodes"),
    "hybrid": (partial(GraphRelocalizer, graph="hybrid"), "learned and fixed graphs side by side"),
}


def list_models() -> dict[str, str]:
    """Name and one line on each system.

    Example:
        >>> list_models()["random_proposal"]
        'a random proposal'
    """
    return {name: line for name, (_, line) in _MODELS.items()}


def create_model(name: str, **options: Any) -> Relocalizer:
    """Build a system.

    Args:
        name: one of :func:`list_models`.
        **options: arguments of its class; ``in_channels`` for those that are trained.

    Raises:
        InputError: if the name is unknown or an option does not fit.

    Example:
        >>> create_model("training_free", timesteps=20).timesteps
        20
    """
    if name not in _MODELS:
        raise InputError(f"unknown model {name!r}; known are: {', '.join(_MODELS)}")
    try:
        return _MODELS[name][0](**options)
    except (OverflowError, TypeError, ValueError) as error:
        raise InputError(f"model {name!r}: {error}") from error
