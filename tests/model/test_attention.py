# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch

from model import attention
from model.attention import ChannelCross, SwinBlock, WindowAttention, WindowCross

SIDE = 4


def literal_window_attention(
    module: WindowAttention, asking: torch.Tensor, answering: torch.Tensor, shift: int
) -> torch.Tensor:
    """Pixel by pixel: each looks at those of its window, windows start at ``shift - SIDE``."""
    height, width, channels = asking.shape
    heads = module.bias.shape[1]
    part = channels // heads
    queries = module.query(asking)
    keys, values = module.key_value(answering).chunk(2, -1)
    told = torch.zeros_like(asking)

    def window(place: int) -> int:
        return (place - shift) // SIDE

    for y in range(height):
        for x in range(width):
            seen = [
                (v, u)
                for v in range(height)
                for u in range(width)
                if window(v) == window(y) and window(u) == window(x)
            ]
            for head in range(heads):
                own = slice(head * part, (head + 1) * part)
                scores = torch.stack(
                    [
                        (queries[y, x, own] * keys[v, u, own]).sum() / math.sqrt(part)
                        + module.bias[(y - v + SIDE - 1) * (2 * SIDE - 1) + x - u + SIDE - 1, head]
                        for v, u in seen
                    ]
                ).softmax(0)
                shown = torch.stack([values[v, u, own] for v, u in seen])
                told[y, x, own] = (scores[:, None] * shown).sum(0)
    result: torch.Tensor = module.out(told)
    return result


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("chunk", [1, 1024])
def test_windows_are_those_of_a_slow_loop(
    shift: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "_CHUNK", chunk)
    torch.manual_seed(0)
    module = WindowAttention(4, 2, SIDE, shift=shift).double()
    torch.nn.init.normal_(module.bias)
    asking, answering = torch.rand(2, 2, 8, 12, 4, dtype=torch.float64)
    with torch.no_grad():
        found = module(asking, answering)
        for one in range(2):
            wanted = literal_window_attention(module, asking[one], answering[one], shift)
            assert torch.allclose(found[one], wanted, atol=1e-12)


def test_channels_attend_by_their_likeness_over_all_pixels() -> None:
    torch.manual_seed(0)
    module = ChannelCross(4, 2).double()
    torch.nn.init.uniform_(module.temperature, 1, 3)
    base, other = torch.rand(2, 2, 5, 6, 4, dtype=torch.float64)
    with torch.no_grad():
        _, found = module(base, other)
        queries, keys = module.query(other[1]), module.key(base[1] + other[1])
        for head in range(2):
            for c in range(2):
                one = queries[..., 2 * head + c]
                likeness = [
                    (one / one.norm() * (two / two.norm())).sum() * module.temperature[head]
                    for two in keys[..., 2 * head : 2 * head + 2].unbind(-1)
                ]
                wanted = torch.stack(likeness).flatten().softmax(0)
                assert torch.allclose(found[1, head, c], wanted, atol=1e-12)


def test_channel_attention_can_be_given() -> None:
    torch.manual_seed(0)
    module = ChannelCross(4, 2)
    base, other = torch.rand(2, 1, 5, 6, 4)
    with torch.no_grad():
        wanted, used = module(base, other)
        found, same = module(base, other, used)
        assert same is used
        assert torch.equal(found, wanted)
        assert not torch.allclose(module(base, other, used.flip(-1))[0], wanted)


def test_parts_of_one_picture_share_what_they_attend_to() -> None:
    torch.manual_seed(0)
    module = ChannelCross(4, 2)
    base, other = torch.rand(2, 1, 8, 6, 4)
    halves = [torch.cat(x.chunk(2, 1)) for x in (base, other)]
    with torch.no_grad():
        _, wanted = module(base, other)
        _, found = module(*halves, pooled=True)
    assert found == pytest.approx(wanted, abs=1e-6)


def test_training_leaves_parts_out_and_makes_up_for_it() -> None:
    torch.manual_seed(0)
    block = SwinBlock(4, 2, 4, shift=2, drop=0.5)
    x = torch.rand(1, 4, 4, 4).expand(400, -1, -1, -1)
    with torch.no_grad():
        noisy = block.train()(x)
        assert len({tuple(row) for row in noisy.flatten(1)[:, :3].tolist()}) == 4
        told = block.attention(block.before(x), block.before(x))
        kept = attention._dropped(told, 0.5, True)
        assert (kept.mean(0) - told[0]).abs().max() < 0.2 * told.abs().max()
        block.eval()
        assert torch.equal(block(x)[:1], block(x[:1]))


def test_alignment_keeps_size() -> None:
    cross = WindowCross(4, 2, 4, drop=0.0)
    assert cross(torch.rand(2, 8, 4, 4), torch.rand(2, 8, 4, 4)).shape == (2, 8, 4, 4)
