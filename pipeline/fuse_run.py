# SPDX-License-Identifier: Apache-2.0
"""The steps of a fusing run, each a plain function; ``flows.fuse`` puts them in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from pipeline import storage
from pipeline.archive.catalog import read_brackets
from pipeline.bracket import Bracket
from pipeline.fusing import FuseRecipe
from pipeline.models import ChosenModel
from pipeline.naming import Names
from pipeline.planning import FuseJob, Settled, Standing, each_once, plan, standing_results
from pipeline.runs import Run
from pipeline.settings import FuseSettings

__all__ = ["FuseRun", "Plan", "make_plan"]


@dataclass(frozen=True, kw_only=True)
class FuseRun(Run):
    """What a fusing run was asked to do."""

    settings: FuseSettings
    model: ChosenModel
    """What ``settings.model`` names."""

    @property
    def catalog_uri(self) -> str:
        """Where this run's catalog is kept."""
        return storage.join(self.destination, "catalog", f"run={self.run_id}.parquet")

    @property
    def recipe(self) -> FuseRecipe:
        """What the workers need."""
        return FuseRecipe(
            settings=self.settings,
            model=self.model,
            destination=self.destination,
            run_id=self.run_id,
        )

    def describe(self) -> dict[str, Any]:
        return super().describe() | {
            "catalog": self.catalog_uri,
            "settings": asdict(self.settings),
            "settings_sha256": self.settings.sha256,
            "model": asdict(self.model.card),
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The work of a run, handed out in chunks so that a driver never holds an archive."""

    run: FuseRun
    found: int
    names: Names
    standing: Standing

    def chunks(self, size: int) -> Iterator[tuple[FuseJob | Settled, ...]]:
        """Decisions over all brackets of the catalog, ``size`` at a time."""
        decisions = plan(
            read_brackets(self.run.catalog_uri),
            names=self.names,
            settings=self.run.settings,
            weights_sha256=self.run.model.weights_sha256,
            destination=self.run.destination,
            standing=self.standing,
            run_id=self.run.run_id,
        )
        while chunk := tuple(islice(decisions, size)):
            yield chunk


def make_plan(run: FuseRun) -> Plan:
    """Look at the catalog and at what stands at the destination.

    Raises:
        UsageError: ``catalog-invalid``, a bracket is in it twice.
    """
    found = 0

    def counted() -> Iterator[Bracket]:
        nonlocal found
        for bracket in each_once(read_brackets(run.catalog_uri)):
            found += 1
            yield bracket

    names = Names(counted(), template=run.settings.name, model=run.model.name)
    return Plan(
        run=run,
        found=found,
        names=names,
        standing=standing_results(run.destination),
    )
