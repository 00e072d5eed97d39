# SPDX-License-Identifier: Apache-2.0
"""A small bracket on disk, and the visitor that fuses it; no Ray, no Prefect."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.bracket import Bracket, Frame
from pipeline.deciding import Planner
from pipeline.fusing import FuseRecipe, fuse_bracket
from pipeline.images.writing import write_photo
from pipeline.models import find_model
from pipeline.naming import Names
from pipeline.settings import FuseSettings
from pipeline.standing import Standing


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
        model = model or find_model(settings.model)
        recipe = FuseRecipe(settings=settings, model=model, destination=destination, run_id="r")
        visitor = recipe.build(device="cpu", worker="w", intend=lambda uri, sha256: None)
        planner = Planner(
            names=lambda: Names([bracket], template=settings.name, model=model.name),
            settings=settings,
            weights_sha256=model.weights_sha256,
            destination=destination,
            standing=standing or Standing(),
            run_id="r",
            output=recipe.output,
        )
        return fuse_bracket(planner.decide(bracket), visitor)

    return fuse
