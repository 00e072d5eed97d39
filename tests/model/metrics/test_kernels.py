# SPDX-License-Identifier: Apache-2.0
"""The compiled loops against the float64 form, and against the functions they approximate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.metrics.fidelity import picture_fidelity
from model.metrics.kernels import compiling
from model.metrics.kernels.powers import LARGEST_TANGENT, exp2, log2, tangents
from model.metrics.mef_ssim import GRAY_VARIANTS, MefSsim, Variant, score_many

VARIANTS: tuple[Variant, ...] = (
    *GRAY_VARIANTS,
    "color_8x8_adaptive_lum",
    "color_8x8_patch_lum",
    "mefnet_y_lum",
    "mefnet_y_nolum",
    "mefnet_y_lum_meanproduct",
)


@pytest.fixture
def threads() -> Iterator[None]:
    kept = torch.get_num_threads()
    yield
    torch.set_num_threads(kept)


def scene(seed: int, height: int, width: int, count: int) -> list[np.ndarray]:
    """A bracket with fine texture, a gradient, a blown and a black corner."""
    rng = np.random.default_rng(seed)
    light = rng.gamma(2.0, 30.0, (height, width, 3)) + np.linspace(0, 150, width)[None, :, None]
    light[: height // 3, : width // 3] = 900
    light[height // 2 :, width // 2 :] = 1
    return [(light * gain).clip(0, 255).astype(np.uint8) for gain in np.geomspace(0.4, 2.5, count)]


def both(frames: list[np.ndarray], fused: list[np.ndarray]) -> list[tuple[MefSsim, MefSsim]]:
    forms = (
        score_many(frames, fused, VARIANTS, map_side_px=100, exact=exact) for exact in (False, True)
    )
    return list(zip(*forms, strict=True))


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(2, 5),
    height=st.integers(120, 210),
    width=st.integers(240, 300),
)
@settings(max_examples=6, deadline=None)
def test_compiled_loops_agree_with_the_float64_form(
    seed: int, count: int, height: int, width: int
) -> None:
    frames = scene(seed, height, width, count)
    mean = np.mean(frames, axis=0).astype(np.uint8)
    for fast, exact in both(frames, [mean, 255 - mean]):
        assert fast.notes == exact.notes
        for variant in VARIANTS:
            # Pictures this small have few windows for rounding to even out in.
            assert fast.values[variant] == pytest.approx(exact.values[variant], abs=1e-4), variant
        assert fast.values["gray_ms3"] == pytest.approx(exact.values["gray_ms3"], abs=1e-5)
        assert fast.quality_map is not None
        assert fast.quality_map == pytest.approx(exact.quality_map, abs=2e-3)


@pytest.mark.parametrize(("height", "width"), [(44, 44), (45, 266), (106, 47), (107, 523)])
def test_sizes_about_tiles_and_strips(height: int, width: int) -> None:
    frames = scene(3, height, width, 3)
    ((fast, exact),) = both(frames, [frames[1]])
    for variant in VARIANTS:
        assert fast.values[variant] == pytest.approx(exact.values[variant], abs=1e-4), variant


def test_flat_pictures_are_perfect() -> None:
    frames = [np.full((120, 130, 3), value, np.uint8) for value in (40, 255)]
    (found,) = score_many(frames, [np.full_like(frames[0], 120)], GRAY_VARIANTS, exact=False)
    assert list(found.values.values()) == [1.0] * 4


def test_results_do_not_depend_on_the_threads(threads: None) -> None:
    frames = scene(5, 300, 290, 3)
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(score_many(frames, frames[1:2], VARIANTS, exact=False)[0].values)
    assert found[0] == found[1] == found[2]


@given(seed=st.integers(0, 10_000), height=st.integers(11, 130), width=st.integers(11, 300))
@settings(max_examples=8, deadline=None)
def test_ssim_agrees_with_the_float64_form(seed: int, height: int, width: int) -> None:
    one, two = scene(seed, height, width, 2)
    fast, exact = (picture_fidelity(one, two, exact=exact) for exact in (False, True))
    assert fast.psnr == exact.psnr
    assert fast.ssim == pytest.approx(exact.ssim, abs=2e-5)
    assert picture_fidelity(one, one, exact=False).ssim == pytest.approx(1, abs=1e-5)


def test_powers_and_tangents_are_those_of_the_library() -> None:
    numbers = np.geomspace(9e-5, 130, 10_001).astype(np.float32)
    bits = np.empty(numbers.size, np.int32)
    logarithms = numbers.copy()
    log2(logarithms, numbers.size, bits)
    assert logarithms == pytest.approx(np.log2(numbers.astype(np.float64)), abs=1e-6)

    powers = np.linspace(-125, 125, 10_001).astype(np.float32)
    want = np.exp2(powers.astype(np.float64))
    exp2(powers, powers.size, bits)
    assert powers == pytest.approx(want, rel=3e-7)

    shares = np.linspace(0, 1, 10_001).astype(np.float32)
    want = np.minimum(np.tan(np.minimum(shares.astype(np.float64), 0.999) * math.pi / 2), 10)
    tangents(shares, shares.size)
    assert shares == pytest.approx(want, rel=3e-6, abs=1e-7)
    assert shares.max() <= LARGEST_TANGENT


def test_what_is_kept_on_disk_depends_on_every_source() -> None:
    """Numba itself asks only about the file of the function that it keeps."""
    folder = Path(compiling.__file__).parent
    revision = compiling.revision_of(sorted(folder.glob("*.py")))
    others = sorted(folder.glob("*.py"))[1:]
    assert revision != compiling.revision_of(others)
    from model.metrics.kernels.gray import gray_tiles

    assert [cell.cell_contents for cell in gray_tiles.py_func.__closure__] == [revision]
