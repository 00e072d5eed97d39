# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.benchmarks.failures OUT``: where fusion fails, ours beside the yardstick's.

The demo's scenes, with a seed of their own, are photographed in brackets that have little to give:
frames that hardly differ (low dynamic range), and frames full of noise. Beside MEF-SSIM, which
takes noise for structure, stands what noise a fusion keeps: the fusion of the noisy bracket less
that of the same bracket without noise, its standard deviation in levels of 255, and the same of the
cleanest frame. Tables go to ``OUT/failures.md`` and ``.parquet``; for each condition a sheet, a row
a scene: frames, the models' fusions, and the middle of these enlarged.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from model import zoo
from model.contact_sheet import contact_sheet
from model.metrics.mef_ssim import score_many
from pipeline.bracket import Stack
from pipeline.demo.camera import CAMERA_A, Camera, balanced, base_exposure, expose
from pipeline.demo.scenes import SCENES, render
from pipeline.fusion_visit import frames_for, fuse_stack

_SEED = 90_210
_HEIGHT, _WIDTH = 540, 810
_CROP = 180
_F_NUMBER = 8.0
_COLUMNS = ("gray_ms3", "color_8x8_adaptive_lum")


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How a bracket is taken: stops of its frames, and the sensor's gain."""

    name: str
    stops: tuple[float, ...]
    iso: float


CONDITIONS = (
    Condition(name="usual", stops=(-2, 0, 2), iso=100),
    Condition(name="half-stops", stops=(-0.5, 0, 0.5), iso=100),
    Condition(name="tenth-stops", stops=(-0.1, 0, 0.1), iso=100),
    Condition(name="dark", stops=(-6, -5, -4), iso=100),
    Condition(name="iso-3200", stops=(-2, 0, 2), iso=3200),
    Condition(name="iso-25600", stops=(-2, 0, 2), iso=25600),
)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One scene under one condition by one model; ``noise`` in levels of 255."""

    condition: str
    scene: str
    model: str
    gray_ms3: float
    color: float
    noise: float
    noise_of_best_frame: float


def photographed(scene: str, condition: Condition, camera: Camera) -> list[np.ndarray]:
    """The frames (H, W, 3) uint8, dark to bright."""
    radiance = render(scene, _SEED, _HEIGHT, _WIDTH)
    balance = balanced(camera, radiance)
    base_s = base_exposure(
        radiance, balanced(CAMERA_A, radiance), list(condition.stops), f_number=_F_NUMBER, iso=100.0
    )
    rng = np.random.default_rng(_SEED)
    return [
        np.clip(
            expose(
                radiance,
                exposure_time_s=base_s * 2.0**stop * 100.0 / condition.iso,
                f_number=_F_NUMBER,
                iso=condition.iso,
                camera=balance,
                rng=rng,
            )
            + 0.5,
            0,
            255,
        ).astype(np.uint8)
        for stop in condition.stops
    ]


def fused(model: str, frames: Sequence[np.ndarray]) -> np.ndarray:
    """By a model of the zoo."""
    stack = Stack(frames=tuple(frames), exposure_times_s=None)
    chosen, _ = frames_for(zoo.card(model), stack)
    return np.asarray(fuse_stack(zoo.load(model), chosen, bits=8))


def deviation(noisy: np.ndarray, clean: np.ndarray) -> float:
    """Standard deviation of what noise changed, in levels."""
    return float((noisy.astype(np.float32) - clean).std())


def cut(picture: np.ndarray) -> np.ndarray:
    """The middle at full size, blown up to the size of the whole."""
    top, left = (_HEIGHT - _CROP) // 2, (_WIDTH - _CROP * 3 // 2) // 2
    part = picture[top : top + _CROP, left : left + _CROP * 3 // 2]
    return part.repeat(3, 0).repeat(3, 1)


def tensor(picture: np.ndarray) -> torch.Tensor:
    """(3, h, w) in 0..1, half as large."""
    return torch.from_numpy(picture[::2, ::2].copy()).permute(2, 0, 1).float() / 255


def measure(
    condition: Condition, models: Sequence[str], scenes: Sequence[str]
) -> tuple[list[Failure], np.ndarray]:
    """Figures of all scenes, and the sheet."""
    found, rows = [], []
    still = replace(CAMERA_A, full_well=1e12, read_noise=0.0)
    for scene in scenes:
        frames = photographed(scene, condition, CAMERA_A)
        clean = photographed(scene, condition, still)
        best = min(deviation(a, b) for a, b in zip(frames, clean, strict=True))
        pictures = [fused(model, frames) for model in models]
        scores = score_many(frames, pictures, _COLUMNS)
        for model, picture, scored in zip(models, pictures, scores, strict=True):
            gray, color = (scored.values[name] for name in _COLUMNS)
            assert gray is not None  # the pictures are large enough
            assert color is not None
            noise = deviation(picture, fused(model, clean))
            found.append(
                Failure(
                    condition=condition.name,
                    scene=scene,
                    model=model,
                    gray_ms3=gray,
                    color=color,
                    noise=noise,
                    noise_of_best_frame=best,
                )
            )
        rows.append([tensor(p) for p in (*frames, *pictures, *map(cut, pictures))])
    sheet = contact_sheet(rows).mul(255).add(0.5).byte().permute(1, 2, 0).numpy()
    return found, sheet


def table(found: Sequence[Failure]) -> str:
    """Means per condition and model."""
    lines = [
        "| condition | model | scenes | gray_ms3 | wins | color_8x8_adaptive_lum | noise | "
        "noise of the best frame |",
        "|---|---|---|---|---|---|---|---|",
    ]
    first = found[0].model
    for condition in dict.fromkeys(one.condition for one in found):
        here = [one for one in found if one.condition == condition]
        base = {one.scene: one.gray_ms3 for one in here if one.model == first}
        for model in dict.fromkeys(one.model for one in here):
            ours = [one for one in here if one.model == model]
            wins = sum(one.gray_ms3 > base[one.scene] for one in ours)
            gray, color, noise, best = (
                statistics.fmean(getattr(one, name) for one in ours)
                for name in ("gray_ms3", "color", "noise", "noise_of_best_frame")
            )
            lines.append(
                f"| {condition} | {model} | {len(ours)} | {gray:.4f} | "
                f"{'-' if model == first else wins} | {color:.4f} | {noise:.2f} | {best:.2f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", default="mertens,ufm_k", help="of the zoo, by commas")
    parser.add_argument("--scenes", type=int, default=len(SCENES), help="how many of the demo's")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found: list[Failure] = []
    for condition in CONDITIONS:
        rows, sheet = measure(condition, options.models.split(","), SCENES[: options.scenes])
        found += rows
        iio.imwrite(options.out / f"{condition.name}.jpg", sheet, quality=92)
        (options.out / "failures.md").write_text(table(found), encoding="utf-8")
        pq.write_table(
            pa.Table.from_pylist([asdict(one) for one in found]), options.out / "failures.parquet"
        )
    sys.stdout.write(table(found))


if __name__ == "__main__":
    main()
