# SPDX-License-Identifier: Apache-2.0
"""The training flow: a recipe in; weights, and the proof of how good they are, out."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from flows.demo import make_archive_step
from flows.dynamic import dynamic_archive
from flows.progress import TrainProgress, run_log
from flows.shard import shard_archive
from pipeline import storage
from pipeline.demo.archive import ArchivePlan
from pipeline.pool import Device
from pipeline.recipe import DataSettings, load_recipe, with_overrides
from pipeline.recipe_model import check_model, headline_of
from pipeline.training import TrainOutcome, TrainRun, train
from pipeline.training_folder import hold_folder, local_folder, take_training_folder
from pipeline.training_manifest import write_training_manifest

__all__ = ["generated_shards", "train_model"]


@task(name="train", cache_policy=NO_CACHE, persist_result=False)
def train_step(run: TrainRun) -> TrainOutcome:
    """Train, or go on from the newest checkpoint."""
    with TrainProgress(
        run.recipe.training.steps, headline=headline_of(run.recipe), log=run_log()
    ) as progress:
        return train(run, progress)


@task(name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_step(run: TrainRun, outcome: TrainOutcome) -> None:
    """Write the manifest and show the scores in Prefect."""
    manifest = write_training_manifest(run, outcome)
    scores = [{"figure": name, "value": f"{value:.5f}"} for name, value in outcome.best.items()]
    create_table_artifact(
        table=scores,
        key="bracketflow-train",
        description=f"Recipe {run.recipe.name}: means over the validation patches",
    )
    create_markdown_artifact(
        f"# {run.recipe.name}\n\n{run.recipe.summary}\n\n"
        f"- best after {outcome.best_step} of {outcome.step} steps\n"
        f"- {outcome.seconds / 60:.1f} min on {outcome.device}, {outcome.workers} worker(s)\n"
        f"- weights: `{outcome.weights_path}`\n"
        f"- manifest: `{manifest}`\n",
        key="bracketflow-train-summary",
    )


@flow(name="train", flow_run_name="train-{recipe}", persist_result=False)
def train_model(
    recipe: str,
    out: str,
    shards: tuple[str, ...] = (),
    overrides: dict[str, Any] | None = None,
    workers: int | None = None,
    device: Device = "auto",
) -> TrainOutcome:
    """Train a network by a recipe, or go on with a training that was stopped.

    Args:
        recipe: name of a packaged recipe, or a path or URI that ends in ``.toml``.
        out: local folder for weights, card, checkpoints, curve and pictures.
        shards: folders or URIs of patches; without any, brackets are rendered below ``out`` and
            cut as the recipe says.
        overrides: dotted key -> value, in place of the recipe's own; the last word is ``workers``.
        workers: training processes; None takes the recipe's number.
        device: where to train; ``auto`` takes GPUs where the cluster has some.

    Raises:
        UsageError: recipe, shards, checkpoints or options are wrong, or the loss is no number.
        LockedError: another run trains in ``out``.
        InfrastructureError: Ray, disk or network failed.
    """
    changes = dict(overrides or {})
    if workers is not None:
        changes["training.workers"] = workers
    chosen = with_overrides(load_recipe(recipe), changes)
    check_model(chosen)
    out = local_folder(out)
    with hold_folder(out):
        take_training_folder(out, rendering=not shards)  # before anything is rendered into it
        run = TrainRun(
            recipe=chosen,
            shards=tuple(map(storage.absolute, shards)) or (generated_shards(out, chosen.data),),
            out=out,
            device=device,
        )
        outcome = train_step(run)
        publish_step(run, outcome)
    return outcome


def generated_shards(out: str, data: DataSettings) -> str:
    """Render an archive as a recipe's ``data`` says and cut it, both below ``out``.

    Returns:
        where the patches are.

    Raises:
        UsageError: what :func:`flows.shard.shard_archive` raises.
    """
    archive, shards = storage.join(out, "archive"), storage.join(out, "shards")
    wanted = data.generate
    if wanted.dynamic is not None:
        shard_archive(dynamic_archive(archive, wanted.dynamic).folder, shards, data.shard)
        return shards
    plan = ArchivePlan(seed=wanted.seed, megapixels=wanted.megapixels, broken_index=None)
    make_archive_step(archive, brackets=wanted.brackets, plan=plan, log=run_log())
    shard_archive(archive, shards, data.shard)
    return shards
