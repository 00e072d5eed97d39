# SPDX-License-Identifier: Apache-2.0
"""Radiance out of one frame: of singles, and of brackets whose middle frame alone is looked at."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import torch
from PIL import Image

from model.usme import Usme
from model.weights_file import pack_weights
from pipeline import storage
from pipeline.archive.catalog import write_catalog
from pipeline.bracket import Bracket, Frame
from pipeline.bulk_planning import decisions
from pipeline.errors import UsageError
from pipeline.fuse_run import FuseRun, planner_of
from pipeline.images.reading import read_photo, read_radiance
from pipeline.ledger import Ledger
from pipeline.models import find_model, sees_one_frame
from pipeline.planning import FuseJob, Settled, base_row
from pipeline.settings import FuseSettings
from pipeline.standing_reader import standing_results
from pipeline.work_options import WorkOptions
from tests.pipeline.conftest import textured


@pytest.fixture(scope="module")
def usme(tmp_path_factory) -> str:
    """Weights of a small network that sees one frame, as if it were trained."""
    torch.manual_seed(0)
    network = Usme(width=4, light_width=4, hidden=6, from_gain=True)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    facts = {"network": "usme", "options": json.dumps(network.options)}
    path = tmp_path_factory.mktemp("weights") / "alone.safetensors"
    path.write_bytes(pack_weights(network.state_dict(), facts))
    return str(path)


@pytest.fixture
def settings(usme) -> FuseSettings:
    return FuseSettings(model="mertens", singles=usme)


def test_a_single_becomes_radiance_and_the_row_says_what_is_invented(
    make_bracket, fuse_one, settings
):
    row = fuse_one(make_bracket(textured(1.2), kind="single"), settings)
    assert row["status"] == "fused", row["error_message"]
    assert (row["kind"], row["model"], row["result_format"]) == ("single", "alone", "exr")
    assert row["weights_sha256"] == find_model(settings.singles).weights_sha256
    assert (row["virtual_ev"], row["light_ratios"]) == (2.0, [1.0])
    assert any("virtual" in note and "invented" in note for note in row["notes"])
    light = read_radiance(row["result_uri"])
    assert light.shape == (96, 120, 3)
    assert 1 < light.max() <= 4  # what the frame burnt out may be brighter than it can show
    assert read_photo(row["display_uri"]).pixels.shape == light.shape
    assert Path(row["preview_uri"]).exists()
    assert row["mef_ssim"] is row["mef_ssim_preview"] is row["map_uri"] is None
    assert "one frame" in row["score_note"]
    assert 0 <= row["piqe"] <= 100
    assert -50 <= row["brisque"] <= 150
    with OpenEXR.File(row["result_uri"]) as file:
        assert "virtual" in file.header()["comments"]


def test_of_a_bracket_the_reference_is_looked_at(make_bracket, fuse_one, usme, tmp_path):
    bracket = make_bracket(*(textured(light) for light in (0.3, 1.2, 3.0)))
    row = fuse_one(bracket, FuseSettings(model=usme))
    assert row["status"] == "fused", row["error_message"]
    assert (row["model"], row["virtual_ev"], row["reference_frame"]) == ("alone", 2.0, 2)
    assert row["align_method"] == "none"
    frame = bracket.frames[1]
    alone = Bracket(frames=(frame,), source=bracket.source, kind="single")
    single = fuse_one(alone, FuseSettings(model="mertens", singles=usme), out=tmp_path / "single")
    one, other = (read_radiance(made["result_uri"]) for made in (row, single))
    assert np.array_equal(one, other)
    bright = fuse_one(bracket, FuseSettings(model=usme, reference=3), out=tmp_path / "bright")
    assert bright["reference_frame"] == 3
    assert not np.array_equal(read_radiance(bright["result_uri"]), one)


def test_more_stops_reach_further_and_have_a_key_of_their_own(
    make_bracket, fuse_one, settings, tmp_path
):
    bracket = make_bracket(textured(3.0), kind="single")
    two = fuse_one(bracket, settings)
    three = fuse_one(bracket, replace(settings, ev=3.0), out=tmp_path / "three")
    assert three["virtual_ev"] == 3.0
    assert two["key"] != three["key"]
    one, other = (read_radiance(row["result_uri"]).max() for row in (two, three))
    assert one < other <= 8


@pytest.mark.parametrize("value", [0, 255])
def test_a_frame_that_says_nothing_of_light_has_a_code(make_bracket, fuse_one, settings, value):
    flat = np.full((40, 50, 3), value, np.uint8)
    row = fuse_one(make_bracket(flat, kind="single"), settings)
    assert (row["status"], row["error_code"]) == ("quarantined", "frames-saturated")
    assert "scene/0.png" in row["error_message"]


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((40, 50, 3), 128, np.uint8),
        textured(1.0, bits=16),
        textured(1.0, height=1, width=40),
        textured(1.0)[..., :1].repeat(3, 2),
    ],
    ids=["grey", "16 bits", "a line", "without colour"],
)
def test_unusual_frames_give_a_result_of_their_size(make_bracket, fuse_one, settings, pixels):
    row = fuse_one(make_bracket(pixels, kind="single"), settings)
    assert row["status"] == "fused", row["error_message"]
    light = read_radiance(row["result_uri"])
    assert light.shape == pixels.shape
    assert bool(np.isfinite(light).all())
    assert row["source_bits"] == pixels.itemsize * 8


def test_a_portrait_stands_upright(tmp_path, fuse_one, settings):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it to the right
    path = tmp_path / "in" / "portrait.jpg"
    path.parent.mkdir()
    Image.fromarray(textured(1.0)).save(path, exif=exif)
    frame = Frame(uri=str(path), path=path.name)
    row = fuse_one(Bracket(frames=(frame,), source=str(path.parent), kind="single"), settings)
    assert row["status"] == "fused", row["error_message"]
    assert (row["width"], row["height"]) == (96, 120)
    assert read_radiance(row["result_uri"]).shape == (120, 96, 3)
    assert read_photo(row["display_uri"]).pixels.shape == (120, 96, 3)


def test_settings_that_no_model_can_follow_are_refused(usme):
    ufm, alone = find_model("ufm_k").card, find_model(usme).card
    assert (sees_one_frame(ufm), sees_one_frame(alone)) == (False, True)
    assert not sees_one_frame(find_model("merge").card)
    with pytest.raises(UsageError, match="--singles takes a model that sees one frame"):
        FuseSettings(singles="merge").check(ufm, find_model("merge").card)
    with pytest.raises(UsageError, match="--ev is for models that see one frame"):
        FuseSettings(ev=3.0).check(ufm, None)
    FuseSettings(ev=3.0).check(ufm, alone)
    FuseSettings(model=usme, ev=3.0, reference=2).check(alone, None)
    with pytest.raises(UsageError, match=r"There is no model 'usme'.*\.safetensors"):
        FuseSettings(singles="usme")
    for ev in (0.0, -1.0, 9.0, float("nan")):
        with pytest.raises(UsageError, match="--ev"):
            FuseSettings(ev=ev)


def archive() -> list[Bracket]:
    def frames(*names: str) -> tuple[Frame, ...]:
        return tuple(Frame(uri=f"/in/{n}", path=n, size_bytes=9, mtime_ns=1) for n in names)

    return [
        Bracket(frames=frames("a/1.jpg", "a/2.jpg"), source="/in"),
        Bracket(frames=frames("b.jpg"), source="/in", kind="single"),
        Bracket(
            frames=frames("c.jpg"),
            source="/in",
            kind="single",
            error_code="file-empty",
            error_message="c is empty",
        ),
    ]


def run_of(destination: Path, settings: FuseSettings) -> FuseRun:
    return FuseRun(
        source="/in",
        destination=str(destination),
        settings=settings,
        model=find_model(settings.model),
        singles=None if settings.singles is None else find_model(settings.singles),
    )


def decided(destination: Path, settings: FuseSettings) -> list[str]:
    """What is to be done, as the slow way and the fast one have it, which agree."""
    planner = planner_of(
        run_of(destination, settings).recipe,
        named=archive,
        standing=standing_results(str(destination)),
        work=WorkOptions(),
    )

    def said(decision: object) -> str:
        return decision.status if isinstance(decision, Settled) else type(decision).__name__

    slow = [said(planner.decide(one)) for one in archive()]
    write_catalog(archive(), str(destination / "c.parquet"))
    fast: Counter[str] = Counter()
    for decision in decisions(str(destination / "c.parquet"), planner):
        fast[said(decision)] += decision.count if isinstance(decision, Settled) else 1
    assert fast == Counter(slow)
    return slow


def test_singles_are_work_where_they_are_asked_for_and_brackets_keep_their_keys(tmp_path, settings):
    plain = replace(settings, singles=None)
    assert decided(tmp_path, plain) == ["FuseJob", "skipped", "quarantined"]
    assert decided(tmp_path, settings) == ["FuseJob", "FuseJob", "quarantined"]
    planners = [
        planner_of(
            run_of(tmp_path, one).recipe,
            named=archive,
            standing=standing_results(str(tmp_path)),
            work=WorkOptions(),
        )
        for one in (plain, settings, replace(settings, ev=3.0))
    ]
    first, second, third = (planner.decide(archive()[0]) for planner in planners)
    assert isinstance(first, FuseJob)
    assert first == second == third  # whatever is done with singles
    one, other = (planner.decide(archive()[1]) for planner in planners[1:])
    assert isinstance(one, FuseJob)
    assert isinstance(other, FuseJob)
    assert one.key != other.key
    assert one.result_path.endswith(".exr")
    assert one.display is not None
    with Ledger(str(tmp_path), "r", "w") as ledger:
        for job in (first, one):
            target = tmp_path / job.result_path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(b"x")
            facts = {"result_path": job.result_path, "result_sha256": storage.sha256_of(b"x")}
            keys = {"key": job.key, "timeless_key": job.timeless_key}
            row = base_row(job.bracket, run_id="r", worker="w", status="fused", **keys, **facts)
            ledger.append(row)
    assert decided(tmp_path, settings) == ["reused", "reused", "quarantined"]
    assert decided(tmp_path, plain) == ["reused", "skipped", "quarantined"]
    assert decided(tmp_path, replace(settings, ev=3.0)) == ["reused", "FuseJob", "quarantined"]
