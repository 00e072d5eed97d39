# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.pyramids import expand, reduce, reduce_times, size_at, slice_at


@given(height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_steps_equal_opencv(height: int, width: int, seed: int) -> None:
    picture = np.random.default_rng(seed).random((3, height, width), np.float32)
    smaller = reduce(torch.from_numpy(picture))
    assert smaller.shape == (3, size_at(height, 1), size_at(width, 1))
    larger = expand(smaller, (height, width))
    for plane, down, up in zip(picture, smaller.numpy(), larger.numpy(), strict=True):
        assert down == pytest.approx(cv2.pyrDown(plane), abs=1e-6)
        assert up == pytest.approx(cv2.pyrUp(down, dstsize=(width, height)), abs=1e-6)


@given(size=st.integers(1, 10_000), level=st.integers(0, 12), start=st.integers(0, 5))
def test_sizes_follow_repeated_halving(size: int, level: int, start: int) -> None:
    halved = size
    for _ in range(level):
        halved = (halved + 1) // 2
    assert size_at(size, level) == halved
    first = start << level
    assert slice_at(slice(first, first + size), level) == slice(start, start + halved)


def test_constant_pictures_stay_constant() -> None:
    picture = torch.full((1, 13, 10), 0.7)
    assert torch.allclose(reduce_times(picture, 3), torch.tensor(0.7))
    assert torch.allclose(expand(reduce(picture), (13, 10)), picture)
