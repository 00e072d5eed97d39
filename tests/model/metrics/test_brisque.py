# SPDX-License-Identifier: Apache-2.0
"""BRISQUE agrees with published software, and does not depend on how it is cut."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from model.metrics import brisque as module
from model.metrics.brisque import LEAST_PX, brisque, brisque_features
from tests.model.metrics.tones import picture

REFERENCE = Path("../shared/reference")


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference values are not here")
def test_values_are_those_of_another_program() -> None:
    from PIL import Image

    with (REFERENCE / "other_metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "brisque"]
    assert len(rows) == 2
    for row in rows:
        pixels = np.asarray(Image.open(REFERENCE / "images" / row["test"]).convert("RGB"))
        # Flat places of one of them have a sign there that is rounding.
        assert brisque(pixels) == pytest.approx(float(row["value"]), abs=0.05)


@pytest.mark.parametrize(("height", "width"), [(70, 90), (71, 90), (70, 91), (71, 91)])
def test_strips_do_not_matter(height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = brisque_features(picture(height, width))
    assert whole.shape == (36,)
    for rows in (8, 33):
        monkeypatch.setattr(module, "_STRIP", rows)
        np.testing.assert_allclose(brisque_features(picture(height, width)), whole, rtol=1e-9)


def test_white_noise_has_the_shape_of_a_gaussian() -> None:
    noise = np.random.default_rng(0).normal(128, 30, (300, 300, 1)).clip(0, 255)
    found = brisque_features(noise.astype(np.uint8).repeat(3, 2))
    assert found[0] > 2  # local deviations bound it further
    assert found[3] < 0  # a bright pixel lifts the mean that its neighbours are measured from


def test_noise_makes_it_worse() -> None:
    rng = np.random.default_rng(1)
    clean = picture(128, 128)
    noisy = np.clip(clean + rng.normal(0, 40, clean.shape), 0, 255).astype(np.uint8)
    assert brisque(noisy) > brisque(clean)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_what_shows_nothing_has_a_finite_value(value: int) -> None:
    assert np.isfinite(brisque(np.full((40, 40, 3), value, np.uint8)))


def test_a_picture_that_is_too_small_is_refused() -> None:
    assert np.isfinite(brisque(picture(LEAST_PX, LEAST_PX)))
    with pytest.raises(ValueError, match="16 px"):
        brisque(picture(LEAST_PX - 1, LEAST_PX))
