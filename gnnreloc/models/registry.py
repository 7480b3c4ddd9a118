"""The systems by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gnnreloc.errors import InputError
from gnnreloc.models.aft_srm import AFTSRM
from gnnreloc.models.chance import Chance
from gnnreloc.models.cross_gated_bilinear import CrossGatedBilinear
from gnnreloc.models.frame_level import FrameLevel
from gnnreloc.models.graph_relocalizer import GraphRelocalizer
from gnnreloc.models.longest_proposal import LongestProposal
from gnnreloc.models.oracle import Oracle
from gnnreloc.models.random_proposal import RandomProposal
from gnnreloc.models.relocalizer import Relocalizer
from gnnreloc.models.sst import SST
from gnnreloc.models.training_free import TrainingFree
from gnnreloc.models.video_level import VideoLevel
from gnnreloc.models.whole_reference import WholeReference

HOPS = {"1": (1,), "12": (1, 2), "123": (1, 2, 3)}


def _khop(layers: int, hops: str, **options: Any) -> tuple[Callable[..., Relocalizer], str]:
    """A row of the paper's tables: n graph layers with the graphs k."""
    build = partial(GraphRelocalizer, graph="khop", layers=layers, hops=HOPS[hops], **options)
    encoder = ", CNN in place of the LSTM" if options else ""
    return build, f"fixed graphs, n={layers}, k={'&'.join(hops)}{encoder}"


# By name: what builds it, and one line on it; in the order of the paper's tables, then ours.
_MODELS: dict[str, tuple[Callable[..., Relocalizer], str]] = {
    "chance": (Chance, "a segment between two random cut points"),
    "frame_level": (FrameLevel, "best aligned block of the frame similarities, no training"),
    "video_level": (VideoLevel, "distance of LSTM-encoded clips, one vector each"),
    "sst": (SST, "proposals of an SST network, re-ranked by the video-level distance"),
    "cross_gated_bilinear": (CrossGatedBilinear, "labels every reference step, no proposals"),
    "aft_srm": (AFTSRM, "attention fusion tensor and relevance net (our reading)"),
    **{f"khop_n{n}_k{k}": _khop(n, k) for n in (1, 2, 3) for k in HOPS},
    "khop_cnn_n1_k1": _khop(1, "1", encoder="cnn"),
    "khop_cnn_n2_k123": _khop(2, "123", encoder="cnn"),
    "dynamic": (partial(GraphRelocalizer, graph="dynamic"), "learned graph (the paper's method)"),
    "khop": (partial(GraphRelocalizer, graph="khop"), "fixed graphs by distance in time, any n, k"),
    "complete": (partial(GraphRelocalizer, graph="complete"), "all edges, one weight"),
    "identity": (partial(GraphRelocalizer, graph="identity"), "no edges between nodes"),
    "hybrid": (partial(GraphRelocalizer, graph="hybrid"), "learned and fixed graphs side by side"),
    "frozen_phi": (
        partial(GraphRelocalizer, graph="dynamic", train_phi=False),
        "learned graph with random projections that are not trained",
    ),
    "training_free": (TrainingFree, "aligned cosine of the raw features, no training"),
    "random_proposal": (RandomProposal, "a random proposal"),
    "longest_proposal": (LongestProposal, "the longest proposal"),
    "whole_reference": (WholeReference, "the whole reference video"),
    "oracle": (Oracle, "the proposal with the best tIoU: the ceiling of all that rank proposals"),
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
    build, chosen = model_builder(name)
    for option in options:
        if option in chosen:
            raise InputError(
                f"model {name!r} is made with {option} {chosen[option]!r}: leave it out"
            )
    try:
        return build(**chosen, **options)
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"model {name!r}: {error}") from error


def model_builder(name: str) -> tuple[Callable[..., Relocalizer], dict[str, Any]]:
    """The class of a system, and the options that its name stands for.

    Raises:
        InputError: if the name is unknown.

    Example:
        >>> model_builder("khop_n2_k12")[1]
        {'graph': 'khop', 'layers': 2, 'hops': (1, 2)}
    """
    if name not in _MODELS:
        raise InputError(f"unknown model {name!r}; known are: {', '.join(_MODELS)}")
    build = _MODELS[name][0]
    return (build.func, build.keywords) if isinstance(build, partial) else (build, {})
