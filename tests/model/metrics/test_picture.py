# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from model.metrics.picture import picture_facts


def test_clipping_counts_black_pixels_and_full_channels() -> None:
    picture = np.full((10, 10, 3), 100, np.uint8)
    picture[0, :3] = 0  # black
    picture[1, :5, 0] = 0  # a saturated colour is no loss
    picture[2, :2, 1] = 255  # one channel at the ceiling is
    picture[3, 0] = 255
    facts = picture_facts(picture)
    assert facts.clipped_low == pytest.approx(0.03)
    assert facts.clipped_high == pytest.approx(0.03)


def test_entropy_is_that_of_the_grey_histogram() -> None:
    flat = np.full((30, 20, 3), 77, np.uint8)
    assert picture_facts(flat).entropy_bits == 0
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)
    assert picture_facts(ramp).entropy_bits == pytest.approx(8)
    half = flat.copy()
    half[:15] = 200
    assert picture_facts(half).entropy_bits == pytest.approx(1)


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        picture_facts(np.zeros((4, 4, 3), np.float32))  # type: ignore[arg-type]
