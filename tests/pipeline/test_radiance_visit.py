# SPDX-License-Identifier: Apache-2.0
"""One visit to one bracket that becomes a radiance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import torch

from model.ahdrnet import AhdrNet
from model.weights_file import pack_weights
from pipeline.archive.find import find_brackets
from pipeline.archive.scan import ScanOptions
from pipeline.bracket import Stack
from pipeline.errors import UsageError
from pipeline.images.radiance import encode_exr
from pipeline.images.reading import read_photo, read_radiance
from pipeline.images.writing import write_photo
from pipeline.models import find_model
from pipeline.radiance_visit import fuse_radiance
from pipeline.settings import FuseSettings, KeyMaker

SIDE = 96
MERGE = FuseSettings(model="merge", align="off")


def scene(seed: int = 0) -> np.ndarray:
    """Linear light (H, W, 3), from 0.01 to 4."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 1, (1, 3, 7, 7)))
    smooth = torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic")
    return np.exp2(8 * smooth[0].clamp(0, 1).numpy() - 6).transpose(1, 2, 0)


def exposed(light: np.ndarray, gain: float, *, bits: int = 16) -> np.ndarray:
    peak = (1 << bits) - 1
    display = np.clip(light * gain, 0, 1) ** (1 / 2.2)
    return np.floor(display * peak + 0.5).astype(np.uint16 if bits == 16 else np.uint8)


@pytest.fixture
def timed(make_bracket):
    """A bracket of a static scene two stops apart, with exposures on record."""

    def make(evs=(-2.0, 0.0, 2.0), light=None, **facts):
        light = scene() if light is None else light
        bracket = make_bracket(*(exposed(light, 2.0**ev) for ev in evs), suffix="tif", **facts)
        frames = [
            replace(
                frame,
                ev=ev,
                exposure_time_s=0.01 * 2.0**ev,
                f_number=8.0,
                iso=200.0,
                captured_s=1.2e9,
            )
            for frame, ev in zip(bracket.frames, evs, strict=True)
        ]
        return replace(bracket, frames=tuple(frames))

    return make


def test_the_light_comes_back_and_a_picture_lies_beside_it(timed, fuse_one):
    row = fuse_one(timed(), MERGE)
    assert row["status"] == "fused", row["error_message"]
    light = read_radiance(row["result_uri"])
    seen = scene() < 3.9  # what saturates all frames nobody knows
    np.testing.assert_allclose(light[seen], scene()[seen], rtol=5e-3, atol=1e-3)
    assert (row["model"], row["result_format"], row["result_bits"]) == ("merge", "exr", 16)
    assert row["display_path"] == row["result_path"].removesuffix("exr") + "jpg"
    assert Path(row["display_uri"]).stat().st_size == row["display_bytes"]
    picture = read_photo(row["display_uri"])
    assert picture.sha256 == row["display_sha256"]
    assert picture.pixels.shape == light.shape
    assert (row["reference_frame"], row["light_ratios"]) == (2, [0.25, 1.0, 4.0])
    assert row["light_estimated"] is False
    assert row["mef_ssim"] is None
    assert 0 < row["mef_ssim_preview"] <= 1
    assert row["ghost_share"] < 0.01
    assert Path(row["preview_uri"]).exists()


def test_what_stands_still_is_not_followed(timed, fuse_one, tmp_path):
    still = fuse_one(timed(), replace(MERGE, align="auto"))
    assert still["followed_share"] is None
    assert any("nothing moved to speak of" in note for note in still["notes"])
    asked = fuse_one(timed(), replace(MERGE, align="flow"), out=tmp_path / "asked")
    assert asked["followed_share"] > 0.5


def test_a_network_that_follows_gets_what_it_needs(timed, fuse_one, tmp_path):
    torch.manual_seed(0)
    network = AhdrNet(width=2, growth=1, layers=1, start="followed")  # it corrects nothing yet
    facts = {"network": "ahdrnet", "options": json.dumps(network.options)}
    file = tmp_path / "follows.safetensors"
    file.write_bytes(pack_weights(network.state_dict(), facts))
    row = fuse_one(timed((-4.0, -2.0, 0.0, 2.0)), replace(MERGE, model=str(file)))
    assert row["status"] == "fused", row["error_message"]
    assert row["followed_share"] > 0.5
    assert any("used 1st, 2nd and 3rd of 4" in note for note in row["notes"])
    light = read_radiance(row["result_uri"])
    seen = (scene() < 3.9) & (scene() > 0.05)
    np.testing.assert_allclose(light[seen] * 4, scene()[seen], rtol=0.1)


