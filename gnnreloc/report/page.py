"""A page of sections as one HTML file that loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gnnreloc.atomic_write import atomic_write


class Part(Protocol):
    """What a section can hold; the macro named ``kind`` in ``page.html.jinja`` draws it."""

    @property
    def kind(self) -> str:
        """Name of the macro."""
        ...


@dataclass(frozen=True)
class TableRow:
    """A line of a table.

    Args:
        cells: the first is the heading of the line.
        ruled: a rule is drawn above it.
        bold: it is what the table is about.
    """

    cells: Sequence[str]
    ruled: bool = False
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table; on narrow screens it scrolls within the page, its first column stays.

    Args:
        header: headings of all columns.
        rows: lines with as many cells.
        notes: remarks below.

    Raises:
        ValueError: if a line has another number of cells.
    """

    header: Sequence[str]
    rows: Sequence[TableRow]
    notes: Sequence[str] = ()
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        """Check the lines."""
        for row in self.rows:
            if len(row.cells) != len(self.header):
                raise ValueError(
                    f"row {row.cells[:1]}: {len(row.cells)} cells, wanted {len(self.header)}"
                )


@dataclass(frozen=True)
class Note:
    """A paragraph.

    Args:
        text: what it says.
    """

    text: str
    kind: ClassVar[str] = "note"


@dataclass(frozen=True)
class Listing:
    """Text as it is, such as a configuration.

    Args:
        title: what it is.
        text: its lines.
        folded: whether it is hidden behind its title.
    """

    title: str
    text: str
    folded: bool = True
    kind: ClassVar[str] = "listing"


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading of its own.

    Args:
        title: the heading.
        parts: what is shown, in order.
        text: a paragraph under the heading; may be empty.
    """

    title: str
    parts: Sequence[Part]
    text: str = ""

    @property
    def name(self) -> str:
        """The anchor of the section."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


@dataclass(frozen=True)
class Page:
    """All that a page shows.

    Args:
        title: its name.
        lead: what it is about, in a sentence or two.
        sections: in order; those without parts are left out.
    """

    title: str
    lead: str = ""
    sections: Sequence[Section] = field(default_factory=tuple)

    def html(self) -> str:
        """The page, with its styles and scripts in it."""
        template = _environment().get_template("page.html.jinja")
        own = files(__package__)
        style, script = (
            Markup(own.joinpath(name).read_text(encoding="utf-8"))
            for name in ("page.css", "page.js")
        )
        shown = [section for section in self.sections if section.parts]
        return template.render(page=self, sections=shown, style=style, script=script)


def write_page(page: Page, path: str | Path) -> Path:
    """Write a page, whole or not at all.

    Args:
        page: the page.
        path: where to, ending in ``.html``; a missing folder is made.

    Returns:
        The path.
    """
    with atomic_write(path) as file:
        file.write(page.html().encode())
    return Path(path)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("gnnreloc.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
