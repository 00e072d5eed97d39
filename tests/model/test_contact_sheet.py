# SPDX-License-Identifier: Apache-2.0
"""Contact sheets keep every picture as it is."""

from __future__ import annotations

import pytest
import torch

from model.contact_sheet import contact_sheet, lightness


def test_every_picture_stands_in_its_place():
    pictures = [[torch.rand(3, 8, 10), torch.rand(1, 8, 10)], [torch.rand(3, 8, 10)]]
    sheet = contact_sheet(pictures)
    assert sheet.shape == (3, 2 * 14 + 6, 2 * 16 + 6)
    assert torch.equal(sheet[:, 6:14, 6:16], pictures[0][0])
    assert torch.equal(sheet[:, 6:14, 22:32], pictures[0][1].expand(3, 8, 10))
    assert torch.equal(sheet[:, 20:28, 6:16], pictures[1][0])
    assert sheet[:, 20:28, 22:32].unique().numel() == 1  # nothing there


@pytest.mark.parametrize("rows", [[], [[]], [[torch.zeros(3, 4, 4), torch.zeros(3, 4, 5)]]])
def test_pictures_must_share_a_size(rows):
    with pytest.raises(ValueError, match="one size"):
        contact_sheet(rows)


def test_lightness_runs_from_black_to_white_in_even_steps():
    shares = torch.linspace(0, 1, 101)
    greys = lightness(shares)
    assert greys[0] == pytest.approx(0, abs=1e-6)
    assert greys[-1] == pytest.approx(1, abs=1e-6)
    assert (greys.diff() > 0).all()
    # CIE L* of the grey is the share again.
    linear = torch.where(greys <= 0.04045, greys / 12.92, ((greys + 0.055) / 1.055) ** 2.4)
    cie = torch.where(linear > 216 / 24389, 116 * linear ** (1 / 3) - 16, 24389 / 27 * linear)
    torch.testing.assert_close(cie / 100, shares, atol=1e-4, rtol=0)
