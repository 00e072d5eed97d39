# SPDX-License-Identifier: Apache-2.0
"""A small bracket on disk, and the visitor that fuses it; no Ray, no Prefect."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.bracket import Bracket, Frame
from pipeline.fuse_run import FuseRun, planner_of
from pipeline.fusing import fuse_bracket
from pipeline.images.writing import write_photo
from pipeline.models import find_model
from pipeline.settings import FuseSettings
from pipeline.standing import Standing
from pipeline.work_options import WorkOptions


def textured(light: float, *, seed: int = 0, height: int = 96, width: int = 120, bits: int = 8):
    """A textured picture under some light, clipped like a photograph: (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(0, 1, (8, 10, 3)), (width, height))
    fine = rng.uniform(0, 0.2, (height, width, 3))
    scene = np.clip((coarse + fine) * light, 0, 1)
    peak = 65535 if bits == 16 else 255
    return np.floor(scene * peak + 0.5).astype(np.uint16 if bits == 16 else np.uint8)


@pytest.fixture
def make_bracket(tmp_path):
    """Write frames (arrays) below ``tmp_path/in`` and return their bracket."""

    def make(*pictures: np.ndarray, suffix: str = "png", **facts) -> Bracket:
        folder = tmp_path / "in" / "scene"
        frames = []
        for number, pixels in enumerate(pictures):
            path = folder / f"{number}.{suffix}"
            output = {"png": "png", "tif": "tiff", "jpg": "jpeg"}[suffix]
            bits = 16 if pixels.dtype == np.uint16 else 8
            write_photo(pixels, str(path), format=output, bits=bits)
            frames.append(Frame(uri=str(path), path=f"scene/{path.name}"))
        return Bracket(frames=tuple(frames), source=str(tmp_path / "in"), **facts)

    return make


@pytest.fixture
def fuse_one(tmp_path):
    """Fuse one bracket into ``tmp_path/out`` and return its row."""

    def fuse(
        bracket: Bracket,
        settings: FuseSettings | None = None,
        standing=None,
        out=None,
        model=None,
    ):
        settings = settings or FuseSettings(model="mertens", format="png")
        destination = str(out or Path(tmp_path) / "out")
        run = FuseRun(
            source=bracket.source,
            destination=destination,
            settings=settings,
            model=model or find_model(settings.model),
            singles=None if settings.singles is None else find_model(settings.singles),
            run_id="r",
        )
        visitor = run.recipe.build(device="cpu", worker="w", intend=lambda uri, sha256: None)
        planner = planner_of(
            run.recipe,
            named=lambda: [bracket],
            standing=standing or Standing(),
            work=WorkOptions(),
        )
        return fuse_bracket(planner.decide(bracket), visitor)

    return fuse
