# SPDX-License-Identifier: Apache-2.0
"""One visit to one bracket."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.metrics import mef_ssim
from pipeline import fusion_visit
from pipeline.bracket import Frame, Stack
from pipeline.errors import InfrastructureError, UsageError
from pipeline.fusion_visit import frames_for
from pipeline.images.reading import read_photo
from pipeline.images.writing import EXTENSIONS
from pipeline.ledger import Ledger
from pipeline.models import ChosenModel, find_model
from pipeline.naming import preview_paths
from pipeline.settings import FuseSettings
from pipeline.standing_reader import standing_results
from tests.pipeline.conftest import textured


def test_the_row_speaks_of_the_file_beside_it(make_bracket, fuse_one):
    frames = [textured(light) for light in (0.4, 1.0, 2.5)]
    row = fuse_one(make_bracket(*frames))
    assert row["status"] == "fused", row["error_message"]
    result = read_photo(row["result_uri"]).pixels
    assert (row["height"], row["width"]) == result.shape[:2]
    assert row["mef_ssim"] == pytest.approx(mef_ssim.score(frames, result).values["gray_ms3"])
    assert row["frame_count"] == 3
    assert row["source_bits"] == 8
    for step in ("read", "align", "fuse", "score", "write"):
        assert row[f"seconds_{step}"] >= 0


def test_16_bit_stays_16_bit(make_bracket, fuse_one):
    # Frames that differ by less than one 8-bit step: at 8 bits nothing of it would be left.
    base = np.full((64, 64, 3), 30_000, np.uint16)
    ramp = np.arange(64, dtype=np.uint16)[None, :, None]
    settings = FuseSettings(model="mertens", format="tiff", bits=16, align="off")
    row = fuse_one(make_bracket(base + ramp, base + 40 + ramp, suffix="tif"), settings)
    assert row["status"] == "fused", row["error_message"]
    result = read_photo(row["result_uri"]).pixels
    assert result.dtype == np.uint16
    assert row["source_bits"] == row["result_bits"]
    assert len(np.unique(result)) > 32
    assert np.all(np.diff(result[32, 8:-8, 0].astype(int)) >= 0)


def test_mixed_depths_keep_the_larger(make_bracket, fuse_one):
    row = fuse_one(make_bracket(textured(0.5), textured(2.0, bits=16)))
    assert (row["status"], row["source_bits"]) == ("fused", 16)


@pytest.mark.parametrize(
    ("output", "bits"), [("jpeg", 8), ("png", 16), ("tiff", 8), ("avif", 10), ("exr", 16)]
)
def test_every_format_is_written_and_decodes(make_bracket, fuse_one, output, bits):
    settings = FuseSettings(model="mertens", format=output, bits=bits)
    row = fuse_one(make_bracket(textured(0.5), textured(2.0)), settings)
    assert row["status"] == "fused", row["error_message"]
    assert Path(row["result_uri"]).stat().st_size == row["result_bytes"]
    assert row["result_uri"].endswith(EXTENSIONS[output])


def test_the_same_bracket_gives_the_same_bytes(make_bracket, fuse_one, tmp_path):
    bracket = make_bracket(textured(0.5), textured(2.0), suffix="jpg")
    settings = FuseSettings(model="mertens")
    one = fuse_one(bracket, settings, out=tmp_path / "one")
    two = fuse_one(bracket, settings, out=tmp_path / "two")
    assert one["result_sha256"] == two["result_sha256"]
    assert one["key"] == two["key"]


def test_a_label_is_compared_with(make_bracket, fuse_one, tmp_path):
    frames = [textured(light) for light in (0.4, 1.0, 2.5)]
    label = make_bracket(frames[1]).frames[0].uri
    kept = tmp_path / "label.png"
    Path(label).rename(kept)
    row = fuse_one(make_bracket(*frames, label_uri=str(kept), label_kind="display"))
    assert row["psnr_db"] > 10
    assert 0 < row["ssim"] < 1
    assert row["reference_kind"] == "display"


def test_a_bad_label_costs_a_note_and_not_the_bracket(make_bracket, fuse_one, tmp_path):
    bracket = make_bracket(
        textured(0.5), textured(2.0), label_uri=str(tmp_path / "no.png"), label_kind="display"
    )
    row = fuse_one(bracket)
    assert row["status"] == "fused"
    assert row["psnr_db"] is None
    assert "no reference scores" in row["score_note"]
    assert row["mef_ssim"] is not None


def test_exif_that_contradicts_the_pixels_is_said(make_bracket, fuse_one):
    bracket = make_bracket(textured(0.3), textured(1.0), textured(3.0))
    backwards = tuple(
        Frame(uri=frame.uri, path=frame.path, ev=ev, exposure_time_s=2.0**ev)
        for frame, ev in zip(bracket.frames, (2.0, 0.0, -2.0), strict=True)
    )
    row = fuse_one(type(bracket)(frames=backwards, source=bracket.source))
    assert row["status"] == "fused"
    assert row["confidence"] <= 0.5
    assert any("contradict" in note for note in row["notes"])


def test_a_foreign_file_is_left_alone(make_bracket, fuse_one, tmp_path):
    bracket = make_bracket(textured(0.5), textured(2.0))
    place = tmp_path / "out" / "results" / "scene" / "0_fused.png"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    row = fuse_one(bracket)
    assert (row["status"], row["error_code"]) == ("quarantined", "result-exists")
    assert row["error_stage"] == "write"
    assert place.read_bytes() == b"mine"


def test_a_result_of_ours_is_replaced_unless_somebody_changed_it(make_bracket, fuse_one, tmp_path):
    bracket = make_bracket(textured(0.5), textured(2.0))
    first = fuse_one(bracket)
    with Ledger(str(tmp_path / "out"), "r", "w") as ledger:
        ledger.append(first)
    written = standing_results(str(tmp_path / "out"))
    other = FuseSettings(model="mertens", format="png", bits=16)
    second = fuse_one(bracket, other, written)
    assert second["status"] == "fused"
    assert second["result_sha256"] != first["result_sha256"]
    Path(first["result_uri"]).write_bytes(b"retouched by hand")
    third = fuse_one(bracket, other, written)
    assert third["error_code"] == "result-exists"


def test_a_bug_costs_one_row_and_names_itself(make_bracket, fuse_one, monkeypatch):
    def broken(*arguments, **options):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(fusion_visit, "score_pixels", broken)
    row = fuse_one(make_bracket(textured(0.5), textured(2.0)))
    assert (row["error_code"], row["error_stage"]) == ("unexpected", "score")
    assert "ZeroDivisionError" in row["error_message"]


@pytest.mark.parametrize(
    ("raised", "code"),
    [(MemoryError(), "out-of-memory"), (UsageError("option-invalid", "x"), "option-invalid")],
)
def test_other_trouble_keeps_its_own_code(make_bracket, fuse_one, monkeypatch, raised, code):
    def failing(*arguments, **options):
        raise raised

    monkeypatch.setattr(fusion_visit, "fuse_stack", failing)
    row = fuse_one(make_bracket(textured(0.5), textured(2.0)))
    assert (row["status"], row["error_code"], row["error_stage"]) == ("quarantined", code, "fuse")


def test_a_full_disk_is_no_fault_of_the_photograph(make_bracket, fuse_one, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    bracket = make_bracket(textured(0.5), textured(2.0))
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InfrastructureError) as caught:
        fuse_one(bracket)
    assert caught.value.code == "disk-full"


class Average:
    """The mean of three to four frames, and what it was given."""

    name = "average"
    output = "fusion"
    halo_px = 0
    align_px = 1
    device = torch.device("cpu")

    def prepare(self, stack):
        self.count, self.times = stack.count, stack.exposure_times_s

    def fuse_tile(self, tile, context):
        return tile.pixels.mean(0)


@pytest.fixture
def fuse_with_average(fuse_one, monkeypatch):
    """Fuse one bracket with :class:`Average`; the row and the model."""
    model = Average()
    card = replace(find_model("mertens").card, name="average", min_frames=3, max_frames=4)
    monkeypatch.setattr(ChosenModel, "load", lambda chosen, device, effort: model)

    def fuse(bracket):
        return fuse_one(bracket, model=ChosenModel(source="mertens", card=card)), model

    return fuse


def timed(bracket):
    frames = tuple(
        replace(frame, exposure_time_s=2.0**index) for index, frame in enumerate(bracket.frames)
    )
    return replace(bracket, frames=frames)


def test_a_model_gets_as_many_frames_as_it_has_room_for(make_bracket, fuse_with_average):
    frames = [textured(light) for light in (0.2, 0.4, 0.7, 1.1, 1.6, 2.3, 3.0)]
    row, model = fuse_with_average(timed(make_bracket(*frames)))
    assert row["notes"] == ["average fuses 4 frames: used 1st, 3rd, 5th and 7th of 7"]
    assert (model.count, model.times) == (4, (1.0, 4.0, 16.0, 64.0))
    assert row["frame_count"] == len(row["align_transforms"]) == 7
    result = read_photo(row["result_uri"]).pixels
    # Scored against all, not only against those that were fused.
    assert row["mef_ssim"] == pytest.approx(mef_ssim.score(frames, result).values["gray_ms3"])


def test_a_bracket_that_fits_goes_dark_to_bright_whatever_its_order(
    make_bracket, fuse_with_average
):
    bracket = timed(make_bracket(*(textured(light) for light in (2.0, 0.5, 1.0))))
    row, model = fuse_with_average(bracket)
    assert (row["status"], model.count, model.times) == ("fused", 3, (2.0, 4.0, 1.0))
    assert not any("used" in note for note in row["notes"])


def test_a_bracket_too_short_for_the_model_is_told(make_bracket, fuse_with_average):
    row, _ = fuse_with_average(make_bracket(textured(0.5), textured(2.0)))
    assert (row["status"], row["error_code"]) == ("quarantined", "frames-too-few")
    assert "average needs at least 3" in row["error_message"]


@pytest.mark.parametrize("order", [(30, 200), (200, 30)])
def test_a_pair_is_dark_and_bright_for_a_pair_network(order):
    frames = tuple(np.full((8, 8, 3), level, np.uint8) for level in order)
    card = replace(find_model("mertens").card, max_frames=2)
    chosen, notes = frames_for(card, Stack(frames=frames))
    assert ([int(frames[k][0, 0, 0]) for k in chosen], notes) == ([30, 200], [])
    anyway, _ = frames_for(replace(card, max_frames=None), Stack(frames=frames))
    assert anyway is None


@pytest.mark.parametrize(
    ("count", "told"), [(3, "1st and 3rd of 3"), (4, "2nd and 3rd of 4"), (9, "2nd and 8th of 9")]
)
def test_pairs_are_named_by_their_place_in_the_bracket(count, told):
    card = replace(find_model("mertens").card, max_frames=2)
    frames = tuple(np.full((8, 8, 3), 20 * k, np.uint8) for k in range(count))
    _, (note,) = frames_for(card, Stack(frames=frames))
    assert note.endswith(told)


def test_the_visit_leaves_small_pictures_for_the_report(make_bracket, fuse_one, tmp_path):
    bracket = make_bracket(*(textured(light) for light in (0.2, 0.8, 2.5)))
    row = fuse_one(bracket)
    for name, size in (("strip", (288, 120)), ("weights", (288, 120)), ("preview", (96, 120))):
        uri = row[f"{name}_uri"]
        assert uri == str(tmp_path / "out" / getattr(preview_paths(bracket.id), name))
        assert read_photo(uri).pixels.shape[:2] == size
    bare = fuse_one(bracket, FuseSettings(model="mertens", previews=False), out=tmp_path / "bare")
    assert [bare[f"{name}_uri"] for name in ("strip", "weights", "preview", "map")] == [None] * 4
