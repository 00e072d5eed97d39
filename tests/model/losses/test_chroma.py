# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from model.losses.chroma import chroma_loss, colour_differences


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape)))


def test_the_frames_own_colour_costs_nothing() -> None:
    frame = pictures(2, 3, 8, 9)
    assert float(chroma_loss(frame, torch.stack([frame, frame], 1))) == pytest.approx(0, abs=1e-7)


def test_brightness_does_not_matter() -> None:
    frames = pictures(2, 3, 3, 8, 9) * 0.5
    fused = pictures(2, 3, 8, 9) * 0.5
    assert torch.allclose(chroma_loss(fused + 0.3, frames), chroma_loss(fused, frames), atol=1e-6)


def test_a_burnt_frame_has_no_say() -> None:
    colour = pictures(1, 3, 8, 9)
    white = torch.ones_like(colour)
    assert float(chroma_loss(colour, torch.stack([colour, white], 1))) < 2e-3
    grey = colour.mean(1, keepdim=True).expand_as(colour)
    assert float(chroma_loss(grey, torch.stack([colour, white], 1))) > 0.05


def test_order_of_frames_does_not_matter() -> None:
    frames, fused = pictures(2, 4, 3, 8, 9), pictures(2, 3, 8, 9)
    assert torch.allclose(chroma_loss(fused, frames), chroma_loss(fused, frames.flip(1)), atol=1e-6)


def test_gradient_leads_towards_the_colours() -> None:
    colour = pictures(1, 3, 8, 9)
    fused = colour.mean(1, keepdim=True).repeat(1, 3, 1, 1).requires_grad_()
    loss = chroma_loss(fused, torch.stack([colour, colour], 1))
    loss.backward()
    assert fused.grad is not None
    assert chroma_loss((fused - 2 * fused.grad).detach(), torch.stack([colour, colour], 1)) < loss


def test_colour_differences_are_those_of_bt601() -> None:
    primaries = torch.eye(3)[..., None, None]
    blue_red = colour_differences(primaries)[..., 0, 0]
    expected = torch.tensor([[-0.168736, 0.5], [-0.331264, -0.418688], [0.5, -0.081312]])
    assert blue_red == pytest.approx(expected, abs=1e-5)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="a fusion is"):
        chroma_loss(pictures(2, 3, 8, 9), pictures(2, 3, 3, 8, 8))
