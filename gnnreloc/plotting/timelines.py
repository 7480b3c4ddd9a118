"""Timelines of query, truth, prediction and candidates in seconds (the paper's figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from gnnreloc.plotting.style import (
    BLUE,
    FRAME_GREY,
    GREEN,
    SMALL_TEXT_SIZE,
    TEXT_SIZE,
    VERMILLION,
    clean_axes,
    new_figure,
    to_array,
)

_MOST_CANDIDATES = 40
_BAR_HEIGHT = 0.62
_LONGEST_LABEL = 32
# Rows from top to bottom, in units of one bar row; candidates share the band below the last row.
_QUERY, _TRUTH, _PREDICTION = 0.0, 1.0, 2.0
_BAND = (2.55, 4.75)
_THICKEST_CANDIDATE = 0.3
_SCORES = LinearSegmentedColormap.from_list("scores", ["0.88", "0.10"])


@dataclass(frozen=True, eq=False)
class TimelineCase:
    """One query-reference pair and what a system found in it; all times in seconds.

    Args:
        title: what the case shows, for instance "best" or a video's name.
        query_label: class or name of the query clip.
        query_duration: length of the query clip.
        duration: length of the reference video.
        truth: `[g, 2]` moments (start, end) of the query's action in the reference.
        prediction: `[2]` predicted moment (start, end).
        score: score of the prediction.
        overlap: tIoU of the prediction with the best matching true moment, in [0, 1].
        proposals: `[m, 2]` candidate moments (start, end), m may be 0.
        proposal_scores: `[m]` their scores, higher is better.

    Raises:
        ValueError: a wrong shape, a value that is not finite, a moment that ends before it starts,
            a length that is not positive or a tIoU outside [0, 1]; names the case and the field.
    """

    title: str
    query_label: str
    query_duration: float
    duration: float
    truth: torch.Tensor | npt.NDArray[Any]
    prediction: torch.Tensor | npt.NDArray[Any]
    score: float
    overlap: float
    proposals: torch.Tensor | npt.NDArray[Any]
    proposal_scores: torch.Tensor | npt.NDArray[Any]

    def __post_init__(self) -> None:
        """Check every field, so that an error names the case and not a line of matplotlib."""
        for field in ("query_duration", "duration"):
            if not 0.0 < getattr(self, field) < float("inf"):
                raise ValueError(
                    f"case {self.title!r}: {field} is {getattr(self, field)}, wanted seconds > 0"
                )
        if not 0.0 <= self.overlap <= 1.0:
            raise ValueError(f"case {self.title!r}: overlap is {self.overlap}, wanted 0 to 1")
        if not np.isfinite(self.score):
            raise ValueError(f"case {self.title!r}: score is {self.score}, wanted a finite number")
        self._check_moments("truth", 2)
        self._check_moments("proposals", 2)
        self._check_moments("prediction", 1)
        moments, scores = tuple(self.proposals.shape), tuple(self.proposal_scores.shape)
        if scores != moments[:1]:
            raise ValueError(
                f"case {self.title!r}: proposal_scores has shape {scores}, wanted {moments[:1]}"
            )
        to_array(self.proposal_scores, f"case {self.title!r}: proposal_scores")

    def _check_moments(self, field: str, dimensions: int) -> None:
        moments = getattr(self, field)
        shape = tuple(moments.shape)
        if len(shape) != dimensions or shape[-1] != 2:
            wanted = "[2]" if dimensions == 1 else "[number, 2]"
            raise ValueError(f"case {self.title!r}: {field} has shape {shape}, wanted {wanted}")
        for start, end in to_array(moments, f"case {self.title!r}: {field}").reshape(-1, 2):
            if end < start:
                raise ValueError(
                    f"case {self.title!r}: {field} has a moment that ends ({end:g} s) before it "
                    f"starts ({start:g} s)"
                )


def plot_timelines(cases: Sequence[TimelineCase], *, title: str | None = None) -> Figure:
    """Timelines of several cases, one below the other, each on a scale of its own video.

    From top to bottom in every case: the query clip as a bar of its own length, the reference video
    with its true moments, the prediction with its tIoU, and the candidates, best on top and darker
    for a higher score (the 40 best are drawn). Shaded columns carry the true moments down.

    Args:
        cases: what to draw, for instance good cases before bad ones.
        title: written above all cases.

    Raises:
        ValueError: there are no cases.

    Example:
        >>> moment = torch.tensor([4.0, 9.0])
        >>> case = TimelineCase(
        ...     "good", "jump", 5.0, 30.0, moment[None], moment, 0.9, 1.0, moment[None], moment[:1]
        ... )
        >>> [text.get_text() for text in plot_timelines([case]).axes[0].texts]
        ['jump, 5.0 s', 'tIoU 1.00, score 0.900']
    """
    if not cases:
        raise ValueError("cases: there are none, wanted at least one")
    figure = new_figure(9.0, 0.4 + 2.55 * len(cases), title)
    for case, axes in zip(cases, figure.subplots(len(cases), 1, squeeze=False)[:, 0], strict=True):
        _draw_case(axes, case)
        _draw_candidates(figure, axes, case)
    axes.set_xlabel("seconds", fontsize=TEXT_SIZE)
    return figure


def _draw_case(axes: Axes, case: TimelineCase) -> None:
    """Everything but the candidates."""
    clean_axes(axes)
    axes.spines["left"].set_visible(False)
    axes.set_title(case.title, loc="left", fontsize=TEXT_SIZE, fontweight="bold", parse_math=False)
    axes.set_xlim(0.0, max(case.duration, case.query_duration))
    axes.set_ylim(_BAND[1] + 0.1, -0.5)
    candidates = len(case.proposals)
    shown = "candidates"
    if candidates > _MOST_CANDIDATES:
        shown = f"best {_MOST_CANDIDATES} of\n{candidates} candidates"
    axes.set_yticks(
        [_QUERY, _TRUTH, _PREDICTION, sum(_BAND) / 2],
        ["query", "truth in\nreference", "prediction", shown],
    )
    axes.tick_params(axis="y", length=0)

    _draw_bar(axes, _QUERY, 0.0, case.query_duration, color=BLUE)
    label = case.query_label
    if len(label) > _LONGEST_LABEL:
        label = label[: _LONGEST_LABEL - 3] + "..."
    _write_beside(axes, _QUERY, 0.0, case.query_duration, f"{label}, {case.query_duration:.1f} s")
    _draw_bar(axes, _TRUTH, 0.0, case.duration, color="0.88")
    for start, end in to_array(case.truth, "truth"):
        _draw_bar(axes, _TRUTH, start, end, color=GREEN)
        axes.axvspan(start, end, ymax=_fraction(axes, _TRUTH), color=GREEN, alpha=0.12, lw=0)
    start, end = to_array(case.prediction, "prediction")
    _draw_bar(axes, _PREDICTION, start, end, color=VERMILLION)
    text = f"tIoU {case.overlap:.2f}, score {case.score:#.3g}"
    _write_beside(axes, _PREDICTION, start, end, text)


def _draw_candidates(figure: Figure, axes: Axes, case: TimelineCase) -> None:
    """The best candidates, one thin bar each, and the colour bar of their scores."""
    scores = to_array(case.proposal_scores, "proposal_scores")
    if not len(scores):
        return
    moments = to_array(case.proposals, "proposals")
    best = np.argsort(-scores, kind="stable")[:_MOST_CANDIDATES]
    low, high = float(scores.min()), float(scores.max())
    scale = Normalize(low, high) if low < high else Normalize(low - 0.5, high + 0.5)
    pitch = min(_THICKEST_CANDIDATE, (_BAND[1] - _BAND[0]) / len(best))
    axes.barh(
        _BAND[0] + pitch * (np.arange(len(best)) + 0.5),
        moments[best, 1] - moments[best, 0],
        left=moments[best, 0],
        height=0.8 * pitch,
        color=_SCORES(scale(scores[best])),
        snap=False,
    )
    bar = figure.colorbar(ScalarMappable(scale, _SCORES), ax=axes, pad=0.01, aspect=14)
    bar.set_label("score", fontsize=SMALL_TEXT_SIZE)
    bar.ax.tick_params(labelsize=SMALL_TEXT_SIZE, color=FRAME_GREY)
    bar.outline.set_edgecolor(FRAME_GREY)


def _draw_bar(axes: Axes, row: float, start: float, end: float, *, color: str) -> None:
    axes.barh(row, end - start, left=start, height=_BAR_HEIGHT, color=color)


def _write_beside(axes: Axes, row: float, start: float, end: float, text: str) -> None:
    """Text right of a bar, left of it where the right is too narrow, else on it in white."""
    limit = axes.get_xlim()[1]
    start, end = max(start, 0.0), min(end, limit)
    gap = 0.008 * limit
    style: dict[str, Any] = {
        "s": text,
        "va": "center",
        "fontsize": SMALL_TEXT_SIZE,
        "parse_math": False,
    }
    if end <= 0.6 * limit:
        axes.text(end + gap, row, ha="left", **style)
    elif start >= 0.3 * limit:
        axes.text(start - gap, row, ha="right", **style)
    else:
        axes.text((start + end) / 2, row, ha="center", color="white", **style)


def _fraction(axes: Axes, row: float) -> float:
    """Height of a row as a share of the panel, from its bottom."""
    bottom, top = axes.get_ylim()
    return (row - bottom) / (top - bottom)
