# SPDX-License-Identifier: Apache-2.0
"""An archive of dynamic scenes with ground truth, laid out like Kalantari's data.

``OUT/Training/0001_objects/input_1.tif`` and on are the frames (16 bits, dark to bright),
``exposure.txt`` their exposures in stops, ``HDRImg.hdr`` the radiance at the moment of the middle
one; a test set lies below ``OUT/Test``. ``OUT/scenes.json`` says what it was made of. The same
request at the same place goes on where it was: a scene's truth is written last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import imagecodecs
import numpy as np

from pipeline import storage
from pipeline.demo.backdrops import Backdrops, PictureBackdrops
from pipeline.demo.dynamic_plan import DynamicPlan
from pipeline.demo.dynamic_scenes import DynamicScene, make_scene, rendered_for
from pipeline.demo.noise import Array
from pipeline.demo.rendered import find_pictures
from pipeline.errors import UsageError
from pipeline.images.writing import encode_photo
from pipeline.planning import check_destination

__all__ = ["DynamicArchive", "encode_rgbe", "make_dynamic_archive", "scene_folder"]

_REQUEST = "scenes.json"
_VERSION = 1  # raised by hand when the same request gives other pixels, or other names
_FOLDERS = {"training": "Training", "test": "Test"}
_TRUTH = "HDRImg.hdr"


@dataclass(frozen=True, kw_only=True)
class DynamicArchive:
    """What was made; ``kept`` of the scenes stood there before."""

    scenes: int
    kept: int
    frames: int
    folder: str


def make_dynamic_archive(
    out: str,
    plan: DynamicPlan,
    *,
    pictures: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DynamicArchive:
    """Make the scenes of a plan.

    Args:
        out: URI of a folder that is new, empty, or the same request's.
        plan: how many scenes, and what they are like.
        pictures: URI of a folder with linear HDR pictures (.exr, .hdr) to be used as backdrops, in
            order of their paths; the demo's own rendered scenes by default. Training and test
            scenes then share what the folder holds: give each its own.
        progress: called with (scenes done, scenes) after each.

    Raises:
        UsageError: ``source-missing``, ``archive-empty`` or ``destination-invalid``.
        PhotoError: a picture cannot be read, or is all black.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    backdrops: Backdrops = rendered_for(plan)
    named: Sequence[str] = ()
    if pictures is not None:
        check_destination(pictures, out)
        files = find_pictures(pictures)
        backdrops, named = PictureBackdrops(files=files), [file.path for file in files]
    _begin(out, {"plan": asdict(plan), "pictures": list(named), "version": _VERSION})
    kept = 0
    for index in range(plan.scenes):
        folder = storage.join(out, *scene_folder(plan, index).split("/"))
        if storage.exists(storage.join(folder, _TRUTH)):
            kept += 1
        else:
            _write(folder, make_scene(plan, index, backdrops))
        if progress is not None:
            progress(index + 1, plan.scenes)
    return DynamicArchive(
        scenes=plan.scenes,
        kept=kept,
        frames=plan.scenes * plan.frames,
        folder=storage.join(out, _FOLDERS[plan.split]),
    )


def scene_folder(plan: DynamicPlan, index: int) -> str:
    """Where a scene lies below the archive, ``/``-separated."""
    return f"{_FOLDERS[plan.split]}/{index + 1:04d}_{plan.kinds[index % len(plan.kinds)]}"


def encode_rgbe(radiance: Array) -> bytes:
    """A Radiance file of (H, W, 3) float32, linear, >= 0; off by at most 1/255 of a pixel's
    brightest channel."""
    _, exponents = np.frexp(radiance.max(2, keepdims=True))
    step = np.ldexp(np.float32(1), exponents - 8)
    # The encoder cuts fractions off, which would make everything a little darker. What would need
    # a larger exponent for being rounded up stays below.
    rounded = np.minimum(radiance + step / 2, 255.5 * step)
    return bytes(imagecodecs.rgbe_encode(np.ascontiguousarray(rounded, np.float32), header=True))


def _begin(out: str, request: dict[str, object]) -> None:
    """Take the folder for this request.

    Raises:
        UsageError: ``destination-invalid``, it holds something else.
    """
    text = json.dumps(request, indent=2).encode("utf-8", "surrogateescape")
    uri = storage.join(out, _REQUEST)
    if storage.exists(uri):
        if storage.read_bytes(uri) == text:
            return
    else:
        fs, path = storage.file_system(out)
        if not (fs.exists(path) and fs.ls(path, detail=False)):
            storage.write_atomic(uri, text)
            return
    raise UsageError(
        "destination-invalid",
        f"{out} holds something else than these scenes; name a new folder or empty it.",
    )


def _write(folder: str, scene: DynamicScene) -> None:
    for number, pixels in enumerate(scene.frames, start=1):
        encoded = encode_photo(pixels, format="tiff", bits=16)
        storage.write_atomic(storage.join(folder, f"input_{number}.tif"), encoded.data)
    lines = "".join(f"{ev:.6f}\n" for ev in scene.evs)
    storage.write_atomic(storage.join(folder, "exposure.txt"), lines.encode("ascii"))
    storage.write_atomic(storage.join(folder, _TRUTH), encode_rgbe(scene.radiance))
