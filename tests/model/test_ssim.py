# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from model.ssim import ssim_terms


def pictures(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(shape))
    return torch.rand(shape, dtype=torch.float64, generator=generator)


def test_equal_pictures_are_alike() -> None:
    x = pictures(2, 13, 15)
    for term in ssim_terms(x, x, peak=1.0):
        assert term == pytest.approx(torch.ones(2, 3, 5, dtype=torch.float64))


def test_scale_and_offset_are_taken_into_account() -> None:
    x, y = pictures(2, 1, 14, 14)
    want = ssim_terms(x, y, peak=1.0)
    for got in (
        ssim_terms(x * 255, y * 255, peak=255.0),
        ssim_terms(x - 0.5, y - 0.5, peak=1.0, offset=0.5),
    ):
        assert got.luminance == pytest.approx(want.luminance)
        assert got.structure == pytest.approx(want.structure)


def test_leading_dimensions_broadcast() -> None:
    x, y = pictures(3, 1, 12, 12), pictures(3, 2, 12, 12)
    together = ssim_terms(x, y, peak=1.0).structure
    assert together.shape == (3, 2, 2, 2)
    assert torch.equal(together[1, 1], ssim_terms(x[1, 0], y[1, 1], peak=1.0).structure)
