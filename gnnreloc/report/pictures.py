"""Adjacency matrices that tell weight and times, and timelines of what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from gnnreloc.plotting import TimelineCase
from gnnreloc.plotting.style import to_array

_MOST_CANDIDATES = 40
_TICKS = (1, 2, 5)


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix as a heat map: row i holds what timestep i receives from those of the columns.

    Args:
        title: above it.
        values: ``[rows, columns]``.

    Raises:
        ValueError: if it is no matrix, or holds NaN or infinity.
    """

    title: str
    values: torch.Tensor | npt.NDArray[Any]

    def __post_init__(self) -> None:
        """Check the values."""
        if to_array(self.values, self.title).ndim != 2:
            raise ValueError(f"{self.title}: wanted a matrix, got {tuple(self.values.shape)}")

    @property
    def rounded(self) -> list[list[float]]:
        """The values, to three digits."""
        values = to_array(self.values, self.title).tolist()
        return [[float(f"{value:.3g}") for value in row] for row in values]


@dataclass(frozen=True, eq=False)
class Matrices:
    """Adjacency matrices of one pair graph side by side.

    Args:
        title: above all.
        matrices: of the same shape ``[2T, 2T]``: query first, then proposal.
        query: time of each query timestep in seconds, ``[T]``.
        proposal: of each proposal timestep, ``[T]``.
        query_name: what the query is, for the tooltip.
        proposal_name: what the proposal is.
        text: below the title; may be empty.

    Raises:
        ValueError: if a matrix has another shape.
    """

    title: str
    matrices: Sequence[Matrix]
    query: Sequence[float]
    proposal: Sequence[float]
    query_name: str = "query"
    proposal_name: str = "proposal"
    text: str = ""
    kind: ClassVar[str] = "matrices"

    def __post_init__(self) -> None:
        """Check the shapes."""
        nodes = len(self.query) + len(self.proposal)
        for matrix in self.matrices:
            if tuple(matrix.values.shape) != (nodes, nodes):
                found = tuple(matrix.values.shape)
                raise ValueError(f"{matrix.title}: wanted ({nodes}, {nodes}), found {found}")

    @property
    def data(self) -> list[dict[str, object]]:
        """What the page's script draws, a matrix each."""
        times = [round(float(time), 2) for time in (*self.query, *self.proposal)]
        common: dict[str, object] = {"times": times, "queries": len(self.query)}
        common["names"] = [self.query_name, self.proposal_name]
        return [{"title": each.title, "values": each.rounded, **common} for each in self.matrices]


@dataclass(frozen=True)
class Bar:
    """A moment on a timeline: place and length in percent, shade 0 to 1, and what it says."""

    left: float
    width: float
    shade: float
    text: str


@dataclass(frozen=True)
class Timeline:
    """Query, truth, prediction and candidates of one pair in seconds.

    Args:
        case: the pair.
    """

    case: TimelineCase
    kind: ClassVar[str] = "timeline"

    @property
    def rows(self) -> Mapping[str, list[Bar]]:
        """Bars of every row, by its name."""
        case = self.case
        prediction = to_array(case.prediction, "prediction")[None]
        said = f"prediction, tIoU {case.overlap:.2f}, score {case.score:.3g}"
        rows = {
            "query": self._bars([[0.0, case.query_duration]], [f"query, {case.query_label}"]),
            "truth": self._bars(to_array(case.truth, "truth"), ["truth"] * len(case.truth)),
            "prediction": self._bars(prediction, [said]),
        }
        return rows

    @property
    def candidates(self) -> list[Bar]:
        """The best candidates, best first, darker for a higher score."""
        scores = to_array(self.case.proposal_scores, "proposal_scores")
        best = np.argsort(-scores, kind="stable")[:_MOST_CANDIDATES]
        moments = to_array(self.case.proposals, "proposals")
        low, high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 0.0)
        shades = [(scores[i] - low) / (high - low) if high > low else 1.0 for i in best]
        texts = [f"candidate {rank}, score {scores[i]:.3g}" for rank, i in enumerate(best, 1)]
        return self._bars(moments[best], texts, shades)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Place in percent and text of the times below."""
        step = next(
            unit * 10**power
            for power in range(-2, 9)
            for unit in _TICKS
            if self._length / (unit * 10**power) <= 6
        )
        number = int(self._length / step)
        return [(100 * i * step / self._length, f"{i * step:g}") for i in range(number + 1)]

    @property
    def _length(self) -> float:
        return max(self.case.duration, self.case.query_duration)

    def _bars(
        self, moments: Any, texts: Sequence[str], shades: Sequence[float] | None = None
    ) -> list[Bar]:
        bars, length = [], self._length
        for number, (start, end) in enumerate(np.asarray(moments, dtype=float).reshape(-1, 2)):
            left, right = (100 * min(max(at, 0.0), length) / length for at in (start, end))
            shade = 1.0 if shades is None else float(shades[number])
            text = f"{texts[number]}: {start:.2f} to {end:.2f} s"
            bars.append(Bar(left, right - left, shade, text))
        return bars
