# SPDX-License-Identifier: Apache-2.0
"""What all networks that make radiance promise, whatever is in them."""

from __future__ import annotations

import pytest
import torch

from model.afunet import AfuNet
from model.ahdrnet import AhdrNet
from model.flexhdr import FlexHdr
from model.fusion_model import TensorStack
from model.hdr_network import HdrNetwork, brightest, middle, shown
from model.tiles import fuse
from model.usme import Usme, Usme3
from tests.model.tiny_hdr import BUILDS, Build, seeded, stacks

EACH = pytest.mark.parametrize("build", BUILDS)


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (FlexHdr, 2_124_167),
        (AfuNet, 1_161_987),
        (AhdrNet, 1_241_507),
        (Usme, 3_932_812),
        (Usme3, 3_928_009),
    ],
)
def test_full_width_has_the_known_number_of_parameters(
    network: type[HdrNetwork], count: int
) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in network().parameters()) == count  # type: ignore[call-arg]


@EACH
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 17), (16, 16), (21, 8), (33, 47)])
def test_any_size_gives_radiance_up_to_what_the_shortest_exposure_can_tell(
    build: Build, height: int, width: int
) -> None:
    frames, times = stacks(2, 3, height, width)
    with torch.no_grad():
        radiance = seeded(build)(frames, times)
    assert radiance.shape == (2, 3, height, width)
    assert radiance.dtype == torch.float32
    most = brightest(times, 1)
    assert most.flatten().tolist() == pytest.approx([4, 4])
    assert bool(((radiance >= 0) & (radiance <= most)).all())


@EACH
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_frames_give_finite_radiance_and_gradients(
    build: Build, value: float
) -> None:
    network = seeded(build).train()
    frames = torch.full((1, 3, 3, 16, 24), value, requires_grad=True)
    radiance = network(frames, torch.tensor([[0.01, 0.04, 0.16]]))
    assert bool(radiance.isfinite().all())
    radiance.mean().backward()
    for tensor in (frames, *network.parameters()):
        assert tensor.grad is not None
        assert bool(tensor.grad.isfinite().all())


@EACH
def test_equal_exposures_are_fused_like_any_others(build: Build) -> None:
    frames, _ = stacks(1, 3, 16, 16)
    frames = frames[:, 1:2].expand(-1, 3, -1, -1, -1)
    with torch.no_grad():
        radiance = seeded(build)(frames, torch.full((1, 3), 0.01))
    assert bool(((radiance >= 0) & (radiance <= 1)).all())


@EACH
def test_only_ratios_of_the_times_matter(build: Build) -> None:
    frames, times = stacks(1, 3, 16, 24)
    network = seeded(build)
    with torch.no_grad():
        assert torch.allclose(network(frames, times), network(frames, times * 4096), atol=1e-6)


@EACH
def test_another_reference_is_shown_in_its_own_scale(build: Build) -> None:
    frames, times = stacks(1, 3, 16, 24)
    network = seeded(build)
    with torch.no_grad():
        assert torch.equal(network(frames, times), network(frames, times, 1))
        for reference in range(3):
            radiance = network(frames, times, reference)
            found = network.reconstruct(frames, times, reference).radiance
            assert torch.allclose(radiance, found * brightest(times, reference))
            assert found.max() <= 1
    with pytest.raises(ValueError, match="no reference 3 among 3"):
        network(frames, times, 3)
    with pytest.raises(ValueError, match="no reference -1"):
        network(frames, times, -1)


@EACH
def test_float32_agrees_with_float64(build: Build) -> None:
    frames, times = stacks(1, 3, 24, 24)
    network = seeded(build)
    with torch.no_grad():
        single = network(frames, times)
        double = network.double()(frames.double(), times.double())
    assert double.dtype == torch.float64
    assert (single - double).abs().max() < 1e-4


