# SPDX-License-Identifier: Apache-2.0
"""The README's pictures: the page of the demo archive, one bracket, and its weights.

``python -m tests.benchmarks.readme_pictures DEMO`` with a folder that ``bracketflow demo`` made;
needs Chromium and playwright as `make browser` does.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from pipeline.report.gathering import gather
from pipeline.report.page import write_page

PICTURES = Path(__file__).resolve().parents[2] / "pipeline" / "report" / "pictures"
MOST_BYTES = 300_000
_SCENE = "DSC01334"  # candles on a table: six frames, lights and shadows


def main() -> None:
    """Make the pictures anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="folder with archive/ and fused/")
    fused = parser.parse_args().demo / "fused"
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        # A name that tells no reader where it was made.
        index = write_page(gather(str(fused)), str(Path(folder) / "page"))
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1240, "height": 1660})
        page.goto(Path(index).as_uri())
        page.evaluate("document.querySelector('.where').textContent = '/photos/fused'")
        page.evaluate(
            "for (const row of document.querySelectorAll('table.plain tbody tr'))"
            " row.lastElementChild.textContent = '/photos/archive'"
        )
        page.wait_for_timeout(1000)
        page.screenshot(path=PICTURES / "page.jpg", type="jpeg", quality=85)
        page.get_by_label("Search").fill(_SCENE)
        page.wait_for_timeout(500)
        page.locator("#table a.name").first.click()
        panel = page.locator("dialog .viewer")
        panel.wait_for()
        slider = page.locator("dialog input[type=range]")
        slider.fill("42")
        page.wait_for_timeout(500)
        panel.screenshot(path=PICTURES / "bracket.jpg", type="jpeg", quality=85)
        page.get_by_role("button", name="Weights").click()
        page.wait_for_timeout(500)
        panel.screenshot(path=PICTURES / "weights.jpg", type="jpeg", quality=85)
        browser.close()
    for picture in PICTURES.iterdir():
        size = picture.stat().st_size
        if size > MOST_BYTES:
            raise SystemExit(f"{picture} has {size:,} bytes, more than {MOST_BYTES:,}")


if __name__ == "__main__":
    main()
