"""Takes the picture of the page of ``gnnreloc demo`` with its example: ``docs/images/demo.png``.

python docs/images/demo.py [FILE]

Needs the extras video and demo, playwright, and the browser chromium.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from gnnreloc.demo.app import running_page
from gnnreloc.search import load


def take(target: Path) -> None:
    """Ask the example and photograph the answer."""
    with running_page(load()) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        view = browser.new_page(viewport={"width": 1000, "height": 900})
        view.goto(address)
        view.click("#example")
        view.wait_for_function("document.querySelector('#status').innerText.includes('10.0 s')")
        view.click("#ask")
        for part in ("#edges img", "#first img", "#second img", "#player video"):
            view.wait_for_selector(part, timeout=120_000)
        view.wait_for_timeout(3000)
        view.screenshot(path=target, full_page=True)
        browser.close()


if __name__ == "__main__":
    own = Path(__file__).with_suffix(".png")
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else own)
