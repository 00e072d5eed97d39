# SPDX-License-Identifier: Apache-2.0
"""The steps of a fusing run, each a plain function; ``flows.fuse`` puts them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import storage
from pipeline.aliases import write_aliases
from pipeline.archive.catalog_columns import catalog_ids, catalog_names
from pipeline.archive.scan import ScanOptions
from pipeline.bracket import Bracket
from pipeline.bulk_planning import chunks, decisions
from pipeline.deciding import Planner
from pipeline.fusing import FuseRecipe
from pipeline.models import ChosenModel
from pipeline.naming import Named, Names
from pipeline.planning import FuseJob, Settled
from pipeline.runs import Run, begin_rows
from pipeline.settings import FuseSettings
from pipeline.standing import Standing
from pipeline.standing_reader import standing_results
from pipeline.work_options import WorkOptions

__all__ = ["FuseRun", "Plan", "make_plan", "planner_of"]


@dataclass(frozen=True, kw_only=True)
class FuseRun(Run):
    """What a fusing run was asked to do."""

    settings: FuseSettings
    model: ChosenModel
    """What ``settings.model`` names."""
    singles: ChosenModel | None = None
    """What ``settings.singles`` names."""
    work: WorkOptions = field(default_factory=WorkOptions)
    options: ScanOptions = field(default_factory=ScanOptions)
    """How the source was scanned; `quarantine retry` does it in the same way."""

    def __post_init__(self) -> None:
        """Refuse settings that the model cannot follow.

        Raises:
            UsageError: ``option-invalid``.
        """
        alone = None if self.singles is None else self.singles.card
        self.settings.check(self.model.card, alone)

    @property
    def catalog_uri(self) -> str:
        """Where this run's catalog is kept."""
        return storage.join(self.destination, "catalog", f"run={self.run_id}.parquet")

    @property
    def recipe(self) -> FuseRecipe:
        """What the workers need."""
        recipe = FuseRecipe(
            settings=self.settings.of_brackets(self.model.card),
            model=self.model,
            destination=self.destination,
            run_id=self.run_id,
        )
        settings = self.settings.of_singles()
        if settings is None or self.singles is None:
            return recipe
        return replace(recipe, singles=replace(recipe, settings=settings, model=self.singles))

    def describe(self) -> dict[str, Any]:
        return super().describe() | {
            "catalog": self.catalog_uri,
            "settings": asdict(self.settings),
            "settings_sha256": self.settings.sha256,
            "work": asdict(self.work),
            "scan": asdict(self.options),
            "model": asdict(self.model.card),
            **({} if self.singles is None else {"singles_model": asdict(self.singles.card)}),
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
        catalog = self.run.catalog_uri
        return planner_of(
            self.run.recipe,
            named=lambda: catalog_names(catalog),
            standing=self.standing,
            work=self.run.work,
        )

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


def planner_of(
    recipe: FuseRecipe,
    *,
    named: Callable[[], Iterable[Named | Bracket]],
    standing: Standing,
    work: WorkOptions,
) -> Planner:
    """The planner of a run.

    Args:
        recipe: what its workers need.
        named: gives what all results are named after, singles included.
        standing: what stands at the destination.
        work: what is done again.
    """
    return Planner(
        names=lambda: Names(named(), template=recipe.settings.name, model=recipe.model.name),
        settings=recipe.settings,
        weights_sha256=recipe.model.weights_sha256,
        destination=recipe.destination,
        standing=standing,
        run_id=recipe.run_id,
        work=work,
        output=recipe.output,
        singles=None
        if recipe.singles is None
        else planner_of(recipe.singles, named=named, standing=standing, work=work),
    )


def make_plan(run: FuseRun) -> Plan:
    """Look at the catalog and at what stands at the destination.

    Raises:
        UsageError: ``catalog-invalid``, a bracket is in it twice.
    """
    ids, sources = catalog_ids(run.catalog_uri)
    standing = standing_results(run.destination)
    begin_rows(run, standing)
    return Plan(run=run, ids=ids, sources=sources, standing=standing)
