# SPDX-License-Identifier: Apache-2.0
"""The steps of a fusing run, each a plain function; ``flows.fuse`` puts them in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import storage
from pipeline.aliases import write_aliases
from pipeline.archive.catalog_columns import catalog_ids, catalog_names
from pipeline.archive.scan import ScanOptions
from pipeline.bulk_planning import chunks, decisions
from pipeline.deciding import Planner
from pipeline.fusing import FuseRecipe
from pipeline.models import ChosenModel
from pipeline.naming import Names
from pipeline.planning import FuseJob, Settled
from pipeline.runs import Run, begin_rows
from pipeline.settings import FuseSettings
from pipeline.standing import Standing
from pipeline.standing_reader import standing_results
from pipeline.work_options import WorkOptions

__all__ = ["FuseRun", "Plan", "make_plan"]


@dataclass(frozen=True, kw_only=True)
class FuseRun(Run):
    """What a fusing run was asked to do."""

    settings: FuseSettings
    model: ChosenModel
    """What ``settings.model`` names."""
    work: WorkOptions = field(default_factory=WorkOptions)
    options: ScanOptions = field(default_factory=ScanOptions)
    """How the source was scanned; `quarantine retry` does it in the same way."""

    def __post_init__(self) -> None:
        """Refuse settings that the model cannot follow.

        Raises:
            UsageError: ``option-invalid``.
        """
        self.settings.output_of(self.model.card)

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
            "work": asdict(self.work),
            "scan": asdict(self.options),
            "model": asdict(self.model.card),
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The work of a run, handed out in chunks so that a driver never holds an archive."""

    run: FuseRun
    ids: NDArray[np.uint64]
    """Ids of all brackets of the catalog, sorted."""
    sources: frozenset[str]
    """What the catalog says that they come from."""
    standing: Standing

    @property
    def found(self) -> int:
        """How many brackets the catalog holds."""
        return len(self.ids)

    @property
    def planner(self) -> Planner:
        """Decides on each of them."""
        run = self.run
        return Planner(
            names=self._names,
            settings=run.settings,
            weights_sha256=run.model.weights_sha256,
            destination=run.destination,
            standing=self.standing,
            run_id=run.run_id,
            work=run.work,
            output=run.recipe.output,
        )

    def _names(self) -> Names:
        named = catalog_names(self.run.catalog_uri)
        return Names(named, template=self.run.settings.name, model=self.run.model.name)

    def chunks(self, size: int) -> Iterator[tuple[FuseJob | Settled, ...]]:
        """Decisions over all brackets of the catalog, ``size`` jobs and rows at a time."""
        run = self.run
        same_as: dict[bytes, bytes] = {}
        decided = decisions(run.catalog_uri, self.planner)
        for number, chunk in enumerate(chunks(decided, size, same_as)):
            if same_as:
                write_aliases(run.destination, run.run_id, number, same_as)
                same_as.clear()
            yield chunk


def make_plan(run: FuseRun) -> Plan:
    """Look at the catalog and at what stands at the destination.

    Raises:
        UsageError: ``catalog-invalid``, a bracket is in it twice.
    """
    ids, sources = catalog_ids(run.catalog_uri)
    standing = standing_results(run.destination)
    begin_rows(run, standing)
    return Plan(run=run, ids=ids, sources=sources, standing=standing)
