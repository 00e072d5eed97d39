# SPDX-License-Identifier: Apache-2.0
"""A real Chromium that is let near no network, and pages of made-up reports: `make browser`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pipeline.report.gathering import gather
from pipeline.report.page import write_page
from tests.pipeline.report.reports import HOSTILE, bracket_row, with_pictures, write_report

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser():
    """Chromium, headless."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="no playwright: pip install '.[browser]'"
    )
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium on the PATH; set CHROMIUM to its path")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield started
        started.close()


class Watched:
    """A tab that remembers what went wrong and what it asked for."""

    def __init__(self, browser, **context) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.troubles.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(message.text)

    def open(self, index: str):
        self.page.goto(Path(index).as_uri())
        self.page.wait_for_selector("#table .tabulator-row")
        return self.page


@pytest.fixture
def tab(browser):
    """A tab; whatever it complained about, and whatever it asked a network for, fails the test."""
    opened: list[Watched] = []

    def go(index: str | None = None, **context):
        watched = Watched(browser, **{"viewport": {"width": 1280, "height": 900}} | context)
        opened.append(watched)
        if index is not None:
            watched.open(index)
        return watched

    yield go
    for watched in opened:
        allowed = getattr(watched, "allowed", ())
        assert [t for t in watched.troubles if not any(a in t for a in allowed)] == []
        assert [url for url in watched.requests if not url.startswith(("file:", "data:"))] == []
        watched.context.close()


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """The page of sixty brackets with pictures, one of which has a hostile name."""
    folder = tmp_path_factory.mktemp("fused")
    rows = [with_pictures(folder, bracket_row(number)) for number in range(60)]
    rows[0] |= {
        "frame_paths": [f"zz/{k}{HOSTILE}" for k in range(3)],
        "camera": HOSTILE,
        "reason": HOSTILE,
        "notes": [HOSTILE],
        "result_path": f"results/zz/{HOSTILE}",
    }
    rows[10] |= {"error_message": HOSTILE}
    write_report(folder, rows)
    return write_page(gather(str(folder)))
