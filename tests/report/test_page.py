"""The page: self-contained, safe against what names hold, and right in a browser."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from gnnreloc.report import (
    LineChart,
    Listing,
    Matrices,
    Matrix,
    Note,
    Page,
    Section,
    Series,
    Table,
    TableRow,
    Timeline,
    write_page,
)

from .test_pictures import case

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"


def page(name: str = "a run") -> Page:
    rows = [TableRow(["chance", "0.1"]), TableRow([name, "0.8"], ruled=True, bold=True)]
    values = np.linspace(-1.0, 1.0, 36).reshape(6, 6)
    matrices = [Matrix("learned", values), Matrix("k=1", np.eye(6))]
    return Page(
        name,
        lead=name,
        sections=[
            Section("Result", [Table(["", "R@1"], rows, [name])], text=name),
            Section("Curves", [LineChart([Series(name, {0.5: 0.1, 0.7: 0.2})], name, name)]),
            Section("Empty", []),
            Section("Adjacency", [Matrices(name, matrices, [0.5, 1, 1.5], [7, 8, 9], text=name)]),
            Section("Cases", [Timeline(case(title=name, query_label=name)), Note(name)]),
            Section("Configuration", [Listing(name, name)]),
        ],
    )


class Reader(HTMLParser):
    """Tags, and all addresses that they name."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def test_the_page_holds_everything_and_loads_nothing():
    text = page().html()
    found = read(text)
    assert all(address.startswith(("#", "data:")) for address in found.addresses)
    assert "url(" not in text and "@import" not in text and "fetch(" not in text
    assert {"table", "svg", "canvas", "details"} <= {*found.tags}
    assert "Empty" not in text
    assert len(set(re.findall(r'id="([^"]*)"', text))) == 5


def test_names_cannot_leave_their_place():
    plain, hostile = read(page().html()), read(page(HOSTILE).html())
    assert hostile.tags == plain.tags
    assert "alert(1)</script>" not in page(HOSTILE).html()


def test_a_page_is_written_whole(tmp_path: Path):
    path = write_page(page(), tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == page().html()
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_a_row_of_another_length_is_told():
    with pytest.raises(ValueError, match=r"\['a'\]: 1 cells, wanted 2"):
        Table(["", "R@1"], [TableRow(["a"])])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser chromium")
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser(tmp_path: Path, width: int, scheme: str):
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = write_page(page(HOSTILE), tmp_path / "report.html")
    said: list[str] = []
    asked: list[str] = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        view = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        view.on("console", lambda message: said.append(message.text))
        view.on("pageerror", lambda error: said.append(str(error)))
        view.on("dialog", lambda dialog: (said.append("dialog"), dialog.dismiss()))
        view.on("request", lambda request: asked.append(request.url))
        view.goto(path.as_uri())
        assert view.evaluate("document.documentElement.scrollWidth") == width
        canvas = view.locator("canvas").first
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        # Row 1 (query, 1.00 s) and column 4 (proposal, 8.00 s) of 6.
        view.mouse.move(box["x"] + box["width"] * 4.5 / 6, box["y"] + box["height"] * 1.5 / 6)
        told = view.locator(".readout").first.inner_text()
        corner = "c => [...c.getContext('2d').getImageData(2, 2, 1, 1).data].slice(0, 3)"
        colour = canvas.evaluate(corner)
        ground = view.evaluate("getComputedStyle(document.body).backgroundColor")
        # On paper what is folded is there, and nothing is cut off.
        folded = "document.querySelectorAll('details:not([open])').length"
        assert view.evaluate(folded) > 0
        view.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert view.evaluate(folded) == 0
        view.evaluate("dispatchEvent(new Event('afterprint'))")
        assert view.evaluate(folded) > 0
        browser.close()
    weight = np.linspace(-1.0, 1.0, 36)[6 + 4]
    assert told == (
        f"learned: query at 1.00 s receives from proposal at 8.00 s: weight {weight:.3g}"
    )
    # The least weight is the darkest red, a light one on dark ground.
    assert colour == ([140, 29, 4] if scheme == "light" else [255, 157, 118])
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 26)")
    assert said == []
    assert asked == [path.as_uri()] or [url for url in asked if not url.startswith("data:")] == [
        path.as_uri()
    ]
