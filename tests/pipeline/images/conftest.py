# SPDX-License-Identifier: Apache-2.0
"""Pictures that the tests of the two doors share; all are made here."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 40, 56


def _scene() -> NDArray[np.uint16]:
    """A smooth, asymmetric picture with some texture, using all 16 bits."""
    rows, cols = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    planes = [
        0.5 + 0.4 * np.sin(cols / 9 + 0.3),
        0.5 + 0.4 * np.cos(rows / 7 + cols / 31),
        (rows + 2 * cols) / (HEIGHT + 2 * WIDTH),
    ]
    noise = np.random.default_rng(7).normal(0, 0.01, (HEIGHT, WIDTH, 3))
    image = np.clip(np.stack(planes, axis=-1) + noise, 0, 1)
    return (image * 65535).astype(np.uint16)


@pytest.fixture(scope="session")
def scene16() -> NDArray[np.uint16]:
    """(H, W, 3) uint16."""
    return _scene()


@pytest.fixture(scope="session")
def scene8(scene16: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8."""
    return (scene16 >> 8).astype(np.uint8)


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., str]:
    """Writes bytes to a file and returns its URI."""

    def write(data: bytes, name: str = "photo.img") -> str:
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    return write


@pytest.fixture(scope="session")
def pillow() -> Callable[..., bytes]:
    """Encodes a Pillow image or an array with Pillow, an encoder that is not under test."""

    def encode(image: Image.Image | NDArray[Any], container: str, **options: Any) -> bytes:
        picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
        buffer = io.BytesIO()
        picture.save(buffer, container, **options)
        return buffer.getvalue()

    return encode