@EACH
def test_stacks_of_a_batch_do_not_know_each_other(build: Build) -> None:
    frames, times = stacks(3, 3, 16, 19)
    times = times * torch.tensor([[1.0], [2.0], [3.0]])
    network = seeded(build)
    with torch.no_grad():
        together = network(frames, times)
        alone = [network(frames[b : b + 1], times[b : b + 1]) for b in range(3)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


@EACH
def test_every_parameter_receives_a_gradient(build: Build) -> None:
    network = seeded(build).train()
    frames, times = stacks(2, 3, 32, 32)
    network(frames, times).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert parameter.grad.abs().max() > 0, name


@EACH
def test_other_layouts_and_reduced_precision_give_the_same_picture(build: Build) -> None:
    frames, times = stacks(2, 3, 24, 32)
    network = seeded(build)
    with torch.no_grad():
        exact = network(frames, times)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        assert torch.allclose(network(frames, times), exact, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            reduced = network(frames, times)
    assert reduced.dtype == torch.float32
    assert (reduced - exact).abs().mean() < 0.02


@EACH
@pytest.mark.parametrize(("height", "width", "tile_px"), [(117, 150, 48), (131, 30, 40)])
def test_tiles_agree_with_the_whole_picture(
    build: Build, height: int, width: int, tile_px: int
) -> None:
    frames, times = stacks(1, 3, height, width)
    stack = TensorStack(frames[0], tuple(times[0].tolist()))
    network = seeded(build)
    with torch.no_grad():
        whole = network(frames, times)[0]
    assert whole.std() > 0.02
    assert (fuse(network, stack, tile_px) - whole).abs().max() < 1e-4


@EACH
def test_the_reference_of_photographs_can_be_chosen(build: Build) -> None:
    frames, times = stacks(1, 3, 20, 20)
    stack = TensorStack(frames[0], tuple(times[0].tolist()))
    network = seeded(build)
    network.default_reference = 2
    with torch.no_grad():
        assert torch.allclose(fuse(network, stack), network(frames, times, 2)[0], atol=1e-5)


@EACH
@pytest.mark.parametrize(
    ("times", "word"),
    [
        (None, "needs an exposure time for each of the 3 frames"),
        ((0.1, 0.2), "needs an exposure time for each"),
        ((0.1, 0.0, 0.2), "above 0"),
        ((0.1, float("nan"), 0.2), "above 0"),
        ((0.1, 0.2, float("inf")), "above 0"),
    ],
)
def test_photographs_without_usable_times_are_refused(
    build: Build, times: tuple[float, ...] | None, word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        fuse(seeded(build), TensorStack(torch.zeros(3, 3, 8, 8), times))


@EACH
def test_what_cannot_be_fused_is_refused(build: Build) -> None:
    network = seeded(build)
    with pytest.raises(ValueError, match=r"\(B, n, 3, H, W\)"):
        network(torch.zeros(3, 3, 8, 8), torch.ones(1, 3))
    with pytest.raises(ValueError, match="exposure times are"):
        network(torch.zeros(1, 3, 3, 8, 8), torch.ones(3))
    few = network.min_frames - 1
    with pytest.raises(ValueError, match=f"{network.name} fuses .* not {few}"):
        network(torch.zeros(1, few, 3, 8, 8), torch.ones(1, few))
    with pytest.raises(ValueError, match=r"call eval\(\)"):
        network.train().prepare(TensorStack(torch.zeros(3, 3, 8, 8), (1.0, 2.0, 4.0)))


def test_the_middle_frame_is_the_reference() -> None:
    assert [middle(count) for count in (2, 3, 4, 5, 7, 9)] == [0, 1, 1, 2, 3, 4]


def test_frames_show_radiance_in_the_scale_of_the_shortest() -> None:
    frames = torch.full((1, 3, 3, 1, 1), 1.0)
    seen = shown(frames, torch.tensor([[4.0, 1.0, 16.0]]), "gamma")
    assert seen[0, :, 0, 0, 0].tolist() == [0.25, 1.0, 0.0625]
