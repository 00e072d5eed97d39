# SPDX-License-Identifier: Apache-2.0
"""MEF-SSIM as the papers tell it, window by window: slow and obvious, the oracle of the tests.

Every number is computed from the pixels of one window at a time (two-pass variances, explicit
patches); nothing is shared with the filter form that is tested.
"""

from __future__ import annotations

import math

import numpy as np

EPS = 2.0**-52


def gaussian_window(size: int, sigma: float) -> np.ndarray:
    axis = np.arange(size) - (size - 1) / 2
    window = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * sigma**2))
    return window / window.sum()


def gray(picture: np.ndarray) -> np.ndarray:
    red, green, blue = (picture[..., c].astype(np.float64) for c in range(3))
    return np.floor(0.298936 * red + 0.587043 * green + 0.114021 * blue + 0.5)


def halved(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape
    out = np.zeros((-(-height // 2), -(-width // 2)))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            rows = (2 * i, min(2 * i + 1, height - 1))
            cols = (2 * j, min(2 * j + 1, width - 1))
            out[i, j] = sum(picture[r, c] for r in rows for c in cols) / 4
    return out


def wanted_patch(patches: list[np.ndarray]) -> np.ndarray:
    """The structure that a fusion should have where the exposures look like ``patches``."""
    centred = [p - p.mean() for p in patches]
    norms = [math.sqrt((c**2).sum()) for c in centred]
    strengths = [n + 0.001 for n in norms]
    consistency = (math.sqrt((sum(centred) ** 2).sum()) + EPS) / (sum(norms) + EPS)
    if consistency > 1:
        consistency = 1 - EPS
    power = min(math.tan(math.pi * consistency / 2), 10)
    weights = [(d / 11) ** power + EPS for d in strengths]
    blend = sum(
        w / sum(weights) * c / d for w, c, d in zip(weights, centred, strengths, strict=True)
    )
    norm = math.sqrt((blend**2).sum())
    return blend * (max(strengths) / norm) if norm > 0 else blend


def gray_map(frames: list[np.ndarray], fused: np.ndarray) -> np.ndarray:
    """The quality map of grey pictures at one scale."""
    window = gaussian_window(11, 1.5)
    height, width = fused.shape
    quality = np.zeros((height - 10, width - 10))
    for i in range(height - 10):
        for j in range(width - 10):
            here = (slice(i, i + 11), slice(j, j + 11))
            wanted = wanted_patch([f[here] for f in frames])
            wanted = wanted - (window * wanted).sum()
            given = fused[here] - (window * fused[here]).sum()
            c = (0.03 * 255) ** 2
            above = 2 * (window * wanted * given).sum() + c
            quality[i, j] = above / ((window * (wanted**2 + given**2)).sum() + c)
    return quality


def gray_scales(frames: list[np.ndarray], fused: np.ndarray) -> list[float]:
    """gray_scale1, 2 and 3 of RGB pictures."""
    xs, y = [gray(f) for f in frames], gray(fused)
    scores = []
    for _ in range(3):
        scores.append(float(gray_map(xs, y).mean()))
        xs, y = [halved(x) for x in xs], halved(y)
    return scores


def color_8x8(frames: list[np.ndarray], fused: np.ndarray, *, adaptive: bool) -> float:
    """color_8x8_adaptive_lum, or color_8x8_patch_lum."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    xs, y = [f.astype(np.float64) for f in frames], fused.astype(np.float64)
    values = []
    for i in range(y.shape[0] - 7):
        for j in range(y.shape[1] - 7):
            here = (slice(i, i + 8), slice(j, j + 8))
            given = y[here]
            best = max((x[here] for x in xs), key=lambda patch: patch.var())
            mean = best.mean()
            if adaptive:
                weights = [
                    math.exp(
                        -((x[here].mean() / 255 - 0.5) ** 2 + (x.mean() / 255 - 0.5) ** 2) / 0.08
                    )
                    for x in xs
                ]
                means = [x[here].mean() for x in xs]
                mean = np.dot(weights, means) / sum(weights)
            covariance = ((best - best.mean()) * (given - given.mean())).mean()
            structure = (2 * covariance + c2) / (best.var() + given.var() + c2)
            luminance = (2 * mean * given.mean() + c1) / (mean**2 + given.mean() ** 2 + c1)
            values.append(luminance * structure)
    return float(np.mean(values))


def mefnet(
    frames: list[np.ndarray], fused: np.ndarray, *, luma_only: bool
) -> tuple[float, float, float]:
    """Means of luminance * structure, of luminance and of structure, MEFNet's form."""
    window = gaussian_window(11, 11 / 6)[..., None]

    def padded(picture: np.ndarray) -> np.ndarray:
        x = picture / 255
        x = x @ np.array([[0.299], [0.587], [0.114]]) if luma_only else x
        return np.pad(x, ((5, 5), (5, 5), (0, 0)))

    xs, y = [padded(f) for f in frames], padded(fused)
    window = window / y.shape[2]
    height, width = fused.shape[:2]
    places = [(slice(i, i + 11), slice(j, j + 11)) for i in range(height) for j in range(width)]
    means = np.array([[(window * x[p]).sum() for p in places] for x in xs])
    products, luminances, structures = [], [], []
    for index, place in enumerate(places):
        local = means[:, index]
        variances = [(window * x[place] ** 2).sum() - m**2 for x, m in zip(xs, local, strict=True)]
        k = int(np.argmax(variances))
        mean = (window * y[place]).sum()
        variance = (window * y[place] ** 2).sum() - mean**2
        covariance = (window * xs[k][place] * y[place]).sum() - local[k] * mean
        weights = np.exp(-((local - 0.5) ** 2) / 0.08 - (means.mean(1) - 0.5) ** 2 / 0.08)
        wanted = (weights * local).sum() / weights.sum()
        structures.append((2 * covariance + 9e-4) / (variances[k] + variance + 9e-4))
        luminances.append((2 * wanted * mean + 1e-4) / (wanted**2 + mean**2 + 1e-4))
        products.append(structures[-1] * luminances[-1])
    return float(np.mean(products)), float(np.mean(luminances)), float(np.mean(structures))
