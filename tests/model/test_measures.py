# SPDX-License-Identifier: Apache-2.0
"""What studies judge networks by: the network's figures and its rivals', by column."""

from __future__ import annotations

import pytest
import torch

from model.hdr_network import HdrNetwork, brightest
from model.measures import FusionMeasures, HdrMeasures, fidelity, measures_of
from model.networks import build_network
from model.radiance import encode, linearise
from tests.model.tiny_hdr import ahdrnet, seeded, stacks


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """A scene that stands still, as exposures and as its light."""
    frames, times = stacks(2, 3, 24, 24)
    label = linearise(frames[:, 0]) * brightest(times, 1)
    return {"frames": frames, "times_s": times, "label": label}


def columns(measures: FusionMeasures | HdrMeasures) -> set[str]:
    own = {figure.name for figure in measures.figures}
    return own | {f"{name}_{rival.name}" for rival in measures.rivals for name in rival.figures}


def test_radiance_is_measured_against_the_truth_beside_both_merges(
    batch: dict[str, torch.Tensor],
) -> None:
    network = seeded(ahdrnet)
    measures = measures_of(network)
    assert measures.fields(network, aligned=True) == ("times_s", "label", "aligned")
    with torch.no_grad():
        full = batch | {"aligned": batch["frames"]}
        found = measures(network, full, full)["truth"]
        most = brightest(batch["times_s"], 1)
        wanted = fidelity(network(batch["frames"], batch["times_s"]) / most, batch["label"] / most)
    assert found.keys() == columns(HdrMeasures())
    assert torch.allclose(found["psnr_mu_db"], wanted["psnr_mu"])
    assert torch.allclose(found["ssim_l"], wanted["ssim_l"])
    # Nothing moves, so that following changes nothing.
    assert torch.equal(found["psnr_mu_db_merge"], found["psnr_mu_db_flow"])
    assert bool((found["psnr_mu_db_merge"] > found["psnr_mu_db"] + 3).all())  # it is not trained


def test_without_aligned_frames_one_rival_is_left_out(batch: dict[str, torch.Tensor]) -> None:
    network = seeded(ahdrnet)
    measures = measures_of(network)
    assert measures.fields(network, aligned=False) == ("times_s", "label")
    with torch.no_grad():
        found = measures(network, batch, batch)["truth"]
    assert {name for name in found if name.endswith("_flow")} == set()
    assert "ssim_mu_merge" in found


def test_a_network_that_follows_is_given_aligned_frames(batch: dict[str, torch.Tensor]) -> None:
    network: HdrNetwork = seeded(ahdrnet, start="followed")
    measures = measures_of(network)
    assert "aligned" in measures.fields(network, aligned=False)
    full = batch | {"aligned": batch["frames"]}
    with torch.no_grad():
        found = measures(network, full, full)["truth"]
    assert bool((found["psnr_mu_db"] > 100).all())  # it begins with what is right already
    with pytest.raises(ValueError, match="optical flow"), torch.no_grad():
        measures(network, batch, batch)


def test_fusion_is_measured_against_clean_frames_and_noisy_ones() -> None:
    torch.manual_seed(0)
    network = build_network("ufm", {"width": 0.05}).eval()
    measures = measures_of(network)
    assert measures.fields(network, aligned=True) == ()
    scene = torch.rand(1, 3, 12, 12).repeat_interleave(4, -1).repeat_interleave(4, -2)
    clean = {"frames": torch.stack([encode(scene * light) for light in (0.3, 1.0)], 1)}
    noisy = {"frames": (clean["frames"] + 0.05 * torch.randn(1, 2, 3, 48, 48)).clamp(0, 1)}
    with torch.no_grad():
        assert set(measures(network, clean, clean)) == {"clean"}
        found = measures(network, noisy, clean)
    assert set(found) == {"clean", "noisy"}
    for figures in found.values():
        assert figures.keys() == columns(FusionMeasures())