def test_exr_alone_and_in_full_precision(timed, fuse_one):
    row = fuse_one(timed(), replace(MERGE, format="exr", bits=32))
    assert (row["status"], row["result_bits"], row["display_path"]) == ("fused", 32, None)
    with OpenEXR.File(row["result_uri"]) as file:
        assert file.channels()["RGB"].pixels.dtype == np.float32


def test_other_programs_learn_what_was_photographed(timed, fuse_one):
    row = fuse_one(timed(), replace(MERGE, reference=3))
    with OpenEXR.File(row["result_uri"]) as file:
        header = dict(file.header())
    assert header["expTime"] == pytest.approx(0.04)
    assert (header["aperture"], header["isoSpeed"]) == (8.0, 200.0)
    assert header["capDate"] == "2008:01:10 21:20:00"
    assert header["chromaticities"] == pytest.approx(
        (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
    )
    assert "whiteLuminance" not in header  # nobody measured it
    assert "scene/2.tif" in header["comments"]


def test_another_reference_has_another_scale_and_another_key(timed, fuse_one, tmp_path):
    bracket = timed()
    middle = fuse_one(bracket, MERGE, out=tmp_path / "middle")
    bright = fuse_one(bracket, replace(MERGE, reference=3), out=tmp_path / "bright")
    assert bright["reference_frame"] == 3
    one, other = (read_radiance(row["result_uri"]) for row in (middle, bright))
    seen = (scene() < 0.9) & (scene() > 0.02)
    assert np.median(other[seen] / one[seen]) == pytest.approx(4, rel=0.01)
    assert middle["key"] != bright["key"]


def test_the_order_of_a_list_does_not_matter(timed, fuse_one, tmp_path):
    bracket = timed()
    turned = replace(bracket, frames=bracket.frames[::-1])
    one = fuse_one(bracket, MERGE, out=tmp_path / "one")
    other = fuse_one(turned, MERGE, out=tmp_path / "other")
    assert one["display_sha256"] == other["display_sha256"]
    assert other["light_ratios"] == [4.0, 1.0, 0.25]


@pytest.mark.parametrize("recorded", ["none", "equal", "reversed"])
def test_exposures_that_cannot_be_true_are_told_from_the_pixels(timed, fuse_one, recorded):
    bracket = timed()
    evs = {"none": (None,) * 3, "equal": (1.0,) * 3, "reversed": (2.0, 0.0, -2.0)}[recorded]
    frames = [
        replace(frame, ev=ev, exposure_time_s=None if ev is None else 2.0**ev)
        for frame, ev in zip(bracket.frames, evs, strict=True)
    ]
    row = fuse_one(replace(bracket, frames=tuple(frames)), MERGE)
    assert row["status"] == "fused", row["error_message"]
    assert row["light_estimated"] is True
    assert any("estimated from the pixels" in note for note in row["notes"])
    np.testing.assert_allclose(row["light_ratios"], [0.25, 1, 4], rtol=0.1)


def test_what_no_radiance_can_be_made_of_has_a_code(make_bracket, timed, fuse_one):
    white = np.full((64, 64, 3), 255, np.uint8)
    black = np.zeros((64, 64, 3), np.uint8)
    row = fuse_one(make_bracket(black, white), MERGE)
    assert (row["status"], row["error_code"]) == ("quarantined", "frames-saturated")
    same = exposed(scene(), 0.5)
    row = fuse_one(make_bracket(same, np.roll(same, 1, 0), suffix="tif"), MERGE)
    assert row["error_code"] == "exposures-equal"
    row = fuse_one(timed(), replace(MERGE, reference=4))
    assert row["error_code"] == "frames-too-few"
    assert "--reference" in row["error_message"]


def test_ground_truth_is_measured_against_in_its_own_scale(timed, fuse_one, tmp_path):
    truth = np.minimum(scene(), 4).astype(np.float32)
    truth[0, 0] = np.nan  # a broken pixel costs no score
    (tmp_path / "truth.exr").write_bytes(encode_exr(truth * np.float32(37), 32))
    facts = {"label_uri": str(tmp_path / "truth.exr"), "label_kind": "radiance"}
    row = fuse_one(timed(**facts), MERGE)
    assert row["psnr_mu_db"] > 35
    assert row["psnr_l_db"] > 35
    assert row["ssim_mu"] > 0.99
    assert row["ssim_l"] > 0.99
    assert row["reference_kind"] == "radiance"
    other = fuse_one(timed(**facts), replace(MERGE, reference=1), out=tmp_path / "other")
    assert other["psnr_mu_db"] is None
    assert "moment of the middle frame" in other["score_note"]


@pytest.fixture
def three_frames(tmp_path):
    """Weights of a network for three frames."""
    torch.manual_seed(0)
    network = AhdrNet(width=6, growth=3, layers=2)
    options = {"network": "ahdrnet", "options": '{"width": 6, "growth": 3, "layers": 2}'}
    path = tmp_path / "three.safetensors"
    path.write_bytes(pack_weights(network.state_dict(), options))
    return find_model(str(path))


def test_a_network_for_three_frames_takes_those_about_the_reference(timed, fuse_one, three_frames):
    bracket = timed((-4.0, -2.0, -1.0, 0.0, 2.0))
    settings = FuseSettings(model=three_frames.source, align="off", reference=4)
    row = fuse_one(bracket, settings, model=three_frames)
    assert row["status"] == "fused", row["error_message"]
    assert row["model"] == "three"
    assert "three fuses 3 frames: used 2nd, 4th and 5th of 5" in row["notes"]
    row = fuse_one(timed((-1.0, 1.0)), replace(settings, reference=None), model=three_frames)
    assert row["error_code"] == "frames-too-few"


def test_a_networks_tiles_see_the_reference_asked_for(three_frames):
    frames = tuple(exposed(scene(), 2.0**ev) for ev in (-2, 0, 2))
    stack = Stack(frames=frames, exposure_times_s=(0.25, 1.0, 4.0))
    model = three_frames.load()
    first, last = (fuse_radiance(model, stack, k) for k in (0, 2))
    assert not np.array_equal(first, last)
    assert model.default_reference is None  # the worker's own model stays as it was


def test_a_reference_is_for_radiance_alone():
    card = find_model("ufm_k").card
    with pytest.raises(UsageError, match="--reference") as caught:
        FuseSettings(reference=2).output_of(card)
    assert caught.value.code == "option-invalid"
    with pytest.raises(UsageError, match="from 1"):
        FuseSettings(model="merge", reference=0)


def test_keys_of_fusions_are_what_they_were_before_there_was_radiance(timed):
    settings = FuseSettings(model="mertens")
    assert settings.sha256.startswith("512c40b52d1dcb04")
    assert FuseSettings(model="ufm_k", effort="full").sha256.startswith("797c31f0fb609905")
    bracket = timed()
    plain = KeyMaker(settings, None).key(bracket)
    assert plain == KeyMaker(settings, None, "fusion").key(bracket)
    assert plain != KeyMaker(settings, None, "radiance").key(bracket)


@pytest.mark.parametrize(
    ("exposures", "estimated"),
    [("-2\r\n0\r\n2\r\n", False), ("-2\n0\n", True), ("", True), ("-2\n0\n2\n4\n", True)],
)
def test_an_exposure_file_that_does_not_fit_is_made_up_for(
    fuse_one, tmp_path, exposures, estimated
):
    folder = tmp_path / "in" / "Training" / "001"
    for number, ev in enumerate((-2, 0, 2), start=1):
        write_photo(
            exposed(scene(), 2.0**ev), str(folder / f"input_{number}.tif"), format="tiff", bits=16
        )
    truth = np.minimum(scene(), 4).astype(np.float32)
    (folder / "HDRImg.exr").write_bytes(encode_exr(truth, 32))
    (folder / "exposure.txt").write_bytes(exposures.encode())
    (bracket,) = find_brackets(str(tmp_path / "in"), ScanOptions()).brackets
    row = fuse_one(bracket, MERGE)
    assert row["status"] == "fused", row["error_message"]
    assert row["light_estimated"] is estimated
    with OpenEXR.File(row["result_uri"]) as file:
        assert "expTime" not in file.header()  # stops tell no seconds
    np.testing.assert_allclose(row["light_ratios"], [0.25, 1, 4], rtol=0.1)
    assert row["psnr_mu_db"] > 30
