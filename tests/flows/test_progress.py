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


def test_training_says_how_far_it_is_and_how_good(monkeypatch):
    monkeypatch.setattr(progress, "_LOG_EVERY_S", 0.0)
    lines: list[str] = []
    with progress.TrainProgress(100, headline="gray_ms3", log=lines.append) as bar:
        bar.step(40, loss=0.25, lr=1e-4)
        bar.step(41, loss=0.24, lr=1e-4)
        bar.validated(41, {"gray_ms3": 0.95, "gray_ms3_mertens": 0.97})
    assert lines[0] == "step 40 of 100: loss 0.2500 lr 1.0e-04"  # no rate yet, also resumed
    assert lines[1].split(",")[0].endswith("/s")
    assert "min left" in lines[1]
    assert lines[2] == "step 41 of 100: validation gray_ms3 0.9500 (Mertens 0.9700)"
