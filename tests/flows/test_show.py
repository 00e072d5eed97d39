# SPDX-License-Identifier: Apache-2.0
"""What is printed at the end of sharding and training."""

from __future__ import annotations

import io

from rich.console import Console

from flows.show import outcome_table, recipes_table, training_table
from pipeline.recipe import load_recipe
from pipeline.runs import Counts, Outcome
from pipeline.training import TrainOutcome


def printed(renderable) -> str:
    """The text on a terminal of 100 columns."""
    console = Console(file=io.StringIO(), width=100)
    console.print(renderable, soft_wrap=True)
    return console.file.getvalue()


def trained(**changes) -> TrainOutcome:
    facts = {
        "best": {"gray_ms3": 0.97, "gray_ms3_mertens": 0.96, "chroma_shift": 2.5},
        "best_step": 1200,
        "step": 2000,
        "stopped": "steps",
        "seconds": 90.0,
        "weights_path": "/my out/weights.safetensors",
        "resumed_from": None,
        "device": "CPU",
        "workers": 1,
        "contents": "0" * 64,
        "init_sha256": "",
    }
    return TrainOutcome(**(facts | changes))


def test_training_ends_with_figures_places_and_commands_to_copy():
    text = printed(training_table(trained(), "ufm", "/my out"))
    assert "1,200 of 2,000 steps" in text
    assert "0.9700 (Mertens 0.9600)" in text
    assert "2.5000 of 255" in text
    for name in ("weights.safetensors", "card.json", "curve.parquet", "pictures"):
        assert f"\n/my out/{name}\n" in text
    assert "training.init='/my out/weights.safetensors'" in text
    assert "resumed" not in text


def test_trouble_on_the_way_is_told():
    outcome = trained(resumed_from=800, stopped="patience", notes=("A worker [x] died.",))
    text = printed(training_table(outcome, "ufm", "/out"))
    assert "step 800" in text
    assert "training.patience" in text
    assert "A worker [x] died." in text


def test_sharding_speaks_of_patches_and_not_of_scores():
    outcome = Outcome(
        run_id="r",
        destination="/shards",
        counts=Counts(found=3, fused=2, skipped=1),
        mean_mef_ssim=None,
        manifest_uri="/shards/m.json",
    )
    text = printed(outcome_table(outcome, fused="sharded"))
    assert "/shards/patches" in text
    assert "MEF-SSIM" not in text
    assert "mef_ssim" not in text


def test_recipes_show_what_they_are():
    recipe = load_recipe("ufm")
    text = printed(recipes_table([recipe]))
    assert recipe.loss["name"] in text
    assert "2,000" in text
