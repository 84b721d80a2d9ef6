"""A headless Chromium of the distribution's, for tests of pages; they are skipped where there is none."""

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        with playwright.chromium.launch(executable_path=CHROMIUM, args=arguments) as browser:
            yield browser


class Opened:
    """A page, what it complained of, and what it asked the network for."""

    def __init__(self, browser: Browser, url: str, width: int = 1280) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page: Page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(60_000)
        self.page.on("console", lambda message: self._heard(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def points(self, selector: str) -> list[int]:
        """How many points each trace has of every plot that `selector` names."""
        plots = self.each(selector, "(one.data ?? []).map((trace) => (trace.x ?? []).length)")
        return [points for traces in plots for points in traces]

    def each(self, selector: str, expression: str) -> list:
        """`expression`, in JavaScript, of every element `one` that `selector` names."""
        return self.page.eval_on_selector_all(selector, f"all => all.map((one) => {expression})")

    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    def screenshot(self, name: str) -> None:
        """Of what is in the window, into the folder that AVTD3_SCREENSHOTS names, where it names one."""
        folder = os.environ.get("AVTD3_SCREENSHOTS")
        if folder:
            picture = Image.open(io.BytesIO(self.page.screenshot()))
            picture.save(Path(folder) / name, quality=80, method=6)
