# SPDX-License-Identifier: Apache-2.0
"""From moving scenes to a network that learns their light: archive, shards, batches, updates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.hdr_network import HdrNetwork
from model.objectives import build_objective
from pipeline.archive.find import find_brackets
from pipeline.archive.scan import ScanOptions
from pipeline.augment import AugmentSettings
from pipeline.batches import BatchSource, read_training_batch, validation_plans
from pipeline.demo.dynamic import make_dynamic_archive
from pipeline.demo.dynamic_plan import DynamicPlan
from pipeline.images.radiance import encode_exr
from pipeline.learner import Learner
from pipeline.light_batches import fields_of
from pipeline.patches import PatchRef, patches_path, read_patch, write_patches
from pipeline.pseudo_labels import with_structure
from pipeline.sharding.settings import ShardSettings
from pipeline.sharding.visiting import ShardJob, ShardRecipe
from pipeline.validation import validate
from tests.pipeline.tiny_training import ALONE, tiny_recipe

NETWORK = {"name": "ahdrnet", "width": 8, "growth": 4, "layers": 2}
STEPS, BATCH = 14, 4


@pytest.fixture(scope="module")
def refs(tmp_path_factory) -> tuple[PatchRef, ...]:
    """Patches of two small moving scenes, their frames followed; with structure labels."""
    root = tmp_path_factory.mktemp("light")
    rows, cols = np.mgrid[0:180, 0:240] / 60
    tones = [np.exp2(3 * np.sin(3 * rows + k) * np.cos(4 * cols)) for k in range(3)]
    (root / "hdr").mkdir()
    exr = encode_exr(np.stack(tones, 2).astype(np.float32), 32)
    (root / "hdr" / "a.exr").write_bytes(exr)
    plan = DynamicPlan(height=96, width=96, motion_px=(2.0, 6.0), scenes=2)
    made = make_dynamic_archive(str(root / "archive"), plan, pictures=str(root / "hdr"))
    settings = ShardSettings(patch_px=48, min_contrast=0.0, aligned="flow", align="off")
    recipe = ShardRecipe(settings=settings, destination=str(root), run_id="r")
    visitor = recipe.build(device="cpu", worker="w", intend=lambda *what: None)
    network = build_objective(NETWORK, {"name": "mu_l1"}).network
    stage_one = network.eval().hdr
    assert isinstance(stage_one, HdrNetwork)
    found = []
    for bracket in find_brackets(made.folder, ScanOptions()).brackets:
        path = patches_path("train", bracket.id)
        job = ShardJob(
            bracket=bracket,
            scene=bracket.id,
            split="train",
            key="k",
            result_uri=str(root / path),
            result_path=path,
        )
        row = visitor.visit(job)
        assert row["status"] == "fused", row["error_message"]
        plain = [read_patch(PatchRef(job.result_uri, k, "", 3)) for k in range(4)]
        write_patches([with_structure(patch, stage_one) for patch in plain], job.result_uri)
        found += [PatchRef(job.result_uri, k, patch.key, 3) for k, patch in enumerate(plain)]
    return tuple(found)


@pytest.mark.parametrize("loss", ["mu_l1", "selfhdr_structure", "selfhdr_color"])
def test_every_stage_of_training_lowers_its_loss(refs, loss):
    build = lambda: build_objective(NETWORK, {"name": loss})  # noqa: E731
    learner = Learner(build, tiny_recipe(steps=STEPS, batch=BATCH, lr=5e-3).training, ALONE)
    objective = learner.objective
    fields = fields_of(objective.needs)
    assert ("label" in fields) is (loss == "mu_l1")  # the others know no truth
    source = BatchSource(
        refs=refs,
        frames=(3, 3),
        batch=BATCH,
        seed=1,
        settings=AugmentSettings(noise_probability=0.3),
        crop_px=40,
        fields=fields,
    )
    plans = validation_plans(refs, frames=(3, 3), batch=BATCH, most=BATCH)
    measured = fields_of(objective.needs, measured_by=read_patch(refs[0]))

    def figures() -> dict[str, float]:
        with learner.evaluating():
            return validate(objective, plans, ALONE, crop_px=40, fields=measured)

    before = figures()
    for plan in source.plans(0, STEPS):
        batch = {n: torch.from_numpy(a) for n, a in read_training_batch(source, plan).items()}
        assert batch["label" if loss == "mu_l1" else "mask"].shape[-1] == 40
        learner.update(plan.step, lambda batch=batch: batch)
    after = figures()
    assert after[objective.headline] > before[objective.headline] + 1  # dB
    assert "psnr_mu" in after  # ground truth measures, whatever is trained on
