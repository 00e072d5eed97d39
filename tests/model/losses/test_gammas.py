# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.losses.gammas import GAMMAS, gamma, share

names = st.sampled_from(sorted(GAMMAS))


def frames(seed: int, batch: int, count: int, height: int, width: int) -> torch.Tensor:
    """Texture at several exposures, clipped at both ends, float64."""
    generator = torch.Generator().manual_seed(seed)
    scene = torch.rand(batch, 1, height, width, dtype=torch.float64, generator=generator)
    gains = torch.linspace(0.3, 2.5, count, dtype=torch.float64)
    return (scene * gains[:, None, None] - 0.1).clamp(0, 1)


def test_there_are_six() -> None:
    assert sorted(GAMMAS) == ["d", "de", "e", "v", "vd", "ve"]


@given(
    name=names,
    count=st.integers(2, 9),
    height=st.integers(11, 20),
    width=st.integers(11, 20),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from((torch.float32, torch.float64)),
)
@settings(max_examples=30, deadline=None)
def test_gamma_is_a_partition_of_one(
    name: str, count: int, height: int, width: int, seed: int, dtype: torch.dtype
) -> None:
    x = frames(seed, 2, count, height, width).to(dtype)
    result = gamma(x, name)
    assert result.shape == (2, count, height - 10, width - 10)
    assert result.dtype == dtype
    assert 0 < result.min() <= result.max() < 1
    assert result.sum(1) == pytest.approx(torch.ones_like(result[:, 0]), abs=1e-6)


@pytest.mark.parametrize("name", sorted(set(GAMMAS) - {"e"}))
@pytest.mark.parametrize("count", [2, 5])
def test_flat_regions_count_alike(name: str, count: int) -> None:
    x = frames(1, 1, count, 30, 40)
    flat = torch.linspace(0, 1, count, dtype=torch.float64)
    x[..., 14:] = flat[:, None, None]
    result = gamma(x, name)
    assert result[..., 15:] == pytest.approx(torch.full_like(result[..., 15:], 1 / count))
    assert (result[..., :4] - 1 / count).abs().max() > 0.05
    # Where all is flat as well, however the frames differ in brightness; and in float32, nearly.
    nowhere = gamma(x[..., 14:], name)
    assert nowhere == pytest.approx(torch.full_like(nowhere, 1 / count), abs=1e-3)
    coarse = gamma(x.float(), name)[..., 15:]
    assert coarse == pytest.approx(torch.full_like(coarse, 1 / count), abs=2e-3)


@pytest.mark.parametrize("name", GAMMAS)
def test_equal_frames_count_alike(name: str) -> None:
    result = gamma(frames(2, 1, 2, 16, 16)[:, :1].expand(1, 3, 16, 16), name)
    assert result == pytest.approx(torch.full_like(result, 1 / 3))


@given(name=st.sampled_from(("v", "d", "vd")), factor=st.floats(0.05, 1.0))
@settings(max_examples=15, deadline=None)
def test_a_factor_common_to_all_frames_changes_nothing(name: str, factor: float) -> None:
    x = frames(3, 2, 3, 18, 14)
    assert gamma(x * factor, name) == pytest.approx(gamma(x, name), abs=1e-9)


@given(name=names, data=st.data())
@settings(max_examples=15, deadline=None)
def test_frames_in_another_order_keep_their_gammas(name: str, data: st.DataObject) -> None:
    x = frames(4, 2, 4, 15, 13)
    order = list(data.draw(st.permutations(range(4))))
    assert gamma(x[:, order], name) == pytest.approx(gamma(x, name)[:, order])


@pytest.mark.parametrize("name", GAMMAS)
def test_pictures_of_a_batch_do_not_know_each_other(name: str) -> None:
    x = frames(5, 3, 2, 14, 14)
    alone = torch.cat([gamma(one, name) for one in x.split(1)])
    assert gamma(x, name) == pytest.approx(alone)


@pytest.mark.parametrize(("name", "part"), [("v", 4 / 5), ("d", 2 / 3), ("vd", 8 / 9)])
def test_twice_the_contrast_counts_as_much_more(name: str, part: float) -> None:
    x = frames(6, 1, 2, 20, 20)[:, :1] * 0.4 + 0.3
    result = gamma(torch.cat([x, 2 * x - 0.5], 1), name)
    assert result[:, 1] == pytest.approx(torch.full_like(result[:, 1], part), abs=2e-3)


def test_the_better_exposed_frame_counts_more() -> None:
    x = torch.tensor([0.5, 0.7, 1.0], dtype=torch.float64)[None, :, None, None].expand(1, 3, 12, 12)
    middle, brighter, white = gamma(x, "e")[0, :, 0, 0].tolist()
    assert middle > brighter > white
    assert brighter / middle == pytest.approx(torch.tensor(-0.5).exp().item(), abs=1e-2)


def test_pairs_are_products_normalised_afterwards() -> None:
    x = frames(7, 1, 2, 15, 15)
    for pair in ("vd", "ve", "de"):
        one, two = (GAMMAS[name](x) for name in pair)
        assert gamma(x, pair) == pytest.approx(share(one * two))


@pytest.mark.parametrize("name", GAMMAS)
def test_gradients_are_right(name: str) -> None:
    x = frames(8, 1, 2, 12, 12).mul(0.5).add(0.2).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: gamma(y, name), (x,))


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ValueError, match="no gamma 'vde'; choose one of: v, d, e"):
        gamma(torch.zeros(1, 2, 11, 11), "vde")
    with pytest.raises(ValueError, match="too few"):
        gamma(torch.zeros(1, 2, 10, 30), "v")
    for shape in ((2, 11, 11), (1, 1, 11, 11), (1, 2, 3, 11, 11)):
        with pytest.raises(ValueError, match="K >= 2"):
            gamma(torch.zeros(shape), "v")
