# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.metrics.mef_ssim import COLOR_VARIANTS, GRAY_VARIANTS, score, score_many, to_8bit
from model.metrics.mef_ssim_gray import combine_scales
from tests.model.metrics import literal_mef_ssim as literal

ALL = (*GRAY_VARIANTS, *COLOR_VARIANTS)


def picture(seed: int, height: int, width: int, *, smooth: bool = True) -> np.ndarray:
    """A picture with texture, a gradient and a flat corner."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (height, width, 3)).astype(np.float64)
    if smooth:
        values = 0.4 * values + np.linspace(0, 150, width)[None, :, None]
    values[: height // 3, : width // 3] = values[0, 0]
    return values.clip(0, 255).astype(np.uint8)


def stack(seed: int, count: int, height: int, width: int) -> list[np.ndarray]:
    scene = picture(seed, height, width).astype(np.float64)
    gains = np.linspace(0.4, 2.2, count)
    return [(scene * gain).clip(0, 255).astype(np.uint8) for gain in gains]


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(2, 4),
    height=st.integers(44, 51),
    width=st.integers(44, 51),
)
@settings(max_examples=5, deadline=None)
def test_gray_equals_the_window_by_window_form(
    seed: int, count: int, height: int, width: int
) -> None:
    frames = stack(seed, count, height, width)
    fused = picture(seed + 1, height, width)
    want = literal.gray_scales(frames, fused)
    got = score(frames, fused, GRAY_VARIANTS, map_side_px=100)
    assert [got.values[f"gray_scale{s}"] for s in (1, 2, 3)] == pytest.approx(want, abs=1e-10)
    assert got.values["gray_ms3"] == pytest.approx(combine_scales(want), abs=1e-10)
    quality = literal.gray_map([literal.gray(f) for f in frames], literal.gray(fused))
    assert got.quality_map == pytest.approx(quality.astype(np.float32), abs=1e-6)


@given(seed=st.integers(0, 10_000), height=st.integers(11, 20), width=st.integers(11, 20))
@settings(max_examples=5, deadline=None)
def test_color_and_mefnet_equal_the_window_by_window_form(
    seed: int, height: int, width: int
) -> None:
    frames = [picture(seed + k, height, width, smooth=False) for k in range(3)]
    fused = picture(seed + 9, height, width)
    got = score(frames, fused, COLOR_VARIANTS).values
    for variant, adaptive in (("color_8x8_adaptive_lum", True), ("color_8x8_patch_lum", False)):
        assert got[variant] == pytest.approx(
            literal.color_8x8(frames, fused, adaptive=adaptive), abs=1e-10
        )
    # The published window lacks 4e-8 of its mass, the literal one does not.
    product, luminance, structure = literal.mefnet(frames, fused, luma_only=True)
    assert got["mefnet_y_lum"] == pytest.approx(product, abs=2e-5)
    assert got["mefnet_y_nolum"] == pytest.approx(structure, abs=2e-5)
    assert got["mefnet_y_lum_meanproduct"] == pytest.approx(luminance * structure, abs=2e-5)
    product, luminance, structure = literal.mefnet(frames, fused, luma_only=False)
    assert got["mefnet_rgb_lum"] == pytest.approx(product, abs=2e-5)
    assert got["mefnet_rgb_lum_meanproduct"] == pytest.approx(luminance * structure, abs=2e-5)


def test_published_values_are_reproduced(shared: Path) -> None:
    want: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    with (shared / "reference" / "mefssim.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            want[row["inputs"]][row["fused"]][row["variant"]] = float(row["value"])

    def read(name: str) -> np.ndarray:
        with Image.open(shared / "reference" / "images" / name) as image:
            return np.array(image.convert("RGB"))

    compared = 0
    for inputs, rows in want.items():
        frames = [read(name) for name in inputs.split(";")]
        for name, got in zip(
            rows, score_many(frames, [read(name) for name in rows], ALL), strict=True
        ):
            for variant, value in rows[name].items():
                tolerance = 2e-9 if variant.startswith("mefnet") else 1e-10
                assert got.values[variant] == pytest.approx(value, abs=tolerance), (name, variant)
                compared += 1
    assert compared == 825


@given(seed=st.integers(0, 10_000), count=st.integers(2, 5), data=st.data())
@settings(max_examples=8, deadline=None)
def test_scores_are_bounded_and_do_not_depend_on_the_order_of_frames(
    seed: int, count: int, data: st.DataObject
) -> None:
    frames = [picture(seed + k, 47, 52, smooth=False) for k in range(count)]
    fused = picture(seed + 99, 47, 52)
    order = data.draw(st.permutations(range(count)))
    one = score(frames, fused, ALL).values
    two = score([frames[k] for k in order], fused, ALL).values
    for variant in ALL:
        assert -1 <= one[variant] <= 1
        assert one[variant] == pytest.approx(two[variant], abs=1e-12)


@given(offset=st.integers(-20, 20))
@settings(max_examples=5, deadline=None)
def test_headline_ignores_a_constant_offset(offset: int) -> None:
    frames = stack(1, 3, 60, 70)
    fused = (picture(2, 60, 70) // 2 + 40).astype(np.uint8)
    brighter = (fused.astype(int) + offset).astype(np.uint8)
    one, two = (score(frames, f, ("gray_ms3",)).values["gray_ms3"] for f in (fused, brighter))
    assert one == pytest.approx(two, abs=1e-12)


def test_flat_is_perfect() -> None:
    frames = [np.full((44, 50, 3), value, np.uint8) for value in (40, 200)]
    values = score(frames, np.full((44, 50, 3), 120, np.uint8)).values
    assert list(values.values()) == pytest.approx([1.0] * 4, abs=1e-12)


def test_upside_down_is_negative() -> None:
    frames = stack(3, 3, 64, 64)
    assert score(frames, 255 - frames[1]).values["gray_ms3"] < -0.3


@pytest.mark.parametrize(
    ("scales", "sign"), [((0.5, 0.6, 0.7), 1), ((-0.5, -0.6, -0.7), -1), ((0.5, -0.6, -0.7), -1)]
)
def test_a_negative_scale_makes_the_headline_negative(
    scales: tuple[float, float, float], sign: int
) -> None:
    whole = combine_scales([abs(q) for q in scales])
    assert combine_scales(scales) == sign * whole
    assert 0.5 < whole < 0.7


@pytest.mark.parametrize("shorter", [1, 7, 8, 10, 11, 20, 21, 40, 41, 43, 44])
def test_small_pictures_get_a_note_instead_of_a_score(shorter: int) -> None:
    frames = [picture(k, shorter, 60) for k in range(2)]
    result = score(frames, frames[0], ALL, map_side_px=64)
    least = {"gray_ms3": 44, "gray_scale1": 11, "gray_scale2": 21, "gray_scale3": 41}
    least |= {"color_8x8_adaptive_lum": 8, "color_8x8_patch_lum": 8}
    for variant in ALL:
        enough = shorter >= least.get(variant, 1)
        assert (result.values[variant] is not None) == enough
        assert (variant in result.notes) != enough
        if not enough:
            assert f"{least[variant]} px" in result.notes[variant]
    assert (result.quality_map is not None) == (shorter >= 11)


def test_reduced_map_keeps_the_mean() -> None:
    frames = stack(5, 3, 75, 130)
    fused = picture(6, 75, 130)
    full = score(frames, fused, map_side_px=1000)
    assert full.quality_map is not None
    assert full.quality_map.shape == (65, 120)
    assert full.quality_map.mean() == pytest.approx(full.values["gray_scale1"], abs=1e-6)
    small = score(frames, fused, ("gray_ms3",), map_side_px=24).quality_map
    assert small is not None
    assert small.shape == (13, 24)
    blocks = full.quality_map.reshape(13, 5, 24, 5).mean((1, 3))
    assert small == pytest.approx(blocks, abs=1e-6)
    uneven = score(frames, fused, (), map_side_px=50).quality_map
    assert uneven is not None
    assert uneven[-1, -1] == pytest.approx(full.quality_map[63:, 117:].mean(), abs=1e-6)


def test_many_equals_one_at_a_time() -> None:
    frames = stack(7, 3, 50, 48)
    fused = [picture(k, 50, 48) for k in range(3)]
    together = score_many(frames, fused, ALL)
    assert [result.values for result in together] == [score(frames, f, ALL).values for f in fused]


def test_wrong_input_is_refused() -> None:
    good = np.zeros((50, 50, 3), np.uint8)
    with pytest.raises(ValueError, match="at least two frames"):
        score([good], good)
    with pytest.raises(ValueError, match="differ in size"):
        score([good, good], np.zeros((50, 51, 3), np.uint8))
    with pytest.raises(ValueError, match="to_8bit"):
        score([good, good], np.zeros((50, 50, 3), np.uint16))
    with pytest.raises(ValueError, match="map_side_px"):
        score([good, good], good, map_side_px=0)


def test_sixteen_bits_are_rounded_to_the_nearest_eight() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(to_8bit(values), np.rint(values / 257).astype(np.uint8))
    eight = np.arange(256, dtype=np.uint8)
    assert to_8bit(eight) is eight
    with pytest.raises(ValueError, match="float32"):
        to_8bit(np.zeros(3, np.float32))  # type: ignore[arg-type]
