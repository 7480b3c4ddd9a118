"""The page: in a browser, all that a user does."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the extra 'demo' is not installed")

from gnnreloc.cli import main
from gnnreloc.demo import app

BROWSER = shutil.which("chromium")


def test_bad_options_are_told(capsys):
    for options, message in (
        (["--megabytes", "0"], "--megabytes must be above 0, got 0"),
        (["--seconds", "inf"], "--seconds must be above 0, got inf"),
        (["--index", "no/index"], "no/index"),
        (["--backbone", "c3d", "--option", "weights=no.pth"], "no.pth"),
        (["--decoder", "vhs"], "vhs"),
        (["--checkpoint", "no/run"], "no/run"),
    ):
        assert main(["demo", *options]) == 2
        assert message in capsys.readouterr().err


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(app.InputError, match="pip install 'gnnreloc"):
        app.import_gradio()


@contextmanager
def served(folder: Path, *options: str) -> Iterator[str]:
    """The page as the command serves it, until Ctrl-C; its address."""
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "gnnreloc", "demo", *options],
        env={**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert "http://127.0.0.1:" in said
            yield said.split()[2]
            assert [entry.name[:14] for entry in folder.iterdir()] == ["gnnreloc-demo-"]
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
            assert not any(folder.iterdir()), "what was uploaded is left"
        finally:
            process.kill()


@contextmanager
def open_page(address: str, **options: Any) -> Iterator[Any]:
    """The page in a browser, with all that it said on its console and asked of other hosts."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        view = browser.new_page(viewport={"width": 1300, "height": 1200}, **options)
        view.set_default_timeout(60_000)
        view.errors = []
        view.hosts = set()
        view.on("pageerror", lambda error: view.errors.append(str(error)))
        view.on("request", lambda request: view.hosts.add(re.sub(r"^blob:", "", request.url)))
        view.goto(address)
        yield view
        browser.close()


def choose(view: Any, place: str, path: Path) -> None:
    """Upload a file."""
    view.locator(f"#{place} input[type=file]").set_input_files(str(path))


def answer(view: Any) -> list[str]:
    """Ask, and read the moments."""
    view.click("#ask")
    view.wait_for_selector("#moments label")
    view.wait_for_selector("#edges img")
    return [label.inner_text() for label in view.query_selector_all("#moments label")]


def complains(view: Any, about: str) -> bool:
    """Waits for an error that says something, and puts all of them away."""
    view.wait_for_selector(f".toast-body:has-text('{about}')")
    while view.locator(".toast-close").count():
        view.locator(".toast-close").first.click(force=True)
        view.wait_for_timeout(400)
    return True


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs the browser chromium")
def test_in_a_browser(demo, tmp_path: Path):
    broken, large = tmp_path / "broken.mp4", tmp_path / "large.mp4"
    broken.write_text("this is no video")
    large.write_bytes(bytes(3_000_000))
    with served(tmp_path / "t", "--megabytes", "2", "--seconds", "60") as address:
        with open_page(address) as view:
            # Nothing chosen.
            view.click("#ask")
            assert complains(view, "no reference was chosen")
            assert not view.is_visible("#moments")
            # The built-in example: a ring grows from 15 to 22 s and from 50 to 56 s.
            view.click("#example")
            view.wait_for_function("document.querySelectorAll('video').length >= 2")
            view.wait_for_function("document.querySelector('#status').innerText.includes('10.0 s')")
            moments = answer(view)
            starts = sorted(float(re.split(r"[. ]+", text)[1]) for text in moments[:2])
            assert starts == pytest.approx([15.0, 50.0], abs=1.5)
            # Another moment is chosen: another clip is played.
            view.wait_for_selector("#player video")
            before = view.locator("#player video").get_attribute("src")
            view.locator("#moments label").nth(1).click()
            view.wait_for_function(
                "before => document.querySelector('#player video').src !== before", arg=before
            )
            # A cell is clicked: the frames that it joins.
            view.wait_for_timeout(1500)
            box = view.locator("#edges img").bounding_box()
            view.mouse.click(box["x"] + 3, box["y"] + 3)
            view.wait_for_selector("#first :text('query at 2.25 s')")
            # A broken and a too large file.
            view.locator("#reference button[aria-label='Clear']").click()
            choose(view, "reference", broken)
            view.wait_for_timeout(1500)
            view.click("#ask")
            assert complains(view, "broken.mp4")
            view.reload()
            choose(view, "reference", large)
            assert complains(view, "maximum allowed size")
            # An upload.
            choose(view, "query", demo.query)
            choose(view, "reference", demo.reference)
            view.wait_for_function("document.querySelector('#status').innerText.includes('4.0 s')")
            assert len(answer(view)) >= 2
            assert view.errors == []
            assert {url.split("/")[2] for url in view.hosts if url.startswith("http")} == {
                address.split("/")[2]
            }
            # Files outside of its folder are not given out.
            base = address.rstrip("/")
            for path in ("/etc/passwd", str(tmp_path / "broken.mp4"), "../../etc/passwd"):
                assert view.request.get(f"{base}/gradio_api/file={path}").status in (403, 404)
                # Nor are they taken for an upload.
                given = {"path": path, "meta": {"_type": "gradio.FileData"}}
                asked = {"data": [given, 0.0, 2.0, given, "the reference"]}
                call = f"{base}/gradio_api/call/answer"
                event = view.request.post(call, data=asked).json()["event_id"]
                assert "event: error" in view.request.get(f"{call}/{event}").text()
            assert not view.is_visible("button[aria-label^='Trim']")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs the browser chromium")
def test_two_users_at_once(demo, tmp_path: Path):
    with served(tmp_path / "t") as address, open_page(address) as one:
        other = one.context.browser.new_context().new_page()
        other.set_default_timeout(60_000)
        other.goto(address)
        one.click("#example")
        choose(other, "query", demo.query)
        choose(other, "reference", demo.reference)
        for view, length in ((one, "10.0 s"), (other, "4.0 s")):
            view.wait_for_function(
                "length => document.querySelector('#status').innerText.includes(length)", arg=length
            )
        one.click("#ask")
        other.click("#ask")
        told = []
        for view in (one, other):
            view.wait_for_selector("#moments label")
            view.wait_for_selector("#edges img")
            told.append([each.inner_text() for each in view.query_selector_all("#moments label")])
    ends = [[float(text.split(" to ")[1].split()[0]) for text in texts] for texts in told]
    # The example has 58 s, what the other one uploaded has 8.
    assert len(ends[0]) == 5 and max(ends[0]) > 8 >= max(ends[1])
