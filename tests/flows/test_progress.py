# SPDX-License-Identifier: Apache-2.0
"""Progress where there is no terminal."""

from __future__ import annotations

from flows import progress


def test_without_a_terminal_a_line_is_logged_now_and_then(monkeypatch):
    monkeypatch.setattr(progress, "_LOG_EVERY_S", 0.0)
    lines: list[str] = []
    with progress.FuseProgress(3, log=lines.append) as bar:
        bar.advance(megapixels=2.0)
        bar.advance(failed=True)
    assert len(lines) == 2
    assert lines[-1].startswith("2 of 3 brackets")
    assert lines[-1].endswith("1 failed")
    monkeypatch.setattr(progress, "_LOG_EVERY_S", 3600.0)
    with progress.FuseProgress(3, log=lines.append) as bar:
        bar.advance()
    assert len(lines) == 2
