# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.metrics.strips import gray_rows, size_at, strips


@given(rows=st.integers(0, 3000), width=st.integers(1, 20_000))
def test_strips_cover_all_rows_once(rows: int, width: int) -> None:
    covered = [row for start, stop in strips(rows, width) for row in range(start, stop)]
    assert covered == list(range(rows))


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    scale=st.integers(0, 3),
    data=st.data(),
)
@settings(max_examples=50, deadline=None)
def test_rows_of_a_scale_do_not_depend_on_where_they_are_cut(
    height: int, width: int, scale: int, data: st.DataObject
) -> None:
    picture = np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)
    rows = size_at(height, scale)
    whole = gray_rows([picture], scale, 0, rows)
    assert whole.shape == (1, rows, size_at(width, scale))
    cut = data.draw(st.integers(0, rows - 1))
    assert torch.equal(gray_rows([picture], scale, cut, rows), whole[:, cut:])
