"""Takes the pictures of the page in docs/images, of a model that `deberta serve` can load, by Playwright and Chromium.

`python tools/page_shots.py demo-output/torch "A headline to explain"`
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from deberta_dual import explain
from deberta_dual.explaining.page import page_of

IMAGES = Path(__file__).resolve().parents[1] / "docs/images"
# The picture: the colours, and what of the page is at its top.
PICTURES = {"light": "#answer-title", "dark": "#maps-title"}


def main() -> None:
    """Explains a text, and photographs the page that shows it."""
    model, text = sys.argv[1:]
    found = explain(model, text, framework="torch")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "why.html"
        file.write_text(page_of(found, text), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for scheme, top in PICTURES.items():
            page = browser.new_page(viewport={"width": 1000, "height": 760}, color_scheme=scheme)
            page.goto(file.as_uri())
            page.wait_for_selector("#result:visible", timeout=5000)  # else its script failed
            page.locator(top if scheme == "dark" else "h1").evaluate("one => one.scrollIntoView()")
            page.screenshot(path=IMAGES / f"page-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main()
