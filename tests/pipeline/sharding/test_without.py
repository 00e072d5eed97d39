# SPDX-License-Identifier: Apache-2.0
"""Nothing of an archive whose scenes must not occur is passed over in silence."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.archive.overlap import compare, look_at
from pipeline.archive.scan import ScanOptions
from pipeline.bracket import Bracket, Frame
from pipeline.errors import UsageError
from pipeline.images.writing import write_photo
from pipeline.sharding.without import look_at_all
from tests.pipeline.conftest import textured

SIZE = {"height": 160, "width": 200}


def write(folder, name, light, seed):
    path = folder / f"{name}.png"
    write_photo(textured(light, seed=seed, **SIZE), str(path), format="png", bits=8)
    return Frame(uri=str(path), path=f"{name}.png")


@pytest.fixture
def scene(tmp_path) -> Bracket:
    """What is to be sharded."""
    folder = tmp_path / "in"
    frames = (write(folder, "a", 0.6, 3), write(folder, "b", 1.8, 3))
    return Bracket(frames=frames, source=str(folder))


@pytest.mark.parametrize("layout", ["auto", "sice", "exif"])
def test_pictures_without_other_exposures_count(scene, tmp_path, layout):
    """Whatever the source's layout says of them, which is not theirs."""
    other = tmp_path / "other"
    for number in range(3):  # one picture of each scene
        write(other, f"{number}", 1.0, number + 1)
    calls = []
    known = look_at_all((str(other),), ScanOptions(layout=layout), progress=lambda: calls.append(1))
    assert len(known) == len(calls) == 3
    (overlap,) = compare(look_at([scene]).seen, known)
    assert overlap.other_scene == "2"


def test_a_layout_of_its_own_makes_brackets_of_it(tmp_path):
    other = tmp_path / "other"
    for light in (1, 2):
        write(other / "scene", f"{light}", light, 1)
    (seen,) = look_at_all((str(other),), ScanOptions(layout="exif"))
    assert len(seen.bracket.frames) == 2


def test_what_cannot_be_read_is_refused_by_name(tmp_path):
    other = tmp_path / "other"
    for number in range(3):
        write(other, f"{number}", 1.0, number)
    for number in range(7):
        (other / f"bad{number}.png").write_bytes(b"\x89PNG")
    with pytest.raises(UsageError) as caught:
        look_at_all((str(other),), ScanOptions())
    assert caught.value.code == "without-invalid"
    assert "7 brackets or photographs" in caught.value.message
    assert "bad0.png" in caught.value.message
    assert "and 2 more" in caught.value.message


def test_an_archive_that_leaves_nothing_out_is_refused(tmp_path):
    write(tmp_path / "good", "a", 1.0, 0)
    (tmp_path / "empty").mkdir()
    flat = tmp_path / "flat" / "a.png"
    write_photo(np.full((64, 64, 3), 90, np.uint8), str(flat), format="png", bits=8)
    for name, code in (("empty", "archive-empty"), ("flat", "without-invalid")):
        with pytest.raises(UsageError) as caught:
            look_at_all((str(tmp_path / "good"), str(tmp_path / name)), ScanOptions())
        assert caught.value.code == code
        assert name in caught.value.message
