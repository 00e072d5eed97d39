# SPDX-License-Identifier: Apache-2.0
"""A camera for the alignment tests: scenes with texture, seen from a hand that shakes."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.bracket import Pixels

Radiance = NDArray[np.float32]
Matrix = NDArray[np.float64]
PAD = 48


def _scene(seed: int, height: int = 300, width: int = 400) -> Radiance:
    """Log-normal radiance with detail at every size, larger than the frame by PAD all round."""
    rng = np.random.default_rng(seed)
    h, w = height + 2 * PAD, width + 2 * PAD
    grey = np.zeros((h, w, 1), np.float32)
    tint = np.zeros((h, w, 3), np.float32)
    for size in (2, 4, 8, 16, 32, 64):
        for target, share in ((grey, 1.0), (tint, 0.3)):
            noise = rng.normal(size=(h // size + 3, w // size + 3, target.shape[2]))
            grown = cv2.resize(noise.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
            target += grown.reshape(target.shape) * np.float32(share * size**0.8)
    total = grey + tint
    for _ in range(30):
        y, x = int(rng.integers(0, h)), int(rng.integers(0, w))
        total[y : y + 60, x : x + 80] += np.float32(rng.uniform(-8, 8))
    return np.exp(1.4 * (total - total.mean()) / total.std())


def _shoot(
    scene: Radiance,
    motion: Matrix,
    ev: float,
    *,
    seed: int = 0,
    bits: int = 8,
    noise: float = 0.004,
) -> Pixels:
    """A frame of a scene: ``motion`` takes reference pixels to this frame's pixels."""
    rng = np.random.default_rng(seed)
    height, width = scene.shape[0] - 2 * PAD, scene.shape[1] - 2 * PAD
    pad = np.array([[1.0, 0.0, PAD], [0.0, 1.0, PAD], [0.0, 0.0, 1.0]])
    light = cv2.warpPerspective(
        scene,
        pad @ np.linalg.inv(motion),
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    linear = np.maximum(light, 0.0) * 0.18 * 2.0**ev
    linear += rng.normal(size=linear.shape) * np.sqrt(noise**2 * linear + 1e-6)
    shown = np.clip(linear, 0.0, 1.0) ** (1 / 2.2)
    shown = 0.6 * shown + 0.4 * shown**2 * (3.0 - 2.0 * shown)  # a camera's S-shaped curve
    if bits == 16:
        return np.round(shown * 65535.0).astype(np.uint16)
    return np.round(shown * 255.0).astype(np.uint8)


def _shake(kind: str, seed: int, height: int = 300, width: int = 400) -> Matrix:
    """A random motion of a kind: up to 2.5 % of shift, 2 degrees, 1 % of stretch."""
    rng = np.random.default_rng(seed)
    half = max(height, width) / 2.0
    middle = np.array([[1.0, 0.0, width / 2.0], [0.0, 1.0, height / 2.0], [0.0, 0.0, 1.0]])
    inner = np.eye(3)
    if kind != "translation":
        angle = np.radians(rng.uniform(-2.0, 2.0))
        c, s = np.cos(angle), np.sin(angle)
        inner = inner @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    if kind in ("affine", "homography"):
        inner[:2, :2] += rng.uniform(-0.01, 0.01, (2, 2))
    if kind == "homography":
        inner[2, :2] = rng.uniform(-0.01, 0.01, 2) / half
    motion = middle @ inner @ np.linalg.inv(middle)
    motion[:2, 2] += rng.uniform(-0.05, 0.05, 2) * half
    return motion / motion[2, 2]


def _corner_error(found: Matrix, true: Matrix, height: int = 300, width: int = 400) -> float:
    """The largest distance between two motions in the corners and the centre, in pixels."""
    x, y = width - 1.0, height - 1.0
    points = np.array([[0, x, 0, x, x / 2], [0, 0, y, y, y / 2], [1, 1, 1, 1, 1]])
    a, b = found @ points, true @ points
    return float(np.hypot(*(a[:2] / a[2] - b[:2] / b[2])).max())


@pytest.fixture(scope="session")
def scene() -> Callable[..., Radiance]:
    return _scene


@pytest.fixture(scope="session")
def shoot() -> Callable[..., Pixels]:
    return _shoot


@pytest.fixture(scope="session")
def shake() -> Callable[..., Matrix]:
    return _shake


@pytest.fixture(scope="session")
def corner_error() -> Callable[..., float]:
    return _corner_error
