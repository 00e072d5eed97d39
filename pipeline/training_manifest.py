# SPDX-License-Identifier: Apache-2.0
"""What a training was and what came of it, written last: ``OUT/manifest.json``."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pipeline import storage
from pipeline.errors import PhotoError
from pipeline.recipe import Recipe
from pipeline.runs import git_revision, versions
from pipeline.training import TrainOutcome, TrainRun
from pipeline.weights import initial_sha256

__all__ = ["finished_training", "write_training_manifest"]

_MANIFEST = "manifest.json"


def write_training_manifest(run: TrainRun, outcome: TrainOutcome) -> str:
    """Write the manifest of a training that ended; returns its URI.

    Raises:
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    facts = {
        "recipe": asdict(run.recipe),
        "recipe_sha256": run.recipe.sha256,
        "shards": run.shards,
        "finished_at": datetime.now(UTC).isoformat(),
        "versions": versions(),
        "git_revision": git_revision(),
    } | asdict(outcome)
    uri = storage.join(run.out, _MANIFEST)
    storage.write_atomic(uri, json.dumps(facts, indent=2, ensure_ascii=True).encode("ascii"))
    return uri


def finished_training(out: str, recipe: Recipe, contents: str) -> dict[str, Any] | None:
    """The manifest of a training that ended in ``out``; None unless it was by this recipe, on these
    patches and from the same weights.

    Args:
        out: URI of the training's folder.
        recipe: what is asked for.
        contents: of the shards, :func:`pipeline.sharding.contents.contents_sha256`.

    Raises:
        UsageError: ``weights-invalid``, the weights to begin with cannot be read.
        InfrastructureError: ``storage-failed``.
    """
    try:
        with storage.open_read(storage.join(out, _MANIFEST)) as handle:
            facts = json.loads(handle.read())
    except (PhotoError, ValueError):
        return None  # none, or a damaged one: the training goes on from its checkpoints
    wanted = {
        "recipe_sha256": recipe.sha256,
        "contents": contents,
        "init_sha256": initial_sha256(recipe.training.init),
    }
    known = isinstance(facts, dict) and facts.items() >= wanted.items()
    return facts if known else None
