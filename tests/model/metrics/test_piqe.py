# SPDX-License-Identifier: Apache-2.0
"""PIQE agrees with published software, and does not depend on how it is cut."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from model.metrics import piqe as module
from model.metrics.piqe import LEAST_PX, piqe
from tests.model.metrics.tones import picture

REFERENCE = Path("../shared/reference")


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference values are not here")
def test_values_are_those_of_other_programs() -> None:
    from PIL import Image

    with (REFERENCE / "other_metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "piqe"]
    assert len(rows) == 3
    for row in rows:
        pixels = np.asarray(Image.open(REFERENCE / "images" / row["test"]).convert("RGB"))
        assert piqe(pixels) == pytest.approx(float(row["value"]), abs=1e-3)


@pytest.mark.parametrize("rows", [16, 32, 48])
def test_strips_do_not_matter(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = piqe(picture())
    monkeypatch.setattr(module, "_ROWS", rows)
    assert piqe(picture()) == pytest.approx(whole, abs=1e-9)


def test_noise_and_compression_make_it_worse() -> None:
    rng = np.random.default_rng(1)
    clean = picture(128, 128)
    noisy = np.clip(clean + rng.normal(0, 40, clean.shape), 0, 255).astype(np.uint8)
    blocks = clean[4::8, 4::8].repeat(8, 0).repeat(8, 1)
    assert piqe(noisy) > piqe(clean)
    assert piqe(blocks) > piqe(clean)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_what_shows_nothing_has_a_value(value: int) -> None:
    assert piqe(np.full((40, 40, 3), value, np.uint8)) == 100.0


def test_a_picture_smaller_than_a_block_is_refused() -> None:
    assert 0 <= piqe(picture(LEAST_PX, LEAST_PX)) <= 100
    with pytest.raises(ValueError, match="16 px"):
        piqe(picture(LEAST_PX, LEAST_PX - 1))
