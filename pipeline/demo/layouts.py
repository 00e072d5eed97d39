# SPDX-License-Identifier: Apache-2.0
"""Small archives in the layouts of public data sets, for tests of the code that reads them.

Only the paths, formats and side files follow the data sets; the pictures are the demo's scenes.
Labels are made from the known radiance.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from pipeline.demo.camera import Camera, balanced, base_exposure, expose
from pipeline.demo.noise import Array
from pipeline.demo.scenes import SCENES, render

__all__ = ["tone_mapped", "write_kalantari", "write_mefb", "write_sice"]

_CAMERA = Camera(make="Bracketflow", model="Demo A7", serial="0021004711")
_MEFB_NAMES: tuple[tuple[str, str, str, str], ...] = (
    # folder, dark frame, bright frame, extension: the spellings that the real set has
    ("Balloons", "Balloons_A", "Balloons_B", "jpg"),
    ("Farmhouse", "Farmhouse_A", "FarmHouse_B", "png"),
    ("Lighthouse", "Lighthouse_a", "Lighthouse_B", "JPG"),
    ("sKY", "sKY_a", "sKY_B", "tif"),
)


def tone_mapped(radiance: Array) -> NDArray[np.uint8]:
    """A display-referred picture (H, W, 3) uint8 of linear radiance.

    Base and detail of the log luminance are parted by a bilateral filter, the base is compressed
    to five stops (Durand and Dorsey 2002, DOI 10.1145/566654.566574).
    """
    tone = np.log2(radiance @ np.array([0.2126, 0.7152, 0.0722], np.float32) + 1e-6)
    sigma = max(2.0, np.hypot(*tone.shape) / 60)
    base = cv2.bilateralFilter(tone.astype(np.float32), 0, 1.5, sigma)
    low, middle, high = np.quantile(base, (0.01, 0.5, 0.99))
    shrink = min(1.0, 5.0 / max(float(high - low), 1e-3))
    scale = np.exp2((base - middle) * shrink + (tone - base) - tone) * 0.18
    linear = radiance * scale[..., None]
    linear = linear / (1 + 0.5 * linear)
    return np.round(255 * _CAMERA.respond(np.clip(linear, 0, 1))).astype(np.uint8)


def write_sice(
    folder: Path, *, seed: int = 0, size: tuple[int, int] = (64, 96), frames: int = 7
) -> list[str]:
    """``Dataset_Part1|2/<id>/<k>.JPG`` and ``Label/<id>.JPG``, ``.PNG`` in part 2 above 125.

    Two sequences in part 1 (ids 4 and 28), two in part 2 (ids 7 and 126). Returns the folders of
    the sequences, relative and sorted.
    """
    out = []
    for k, (part, id_) in enumerate(((1, 4), (1, 28), (2, 7), (2, 126))):
        radiance = _radiance(seed, k, size)
        where = folder / f"Dataset_Part{part}"
        biases = [float(j - frames // 2) for j in range(frames)]
        for j, pixels in enumerate(_frames(radiance, biases, seed, k), start=1):
            _save(where / str(id_) / f"{j}.JPG", pixels)
        extension = "PNG" if part == 2 and id_ > 125 else "JPG"
        _save(where / "Label" / f"{id_}.{extension}", tone_mapped(radiance))
        out.append(f"Dataset_Part{part}/{id_}")
    return sorted(out)


def write_mefb(folder: Path, *, seed: int = 0, size: tuple[int, int] = (64, 96)) -> list[str]:
    """``input/<name>/<name>_A.<ext>`` (under) and ``_B`` (over), in mixed cases and formats.

    One folder also holds an ``ev.txt``, as some of the real ones do. Returns the folders of the
    pairs, relative and sorted.
    """
    out = []
    for k, (name, dark, bright, extension) in enumerate(_MEFB_NAMES):
        pair = _frames(_radiance(seed, k, size), [-2.0, 2.0], seed, k)
        where = folder / "input" / name
        for stem, pixels in zip((dark, bright), pair, strict=True):
            _save(where / f"{stem}.{extension}", pixels)
        out.append(f"input/{name}")
    (folder / "input" / _MEFB_NAMES[0][0] / "ev.txt").write_text("-2\n2\n", encoding="ascii")
    return sorted(out)


def write_kalantari(
    folder: Path,
    *,
    seed: int = 0,
    size: tuple[int, int] = (64, 96),
    evs: Sequence[float] = (-2.0, 0.0, 2.0),
) -> list[str]:
    """``Training/<001..>/`` and ``Test/Test-set/<001..>/``: three TIFFs, exposure.txt, HDRImg.hdr.

    Frames are 16 bit and obey ``H = Z**2.2 / 2**EV`` without noise wherever they are not
    clipped, H the label. Returns the scenes' folders, relative and sorted.
    """
    out = []
    for k, place in enumerate(("Training/001", "Training/002", "Test/Test-set/001")):
        radiance = _radiance(seed, k, size)
        # The darkest frame saturates at the brightest percent of the scene.
        label = radiance / np.quantile(radiance, 0.99) * np.float32(2.0 ** -min(evs))
        where = folder / place
        where.mkdir(parents=True, exist_ok=True)
        for j, ev in enumerate(evs):
            display = np.clip(label * np.float32(2.0**ev), 0, 1) ** np.float32(1 / 2.2)
            pixels = np.round(display * 65535).astype(np.uint16)
            tifffile.imwrite(
                where / f"262A{898 + 3 * k + j:04d}.tif", pixels, photometric="rgb", metadata=None
            )
        text = "".join(f"{ev:.6f}\n" for ev in evs)
        (where / "exposure.txt").write_text(text, encoding="ascii")
        _, data = cv2.imencode(".hdr", np.ascontiguousarray(label[..., ::-1], np.float32))
        (where / "HDRImg.hdr").write_bytes(data.tobytes())
        out.append(place)
    return sorted(out)


def _radiance(seed: int, k: int, size: tuple[int, int]) -> Array:
    return render(SCENES[(3 * k + seed) % len(SCENES)], seed + k, *size)


def _frames(radiance: Array, biases: Sequence[float], seed: int, k: int) -> list[NDArray[np.uint8]]:
    camera = balanced(_CAMERA, radiance)
    base = base_exposure(radiance, camera, biases, f_number=8.0, iso=100)
    rng = np.random.default_rng([seed, k, 3])
    return [
        np.asarray(
            expose(
                radiance,
                exposure_time_s=base * 2.0**bias,
                f_number=8.0,
                iso=100,
                camera=camera,
                rng=rng,
            ),
            np.uint8,
        )
        for bias in biases
    ]


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {"jpg": "JPEG", "png": "PNG", "tif": "TIFF"}[path.suffix[1:].lower()]
    options: dict[str, int] = {"quality": 95} if kind == "JPEG" else {}
    Image.fromarray(pixels).save(path, kind, **options)
