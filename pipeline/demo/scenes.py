# SPDX-License-Identifier: Apache-2.0
"""The scenes of the demo archive: procedural pictures whose linear radiance is known.

A scene is a kind and a seed. The seed varies colours, sun, furniture, clouds, trees; the same
kind and seed give the same scene at any size, and the same bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cv2
import numpy as np

from pipeline.demo.candle_table import candle_table
from pipeline.demo.church import church
from pipeline.demo.city_dusk import city_dusk
from pipeline.demo.desk import desk
from pipeline.demo.forest import forest
from pipeline.demo.living_room import living_room
from pipeline.demo.museum import museum
from pipeline.demo.night_street import night_street
from pipeline.demo.noise import Array
from pipeline.demo.raycast import render_stage
from pipeline.demo.skies import bloom
from pipeline.demo.snow import snow
from pipeline.demo.stage import Stage
from pipeline.demo.stairwell import stairwell
from pipeline.demo.sunset import sunset
from pipeline.demo.tunnel import tunnel
from pipeline.errors import UsageError

__all__ = ["SCENES", "render"]

_STAGES: dict[str, Callable[[np.random.Generator], Stage]] = {
    "living_room": living_room,
    "museum": museum,
    "night_street": night_street,
    "desk": desk,
    "stairwell": stairwell,
    "church": church,
    "candle_table": candle_table,
    "tunnel": tunnel,
}
_PICTURES: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "sunset": sunset,
    "forest": forest,
    "snow": snow,
    "city_dusk": city_dusk,
}

_LEAST_ROWS = 320

SCENES: tuple[str, ...] = (
    "living_room",
    "sunset",
    "museum",
    "night_street",
    "forest",
    "desk",
    "stairwell",
    "snow",
    "church",
    "city_dusk",
    "candle_table",
    "tunnel",
)
"""All kinds of scene, in the order that an archive cycles through them."""


def render(scene: str, seed: int, height: int, width: int) -> Array:
    """Linear radiance (height, width, 3), float32, >= 0, RGB with sRGB primaries.

    The unit is the scene's own: indoor surfaces lie around 0.1, bright skies around 10. A lens's
    halo around bright places is part of it.

    Raises:
        UsageError: ``option-invalid``, there is no such scene or the size is no size.
    """
    if scene not in _STAGES and scene not in _PICTURES:
        raise UsageError(
            "option-invalid", f"There is no scene {scene!r}; there are {', '.join(SCENES)}."
        )
    if height < 8 or width < 8:
        raise UsageError(
            "option-invalid", f"A scene of {width} x {height} px is too small; use 8 px or more."
        )
    rng = np.random.default_rng([seed, zlib.crc32(scene.encode())])
    if scene in _STAGES:
        image = render_stage(_STAGES[scene](rng), height, width)
    else:
        # Windows and leaves below a pixel's size are averaged, not hit or missed.
        finer = -(-_LEAST_ROWS // height)
        image = _PICTURES[scene](rng, finer * height, finer * width)
        image = np.asarray(
            cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.float32
        )
    return np.maximum(bloom(image, strength=0.03), np.float32(1e-5))
