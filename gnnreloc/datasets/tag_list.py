"""The published lists of TAG proposals: one block of text a video."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gnnreloc.datasets.official_files import read_lines
from gnnreloc.errors import InputError


@dataclass(frozen=True, eq=False)
class TagEntry:
    """What a list holds about one video; times are shares of its duration, in [0, 1].

    Attributes:
        classes: class number of each true moment, from 1 on.
        moments: start and end of the true moments, float64 ``[g, 2]``; some of the published ones
            have length 0.
        proposals: start and end of the proposals in the order of the list, float64 ``[m, 2]``.
    """

    classes: tuple[int, ...]
    moments: Tensor
    proposals: Tensor


def read_tag_list(path: str | Path) -> dict[str, TagEntry]:
    r"""Read a normalised proposal list, as released with the structured segment networks.

    A block is::

        # 1                          number of the block, not used
        nEOpfvJ7g_g                  name of the video
        1                            length of the video; 1, because the times are shares
        1                            frames a second, likewise
        1                            number of true moments, then one line each:
        58 0.0000 0.9728             class, start, end
        15                           number of proposals, then one line each:
        58 0.9684 0.9996 0.0000 0.9414   class, best tIoU, best share inside, start, end

    The class and the overlaps of a proposal are measured with the truth, so they are not read: a
    system must not see them.

    Args:
        path: the file.

    Returns:
        Video to its entry, in the order of the list.

    Raises:
        InputError: if the file cannot be read or does not follow the layout; names the line.

    Source: Zhao et al., "Temporal Action Detection with Structured Segment Networks", 2017.
    """
    lines = _Lines(Path(path))
    entries: dict[str, TagEntry] = {}
    while lines.more():
        start = lines.next("a block that starts with '#'")
        if not start.startswith("#"):
            raise lines.error("a block that starts with '#'", start)
        video = lines.next("the name of a video").strip()
        if not video or video in entries:
            raise lines.error("the name of a video that is not in the list yet", video)
        for what in ("the length 1 (times are shares)", "the frame rate 1 (times are shares)"):
            if lines.numbers(1, what)[0] != 1:
                raise lines.error(what, lines.current)
        moments = lines.rows(3, "'class start end'", empty=True)
        proposals = lines.rows(5, "'class tIoU overlap start end'", empty=False)
        entries[video] = TagEntry(
            tuple(int(row[0]) for row in moments), _times(moments), _times(proposals)
        )
    if not entries:
        raise InputError(f"{path}: found no block of proposals")
    return entries


def _times(rows: list[list[float]]) -> Tensor:
    """The last two columns."""
    return torch.tensor([row[-2:] for row in rows], dtype=torch.float64).reshape(-1, 2)


class _Lines:
    """The lines of a file, one after the other, with errors that name the current one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = read_lines(path)
        while self.lines and not self.lines[-1].strip():
            self.lines.pop()
        self.number = 0

    @property
    def current(self) -> str:
        return self.lines[self.number - 1]

    def more(self) -> bool:
        return self.number < len(self.lines)

    def error(self, wanted: str, found: str) -> InputError:
        return InputError(f"{self.path}: line {self.number}: wanted {wanted}, found {found!r}")

    def next(self, wanted: str) -> str:
        self.number += 1
        if self.number > len(self.lines):
            raise self.error(wanted, "the end of the file")
        return self.lines[self.number - 1]

    def numbers(self, count: int, wanted: str) -> list[float]:
        line = self.next(wanted)
        try:
            values = [float(field) for field in line.split()]
        except ValueError:
            values = []
        if len(values) != count or not all(map(math.isfinite, values)):
            raise self.error(wanted, line)
        return values

    def rows(self, fields: int, layout: str, *, empty: bool) -> list[list[float]]:
        """A count, and so many rows that end with a start and an end in [0, 1]."""
        order = "0 <= start <= end <= 1" if empty else "0 <= start < end <= 1"
        what = f"the number of lines {layout}"
        count = self.numbers(1, what)[0]
        if count < 0 or count != int(count):
            raise self.error(what, self.current)
        rows: list[list[float]] = []
        for _ in range(int(count)):
            row = self.numbers(fields, layout)
            start, end = row[-2:]
            if not 0.0 <= start <= end <= 1.0 or (start == end and not empty):
                raise self.error(order, self.current)
            rows.append(row)
        return rows
