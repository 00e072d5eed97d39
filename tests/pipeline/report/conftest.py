# SPDX-License-Identifier: Apache-2.0
"""Pages without the second that drawing takes."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.report import page
from pipeline.report.plots import Plot


@pytest.fixture
def fake_plots(monkeypatch):
    """One plot that is not drawn, where there is something to draw."""
    plot = Plot(name="seconds", title="Seconds", text="words", light=b"<svg/>", dark=b"<svg />")
    monkeypatch.setattr(
        page, "plots_of", lambda figures: [plot] if np.isfinite(figures.seconds).any() else []
    )
