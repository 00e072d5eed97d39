# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.metrics.fidelity import picture_fidelity, radiance_fidelity


def noisy(seed: int, height: int = 40, width: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_published_values_are_reproduced(shared: Path) -> None:
    def linear(name: str) -> np.ndarray:
        with Image.open(shared / "reference" / "images" / name) as image:
            return (np.array(image.convert("RGB"), np.float32) / 255) ** np.float32(2.2)

    compared = 0
    with (shared / "reference" / "hdr_fullref.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            got = radiance_fidelity(linear(row["test"]), linear(row["reference"]))
            assert getattr(got, row["metric"]) == pytest.approx(float(row["value"]), abs=1e-6)
            compared += 1
    assert compared == 36


def test_equal_pictures_are_perfect() -> None:
    picture = noisy(1)
    assert picture_fidelity(picture, picture).psnr == math.inf
    assert picture_fidelity(picture, picture).ssim == pytest.approx(1, abs=1e-12)
    got = radiance_fidelity(picture / np.float32(255), picture / np.float32(255))
    assert got.psnr_l == got.psnr_mu == math.inf
    assert (got.ssim_l, got.ssim_mu) == pytest.approx((1, 1), abs=1e-12)


def test_psnr_of_a_known_difference() -> None:
    picture = np.full((300, 400, 3), 100, np.uint8)
    got = picture_fidelity(picture, picture + np.uint8(5))
    assert got.psnr == pytest.approx(20 * math.log10(255 / 5), abs=1e-12)
    linear = np.full((300, 400, 3), 1.5, np.float32)
    assert radiance_fidelity(linear, linear + 0.5).psnr_l == pytest.approx(20 * math.log10(2))


def test_display_and_linear_agree_where_they_say_the_same() -> None:
    picture, reference = noisy(2), noisy(3)
    one = picture_fidelity(picture, reference)
    two = radiance_fidelity(picture / np.float32(255), reference / np.float32(255))
    assert one.psnr == pytest.approx(two.psnr_l, abs=1e-5)
    assert one.ssim == pytest.approx(two.ssim_l, abs=1e-6)


def test_ssim_clips_radiance_and_psnr_does_not() -> None:
    reference = np.full((20, 20, 3), 1.0, np.float32)
    got = radiance_fidelity(reference * 3, reference)
    assert got.ssim_l == pytest.approx(1, abs=1e-12)
    assert got.psnr_l == pytest.approx(-20 * math.log10(2))


def test_ssim_needs_eleven_pixels() -> None:
    assert picture_fidelity(noisy(4, 10, 30), noisy(5, 10, 30)).ssim is None
    assert picture_fidelity(noisy(4, 11, 11), noisy(5, 11, 11)).ssim is not None


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        picture_fidelity(noisy(1), noisy(1, 41, 50))
    with pytest.raises(ValueError, match="alike"):
        radiance_fidelity(np.zeros((9, 9, 3), np.float32), np.zeros((9, 8, 3), np.float32))
