# SPDX-License-Identifier: Apache-2.0
"""The steps of a fusing run, each a plain function; ``flows.fuse`` puts them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from model import zoo
from pipeline import storage
from pipeline.archive.catalog import read_brackets
from pipeline.bracket import Bracket
from pipeline.errors import UsageError
from pipeline.fleet import Fleet
from pipeline.fusing import FuseRecipe
from pipeline.ledger import Ledger
from pipeline.naming import Names
from pipeline.planning import FuseJob, Settled, Standing, plan, standing_results
from pipeline.report.schema import Row
from pipeline.runs import Counts, Run
from pipeline.settings import FuseSettings

__all__ = ["FuseRun", "Plan", "fuse_chunk", "make_plan"]


@dataclass(frozen=True, kw_only=True)
class FuseRun(Run):
    """What a fusing run was asked to do."""

    settings: FuseSettings

    @property
    def catalog_uri(self) -> str:
        """Where this run's catalog is kept."""
        return storage.join(self.destination, "catalog", f"run={self.run_id}.parquet")

    @property
    def recipe(self) -> FuseRecipe:
        """What the workers need."""
        return FuseRecipe(settings=self.settings, destination=self.destination, run_id=self.run_id)

    def describe(self) -> dict[str, Any]:
        return super().describe() | {
            "catalog": self.catalog_uri,
            "settings": asdict(self.settings),
            "settings_sha256": self.settings.sha256,
            "model": asdict(zoo.card(self.settings.model)),
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
            weights_sha256=zoo.card(self.run.settings.model).weights_sha256,
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
    seen: set[int] = set()

    def counted() -> Iterator[Bracket]:
        for bracket in read_brackets(run.catalog_uri):
            number = int(bracket.id, 16)
            if number in seen:
                raise UsageError(
                    "catalog-invalid",
                    f"The bracket of {bracket.frames[0].path} is in the catalog twice; scan the "
                    "archive again.",
                )
            seen.add(number)
            yield bracket

    names = Names(counted(), template=run.settings.name, model=run.settings.model)
    return Plan(
        run=run,
        found=len(seen),
        names=names,
        standing=standing_results(run.destination),
    )


def fuse_chunk(
    fleet: Fleet | None,
    ledger: Ledger,
    chunk: Iterable[FuseJob | Settled],
    counts: Counts,
    advance: Callable[[Row | None], None],
) -> None:
    """Settle or fuse every bracket of a chunk; ``advance`` is called once for each.

    ``fleet`` may be None for a chunk in which everything is settled.
    """
    jobs: list[FuseJob] = []
    for decision in chunk:
        if isinstance(decision, FuseJob):
            jobs.append(decision)
            continue
        if decision.row is not None:
            ledger.append(decision.row)
        counts.add(decision.status, decision.row)
        advance(decision.row)
    if fleet is None:
        if jobs:
            raise ValueError("a chunk with work needs a fleet")
        return
    for row in fleet.run(jobs):
        counts.add(row["status"], row)
        advance(row)
