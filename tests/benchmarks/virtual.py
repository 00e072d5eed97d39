# SPDX-License-Identifier: Apache-2.0
"""``make virtual``: virtual exposures of a trained network against the real ones, and radiance made
of them against the truth, beside what needs no network.

Works on patches that ``bracketflow shard --aligned flow`` cut of triples; figures against the truth
are there where the patches know it. Exposures are compared display-referred, in 8 bits, as the real
frames lie on the middle one; where they could not be laid on it, nothing is compared. With
``--merge-with`` a network for three frames, such as SelfHDR's, gets the frame between its virtual
exposures in place of the triangle blend. Prints a Markdown table of means over all patches.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.hdr_network import HdrNetwork, VirtualExposures, brightest
from model.measures import fidelity
from model.metrics.fidelity import picture_fidelity
from model.usme import Usme, blend_virtual, curved, gained
from pipeline.batches import read_validation_batch, validation_plans
from pipeline.light_batches import fields_of
from pipeline.models import find_model
from pipeline.patches import open_patches, read_patch

_NEEDS = ("times_s", "color", "aligned")
_EXPOSURES = ("psnr_low", "ssim_low", "psnr_high", "ssim_high")
_LIGHT = ("psnr_mu", "psnr_l", "ssim_mu", "ssim_l")

Row = dict[str, dict[str, float]]
"""Figures by what made the exposures, of one patch."""


def measured(
    network: Usme, batch: dict[str, torch.Tensor], merger: HdrNetwork | None = None
) -> Row:
    """The figures of a batch of one patch."""
    frames, times_s = batch["frames"], batch["times_s"]
    frame, real = frames[:, 1], batch["aligned"][:, [0, 2]][0]
    ratios, response = network.ratios(times_s, 1), network.response
    made = network.reconstruct(frames, times_s, 1)
    assert made.exposures is not None
    exposures = {
        "gain": VirtualExposures(*(gained(frame, ratio, response) for ratio in ratios)),
        "curve": VirtualExposures(*(curved(frame, ratio) for ratio in ratios)),
        network.name: made.exposures,
    }
    rows: Row = {}
    for name, virtual in exposures.items():
        light = blend_virtual(frame, virtual, *ratios, response)
        rows[name] = _of_exposures(virtual, real, batch["mask"][0]) | _of_light(light, batch)
    if merger is not None:
        triple = torch.stack([made.exposures.darker, frame, made.exposures.brighter], 1)
        light = merger.reconstruct(triple, times_s, 1).radiance
        rows[f"{network.name}, {merger.name}"] = _of_light(light, batch)
    return rows


def _of_exposures(
    virtual: VirtualExposures, real: torch.Tensor, valid: torch.Tensor
) -> dict[str, float]:
    known = valid > 0.5
    if not bool(known.any()):
        return {}
    figures: dict[str, float] = {}
    for name, ours, wanted in zip(("low", "high"), virtual, real, strict=True):
        one, other = _pixels(torch.where(known, ours[0], wanted)), _pixels(wanted)
        found = picture_fidelity(one, other)
        share = float(known.float().mean())  # of the rest the difference is 0
        psnr = min(found.psnr, 100.0) + 10 * np.log10(share)
        figures |= {f"psnr_{name}": float(psnr)}
        if found.ssim is not None:
            figures[f"ssim_{name}"] = found.ssim
    return figures


def _of_light(light: torch.Tensor, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    if "label" not in batch:
        return {}
    truth = (batch["label"] / brightest(batch["times_s"], 1)).clamp(0, 1)
    return {name: float(value) for name, value in fidelity(light, truth).items()}


def _pixels(picture: torch.Tensor) -> NDArray[np.uint8]:
    whole = picture.clamp(0, 1).mul(255).add(0.5).to(torch.uint8)
    return np.ascontiguousarray(whole.permute(1, 2, 0).numpy())


def table(rows: list[Row]) -> str:
    """Means over all patches, a row each of what made the exposures."""
    columns = [name for name in (*_LIGHT, *_EXPOSURES) if any(name in f for f in rows[0].values())]
    lines = [
        f"{len(rows)} patches",
        "",
        f"| exposures | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
    ]
    for name in rows[0]:
        found: dict[str, list[float]] = defaultdict(list)
        for row in rows:
            for figure, value in row[name].items():
                found[figure].append(value)
        cells = [
            f"{statistics.fmean(found[c]):.{2 if c.startswith('psnr') else 4}f}"
            if found[c]
            else "-"
            for c in columns
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _network(weights: str, kind: Any) -> Any:
    network = find_model(weights).load("cpu")
    if not isinstance(network, kind):
        sys.exit(f"{weights} holds no {kind.__name__}")
    return network


def main() -> None:
    parser = argparse.ArgumentParser(prog="make virtual", description=__doc__)
    parser.add_argument("weights", help="of usme or usme3")
    parser.add_argument("shards", help="cut with --aligned flow")
    parser.add_argument("--split", default="test")
    parser.add_argument("--most", type=int, default=1000, help="patches")
    parser.add_argument("--merge-with", help="weights of a network for three frames")
    options = parser.parse_args()
    network = _network(options.weights, Usme)
    merger = None if options.merge_with is None else _network(options.merge_with, HdrNetwork)
    refs = open_patches(options.shards, options.split)
    plans = validation_plans(refs, frames=(3, 3), batch=1, most=options.most)
    fields = fields_of(_NEEDS, measured_by=read_patch(refs[0]))
    rows = []
    for plan in plans:
        read = read_validation_batch(plan, crop_px=None, fields=fields)
        batch = {name: torch.from_numpy(value) for name, value in read.items()}
        with torch.inference_mode():
            rows.append(measured(network, batch, merger))
    sys.stdout.write(table(rows))


if __name__ == "__main__":
    main()
