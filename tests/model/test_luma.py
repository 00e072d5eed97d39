# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from model.luma import luma


def test_grey_is_its_own_luma() -> None:
    gray = torch.rand(2, 3, 1, 4, 5)
    assert torch.allclose(luma(gray.expand(2, 3, 3, 4, 5)), gray)


def test_primaries() -> None:
    primaries = torch.eye(3).reshape(3, 3, 1, 1)
    assert luma(primaries).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])


@pytest.mark.parametrize("shape", [(4, 5), (2, 4, 5), (3, 1, 4, 5)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(\.\.\., 3, H, W\)"):
        luma(torch.zeros(shape))
