# SPDX-License-Identifier: Apache-2.0
"""Attention between and within feature maps: over the pixels of a window, over channels.

Maps are (B, H, W, C). Windows are those of Z. Liu et al. (Swin, ICCV 2021), channel attention is
that of S. W. Zamir et al. (Restormer, CVPR 2022); "cross" ones are asked by another map than the
one that answers.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["ChannelCross", "SwinBlock", "WindowAttention", "WindowCross", "mlp"]

_CHUNK = 1024  # windows worked on at a time: their attention maps are larger than they are


def mlp(entering: int, hidden: int, leaving: int) -> nn.Sequential:
    """Two layers on each pixel."""
    return nn.Sequential(nn.Linear(entering, hidden), nn.GELU(), nn.Linear(hidden, leaving))


class WindowAttention(nn.Module):
    """Attention within windows, with a learned bias for every offset of two pixels.

    Args:
        width: Channels, a multiple of ``heads``.
        heads: Into how many parts they are split.
        window: Side of a window in px; maps have sides that are multiples of it.
        shift: By how much the windows are moved; those at the border are cut in two there.
    """

    def __init__(self, width: int, heads: int, window: int, *, shift: int = 0) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.out = nn.Linear(width, width)
        self._heads = heads
        self._window = window
        self._shift = shift

    def forward(self, asking: torch.Tensor, answering: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C) and the same to the same."""
        shape = asking.shape
        queries = self._windows(self.query(asking))
        keys, values = (self._windows(x) for x in self.key_value(answering).chunk(2, -1))
        bias = self._offset_bias(queries.dtype)
        regions = self._regions(shape) if self._shift else None
        parts = []
        for start in range(0, len(queries), _CHUNK):
            part = slice(start, start + _CHUNK)
            mask = bias
            if regions is not None:
                inside = regions[part, :, None] == regions[part, None, :]
                mask = bias.masked_fill(~inside.unsqueeze(1), -torch.inf)
            parts.append(
                functional.scaled_dot_product_attention(
                    queries[part], keys[part], values[part], attn_mask=mask
                )
            )
        result: torch.Tensor = self.out(self._picture(torch.cat(parts), shape))
        return result

    def _windows(self, x: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C) to (windows, heads, pixels, C / heads)."""
        side = self._window
        if self._shift:
            x = x.roll((-self._shift, -self._shift), (1, 2))
        batch, height, width, channels = x.shape
        x = x.reshape(batch, height // side, side, width // side, side, self._heads, -1)
        x = x.permute(0, 1, 3, 5, 2, 4, 6)
        return x.reshape(-1, self._heads, side * side, channels // self._heads)

    def _picture(self, windows: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """Takes :meth:`_windows` back."""
        side = self._window
        batch, height, width, _ = shape
        x = windows.view(batch, height // side, width // side, self._heads, side, side, -1)
        x = x.permute(0, 1, 4, 2, 5, 3, 6).reshape(shape)
        return x.roll((self._shift, self._shift), (1, 2)) if self._shift else x

    def _offset_bias(self, dtype: torch.dtype) -> torch.Tensor:
        """(1, heads, pixels, pixels)."""
        side = self._window
        place = torch.arange(side, device=self.bias.device)
        offset = place[:, None] - place + side - 1
        index = offset[:, None, :, None] * (2 * side - 1) + offset[None, :, None, :]
        bias = self.bias[index.reshape(side**2, side**2)]
        return bias.movedim(-1, 0).unsqueeze(0).to(dtype)

    def _regions(self, shape: torch.Size) -> torch.Tensor:
        """(windows, pixels): which pixels of a window that was cut at the border lie together."""
        batch, height, width, _ = shape
        side, shift = self._window, self._shift
        rows, cols = (
            (torch.arange(size, device=self.bias.device) >= size - shift).int()
            for size in (height, width)
        )
        region = 2 * rows[:, None] + cols
        region = region.view(height // side, side, width // side, side).permute(0, 2, 1, 3)
        return region.reshape(-1, side**2).repeat(batch, 1)


class WindowCross(nn.Module):
    """A map looks at another within windows: aligns itself with it.

    Args:
        width: Channels.
        heads: Of the attention.
        window: Its side in px.
        drop: How often training leaves the attention out.
    """

    def __init__(self, width: int, heads: int, window: int, *, drop: float) -> None:
        super().__init__()
        self.attention = WindowAttention(width, heads, window)
        self.local = _depthwise(width)
        self._drop = drop

    def forward(self, base: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """``other`` aligned with ``base``."""
        told = self.attention(other, base + other)
        x = base + _dropped(told, self._drop, self.training)
        return _locally(self.local, x) + base


class SwinBlock(nn.Module):
    """Attention within windows and an MLP, each with a norm before it and a way around it.

    Args:
        width: Channels.
        heads: Of the attention.
        window: Its side in px.
        shift: See :class:`WindowAttention`.
        drop: How often training leaves each of the two out.
    """

    def __init__(self, width: int, heads: int, window: int, *, shift: int, drop: float) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.attention = WindowAttention(width, heads, window, shift=shift)
        self.between = nn.LayerNorm(width)
        self.mlp = mlp(width, 2 * width, width)
        self._drop = drop

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.before(x)
        x = x + _dropped(self.attention(normed, normed), self._drop, self.training)
        return x + _dropped(self.mlp(self.between(x)), self._drop, self.training)


class ChannelCross(nn.Module):
    """The channels of a map look at those of another, by how alike they are over all pixels.

    Args:
        width: Channels, a multiple of ``heads``.
        heads: Into how many parts they are split.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.local = _depthwise(width)
        self._heads = heads

    def forward(
        self,
        base: torch.Tensor,
        other: torch.Tensor,
        given: torch.Tensor | None = None,
        pooled: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The map, and the attention (B or 1, heads, c, c) that was used.

        Args:
            base: (B, H, W, C).
            other: The map that asks.
            given: Attention to be used.
            pooled: All of the batch are parts of one picture.
        """
        both = base + other
        attention = given
        if attention is None:
            queries, keys = self.query(other), self.key(both)
            # Sums over a whole picture do not survive reduced precision.
            with torch.autocast(base.device.type, enabled=False):
                attention = self._attention(queries, keys, pooled)
        values = self._split(self.value(both))
        each = attention.to(values.dtype).expand(len(base), -1, -1, -1)
        told = torch.einsum("bhcd,bphd->bphc", each, values).reshape(base.shape)
        return _locally(self.local, base + self.out(told)), attention

    def _attention(self, queries: torch.Tensor, keys: torch.Tensor, pooled: bool) -> torch.Tensor:
        exact = torch.promote_types(queries.dtype, torch.float32)
        queries, keys = (
            functional.normalize(x.flatten(0, 1).unsqueeze(0) if pooled else x, dim=1)
            for x in (self._split(queries).to(exact), self._split(keys).to(exact))
        )
        likeness = torch.einsum("bphc,bphd->bhcd", queries, keys)
        return (likeness * self.temperature).softmax(-1)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C) to (B, pixels, heads, c)."""
        return x.reshape(len(x), -1, self._heads, x.shape[-1] // self._heads)


def _depthwise(width: int) -> nn.Conv2d:
    return nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect", groups=width)


def _locally(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    # Contiguous: data-parallel wrappers want gradients laid out as the weights are.
    around: torch.Tensor = conv(x.movedim(-1, 1).contiguous()).movedim(1, -1)
    return x + around


def _dropped(x: torch.Tensor, share: float, training: bool) -> torch.Tensor:
    """Leave out a ``share`` of the batch, and make up for it (stochastic depth)."""
    if not training or not share:
        return x
    kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= share
    return x * kept / (1 - share)
