# SPDX-License-Identifier: Apache-2.0
"""The ablation flow: a study in; a table of what each of its variants is worth, and curves, out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.progress import run_log
from flows.train import generated_shards, train_model
from pipeline import storage
from pipeline.errors import UsageError
from pipeline.evaluation import evaluation_of
from pipeline.patches import PatchRef, open_patches
from pipeline.pool import Device
from pipeline.robustness import PLAIN
from pipeline.sharding.contents import contents_sha256
from pipeline.study import Study, Trial, load_study
from pipeline.study_plot import plot_curves
from pipeline.study_report import study_report
from pipeline.study_table import (
    curves_of,
    failed_row,
    rows_of,
    table_of,
    write_parquet,
)
from pipeline.training_folder import hold_folder, local_folder, take_study_folder
from pipeline.training_manifest import finished_training

__all__ = ["AblationOutcome", "run_ablation"]

_OWN_FAILURES = ("loss-not-finite", "recipe-invalid")
"""What a variant itself is to blame for; anything else ends the study."""


@dataclass(frozen=True, kw_only=True)
class AblationOutcome:
    """What became of a study: ``rows`` are those of ``table.parquet``; ``failed`` are the trainings
    without figures, as ``variant/seed-n: code``."""

    rows: tuple[dict[str, Any], ...]
    failed: tuple[str, ...]
    table_uri: str
    report_uri: str
    curves_uri: str
    picture_uri: str


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """What all trainings of a study have in common."""

    study: Study
    out: str
    shards: tuple[str, ...]
    contents: str
    validation: tuple[PatchRef, ...]
    device: Device

    def folder(self, trial: Trial) -> str:
        return storage.join(self.out, *trial.folder)

    def finished(self, trial: Trial) -> dict[str, Any] | None:
        return finished_training(self.folder(trial), trial.recipe, self.contents)


@task(
    name="variant",
    task_run_name="{trial.variant}-seed-{trial.seed}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def variant_step(bench: _Bench, trial: Trial) -> list[dict[str, Any]]:
    """Train a variant with one seed, unless that is done; measure it; the table's rows of it."""
    facts = bench.finished(trial)
    if facts is None:
        train_model(
            bench.study.recipe,
            bench.folder(trial),
            bench.shards,
            trial.overrides,
            device=bench.device,
        )
        facts = bench.finished(trial)
        assert facts is not None  # the flow ends with it
    cuda = bench.device != "cpu" and torch.cuda.is_available()
    evaluation = evaluation_of(
        bench.folder(trial),
        bench.validation,
        trial.recipe.data,
        bench.study.measured,
        torch.device("cuda" if cuda else "cpu"),
    )
    return rows_of(bench.study, trial, facts, evaluation)


@task(name="tables", cache_policy=NO_CACHE, persist_result=False)
def tables_step(
    bench: _Bench, trials: Sequence[Trial], rows: Sequence[dict[str, Any]]
) -> AblationOutcome:
    """Write tables, curves and their picture, and show the table in Prefect."""
    study, out = bench.study, bench.out
    table = table_of(study, rows)
    curves = curves_of(out, trials)
    whole = table.to_pylist()
    report = study_report(study, whole)
    outcome = AblationOutcome(
        rows=tuple(whole),
        failed=tuple(
            f"{row['variant']}/seed-{row['seed']}: {row['error_code']}"
            for row in whole
            if row["error_code"] is not None
        ),
        table_uri=storage.join(out, "table.parquet"),
        report_uri=storage.join(out, "table.md"),
        curves_uri=storage.join(out, "curves.parquet"),
        picture_uri=storage.join(out, "curves.png"),
    )
    write_parquet(outcome.table_uri, table)
    write_parquet(outcome.curves_uri, curves)
    picture = plot_curves(
        curves,
        tuple(study.variants),
        f"{study.name}: validation patches",
        measures=study.measures,
        levels={row["figure"]: row["value"] for row in whole if row["condition"] == PLAIN.name},
    )
    storage.write_atomic(outcome.picture_uri, picture)
    storage.write_atomic(outcome.report_uri, report.encode("utf-8"))
    create_markdown_artifact(
        report, key="bracketflow-ablate", description=f"Study {study.name} in {out}"
    )
    return outcome


@flow(name="ablate", flow_run_name="ablate-{study}", persist_result=False)
def run_ablation(
    study: str,
    out: str,
    shards: tuple[str, ...] = (),
    changes: dict[str, Any] | None = None,
    only: tuple[str, ...] = (),
    seeds: int | None = None,
    device: Device = "auto",
) -> AblationOutcome:
    """Train every variant of a study on the same patches and compare them.

    Each training is below ``out``, as ``<variant>/seed-<n>``; one that has ended there is not done
    again, one that was stopped goes on. The tables tell of those asked for and of all others that
    have ended there.

    Args:
        study: name of a packaged study, or a path or URI that ends in ``.toml``.
        out: local folder for trainings, tables and curves.
        shards: folders or URIs of patches; without any, brackets are rendered below ``out`` and
            cut as the study's recipe says.
        changes: dotted key -> value, in place of the recipe's own, for all variants.
        only: variants to train; all if empty.
        seeds: with how many seeds; by default with the study's.
        device: where to train and measure; ``auto`` takes GPUs where there are some.

    Raises:
        UsageError: study, recipe, shards, checkpoints or options are wrong.
        LockedError: another run is in ``out``.
        InfrastructureError: Ray, disk or network failed.
    """
    chosen = load_study(study).changed(changes or {})
    if seeds is not None:
        chosen = chosen.with_seeds(seeds)
    variants = chosen.chosen(only)
    chosen.check()
    out = local_folder(out)
    with hold_folder(out):
        take_study_folder(out, rendering=not shards)
        places = tuple(map(storage.absolute, shards)) or (generated_shards(out, chosen.base.data),)
        bench = _Bench(
            study=chosen,
            out=out,
            shards=places,
            contents=contents_sha256(places),
            validation=tuple(ref for uri in places for ref in open_patches(uri, "validation")),
            device=device,
        )
        wanted = [chosen.trial(variant, seed) for seed in chosen.seeds for variant in variants]
        rows: list[dict[str, Any]] = []
        there = [trial for trial in _trials_there(bench) if trial not in wanted]
        log = run_log()
        for number, trial in enumerate([*wanted, *there], 1):
            name = "/".join(trial.folder)
            if number <= len(wanted):
                log(f"{name}: training {number} of {len(wanted)} of study {chosen.name}")
            try:
                found = variant_step(bench, trial)
            except UsageError as error:
                if error.code not in _OWN_FAILURES:
                    raise
                log(f"{name}: failed, {error.code}")
                found = [failed_row(chosen, trial, error)]
            rows += found
        return tables_step(bench, [*wanted, *there], rows)


def _trials_there(bench: _Bench) -> Iterator[Trial]:
    """The study's trainings that have ended below its folder, with whatever seed."""
    for variant in bench.study.variants:
        names = storage.names_in(storage.join(bench.out, variant))
        numbers = (name.removeprefix("seed-") for name in names)
        for seed in sorted(int(number) for number in numbers if number.isdecimal()):
            trial = bench.study.trial(variant, seed)
            if bench.finished(trial) is not None:
                yield trial
