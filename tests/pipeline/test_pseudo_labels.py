# SPDX-License-Identifier: Apache-2.0
"""Labels made of the frames themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.patches import Patch, PatchRef, read_patch, write_patches
from pipeline.pseudo_labels import colour_label, structure_label, with_structure

TIMES = (0.25, 1.0, 4.0)


@pytest.fixture
def patch():
    """A patch whose aligned frames show one radiance, 0..1, without any error."""
    light = np.random.default_rng(0).random((3, 16, 16)) ** 2
    aligned = np.stack([np.clip(light * t, 0, 1) ** (1 / 2.2) * 65535 for t in TIMES])
    frames = np.random.default_rng(1).integers(0, 65535, (3, 3, 16, 16), np.uint16)
    return Patch(
        bracket_id="0123456789abcdef",
        scene="s",
        index=0,
        top=0,
        left=0,
        frames=frames,
        times_s=TIMES,
        label=light.astype(np.float32),
        aligned=np.round(aligned).astype(np.uint16),
        mask=np.full((3, 16, 16), 255, np.uint8),
    )


def test_the_colour_label_is_the_blend_of_aligned_frames(patch):
    found = colour_label(patch)
    assert (found.shape, found.dtype) == ((3, 16, 16), np.float32)
    np.testing.assert_allclose(found, patch.label, atol=1e-3)


def test_the_structure_label_is_what_a_network_makes_of_aligned_frames(patch):
    asked = []

    def stage_one(frames, times_s):
        asked.append((frames, times_s))
        return frames[:, 1] - 0.1

    found = structure_label(patch, stage_one)
    ((frames, times_s),) = asked
    assert frames.shape == (1, 3, 3, 16, 16)
    np.testing.assert_allclose(frames[0], patch.aligned / 65535, atol=1e-6)
    assert times_s.tolist() == [list(TIMES)]
    np.testing.assert_allclose(found, np.maximum(patch.aligned[1] / 65535 - 0.1, 0), atol=1e-6)


def test_the_structure_label_is_kept_with_its_patch(patch, tmp_path):
    made = with_structure(patch, lambda frames, times_s: frames[:, 1])
    uri = str(tmp_path / "patches.parquet")
    write_patches([made], uri)
    found = read_patch(PatchRef(uri, 0, made.key, 3))
    for name in ("structure", "label", "aligned", "mask"):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))
    write_patches([patch], uri)
    assert read_patch(PatchRef(uri, 0, patch.key, 3)).structure is None


@pytest.mark.parametrize(("lacking", "said"), [("aligned", "aligned frames"), ("times_s", "times")])
def test_patches_that_were_not_followed_are_refused(patch, lacking, said):
    with pytest.raises(ValueError, match=f"{said}.*--aligned flow"):
        colour_label(replace(patch, **{lacking: None}))


@pytest.mark.parametrize("wrong", ["shape", "numbers"])
def test_a_network_that_makes_no_radiance_is_refused(patch, wrong):
    def stage_one(frames, times_s):
        return frames[0] if wrong == "shape" else torch.full_like(frames[:, 1], torch.nan)

    with pytest.raises(ValueError, match="first stage"):
        structure_label(patch, stage_one)
