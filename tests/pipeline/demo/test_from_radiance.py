# SPDX-License-Identifier: Apache-2.0
"""What is seen of a linear picture, and how it is exposed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.demo.camera import STILL, expose
from pipeline.demo.from_radiance import RenderSettings, View, clean, views
from pipeline.demo.taking import take_bracket
from pipeline.errors import PhotoError, UsageError
from pipeline.images.reading import read_photo


def light(height=60, width=90, seed=0, unit=1.0):
    """A picture of ten stops."""
    rng = np.random.default_rng(seed)
    ramp = np.exp2(np.linspace(-5, 5, width))[None, :, None] * unit
    return (ramp * rng.uniform(0.5, 1, (height, width, 3))).astype(np.float32)


def planned(radiance, name="a.exr", **options):
    return list(views(radiance, name, RenderSettings(**options)))


@given(
    height=st.integers(60, 200),
    width=st.integers(60, 400),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_views_lie_in_the_picture(height, width, seed):
    radiance = light(height, width)
    for made in planned(radiance, seed=seed, brackets_per_picture=3):
        view = made.view
        assert 0 <= view.top <= view.top + view.height <= height
        assert 0 <= view.left < width
        assert view.width <= width
        assert made.radiance.shape == (view.height, view.width, 3)
        assert np.isin(made.radiance, radiance).all()


def test_the_first_view_is_the_whole_picture_and_others_differ():
    radiance = light()
    first, *others = planned(radiance, brackets_per_picture=6)
    np.testing.assert_array_equal(first.radiance, radiance)
    assert len({(o.view.top, o.view.left, o.view.height) for o in others}) == 5
    assert {o.view.mirrored for o in others} == {True, False}
    assert len({len(o.shooting.biases_ev) for o in others}) > 1


def test_a_panorama_goes_round_and_keeps_off_the_poles():
    made = planned(light(200, 400), brackets_per_picture=40)
    tops = [(m.view.top, m.view.top + m.view.height) for m in made]
    assert min(top for top, _ in tops) >= 24
    assert max(bottom for _, bottom in tops) <= 176
    assert any(m.view.left + m.view.width > 400 for m in made)


def test_a_view_is_cut_mirrored_and_goes_round():
    picture = np.arange(5, dtype=np.float32)[None, :, None] * np.ones((3, 1, 3), np.float32)
    view = View(top=1, left=3, height=1, width=4, mirrored=False)
    assert view.cut(picture, 1.0)[0, :, 0].tolist() == [3, 4, 0, 1]
    assert replace(view, mirrored=True).cut(picture, 1.0)[0, :, 0].tolist() == [1, 0, 4, 3]


def test_large_views_are_reduced_without_losing_light():
    made = View(top=0, left=0, height=200, width=300, mirrored=False).cut(light(200, 300), 0.0025)
    assert made.shape == (40, 61, 3)
    assert made.mean() == pytest.approx(light(200, 300).mean(), rel=1e-3)


@given(seed=st.integers(0, 500), unit=st.sampled_from([1e-4, 1.0, 3e5]))
@settings(max_examples=30, deadline=None)
def test_exposures_are_a_photographers_whatever_the_unit(seed, unit):
    (made,) = planned(light(unit=unit), seed=seed, brackets_per_picture=1)
    biases = sorted(made.shooting.biases_ev)
    steps = np.diff(biases)
    assert 3 <= len(biases) <= 7
    assert 0 in biases
    assert steps == pytest.approx([steps[0]] * len(steps))
    assert 1 <= steps[0] <= 3.001
    assert biases[-1] - biases[0] <= 10.001
    assert 1 / 1200 < made.shooting.base_s < 0.2
    frame = expose(
        made.radiance,
        exposure_time_s=made.shooting.base_s,
        f_number=8,
        iso=100,
        camera=made.shooting.camera,
        rng=np.random.default_rng(0),
    )
    assert 0.15 < frame.mean() / 255 < 0.85


def test_frames_are_exact_multiples_of_the_radiance_before_noise_and_clipping(tmp_path):
    (made,) = planned(light(), brackets_per_picture=1)
    camera = replace(made.shooting.camera, full_well=1e14, read_noise=0.0, bits=16)
    shooting = replace(made.shooting, camera=camera)
    paths = [f"{k}.tif" for k in range(len(shooting.biases_ev))]
    for truth, data in take_bracket(made.radiance, shooting, paths, made.rng, (60, 90)):
        assert truth.motion == STILL
        (tmp_path / truth.path).write_bytes(data)
        display = read_photo(str(tmp_path / truth.path)).pixels / np.float32(65535)
        per_second = camera.sensitivity / truth.f_number**2
        signal = np.clip(truth.exposure_time_s * per_second * made.radiance, 0, 1)
        np.testing.assert_allclose(camera.invert(display), signal, atol=2e-4)


def test_the_same_seed_and_name_make_the_same_plan_and_others_do_not():
    def facts(**options):
        name = options.pop("name", "a.exr")
        return [(m.view, m.shooting) for m in planned(light(), name, **options)]

    assert facts() == facts()
    assert facts(brackets_per_picture=2) == facts()[:2]
    assert facts(seed=1) != facts()
    assert facts(name="b.exr") != facts()


def test_brackets_of_a_picture_are_minutes_apart():
    starts = [m.shooting.started for m in planned(light(), brackets_per_picture=3)]
    assert all(isinstance(start, datetime) for start in starts)
    assert all((b - a).total_seconds() == 600 for a, b in itertools.pairwise(starts))


def test_light_is_made_possible():
    picture = light(4, 4)
    picture[0, 0] = np.nan
    picture[0, 1] = np.inf
    picture[0, 2] = -np.inf
    picture[0, 3] = -1
    made = clean(picture, "a.exr")
    assert made[0, :, 0].tolist() == [0, picture[1:].max(), 0, 0]
    np.testing.assert_array_equal(made[1:], picture[1:])


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_a_picture_without_light_is_told(value):
    with pytest.raises(PhotoError, match=r"a\.exr") as caught:
        clean(np.full((40, 40, 3), value, np.float32), "a.exr")
    assert caught.value.code == "radiance-unusable"


def test_small_pictures_and_black_views_are_told():
    with pytest.raises(PhotoError, match="90 x 20 px"):
        planned(light(20, 90))
    black = np.zeros((64, 64, 3), np.float32)
    with pytest.raises(PhotoError, match="all black"):
        planned(black)


@pytest.mark.parametrize(
    "options",
    [
        {"brackets_per_picture": 0},
        {"brackets_per_picture": 1.5},
        {"megapixels": 0},
        {"megapixels": float("nan")},
        {"seed": -1},
    ],
)
def test_impossible_settings_are_refused(options):
    with pytest.raises(UsageError) as caught:
        RenderSettings(**options)
    assert caught.value.code == "option-invalid"
    assert next(iter(options)).replace("_", "-") in caught.value.message
