# SPDX-License-Identifier: Apache-2.0
"""A run: its id, its counts, the promise that nothing is lost, and its manifest."""

from __future__ import annotations

import math
import platform
import secrets
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from pipeline.errors import InfrastructureError, UsageError
from pipeline.ledger import read_report, set_clock, write_manifest
from pipeline.profiling import Profile
from pipeline.report.schema import Fate, Row
from pipeline.standing import Standing

__all__ = [
    "Counts",
    "FailureBudget",
    "Outcome",
    "Run",
    "begin_rows",
    "git_revision",
    "new_run_id",
    "publish",
    "versions",
]

_PACKAGES = (
    "bracketflow",
    "torch",
    "ray",
    "prefect",
    "numpy",
    "pyarrow",
    "opencv-python-headless",
    "pillow",
    "imagecodecs",
)
_OF_RADIANCE = ("mef_ssim_preview", "ghost_share", "psnr_mu_db")


def new_run_id(now: datetime | None = None) -> str:
    """An id that sorts by time: UTC to the second and six random hex digits."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    return f"{stamp}-{secrets.token_hex(3)}"


def versions() -> dict[str, str]:
    """Installed versions of what decides a result."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_revision() -> str | None:
    """The revision of the checkout this code runs from, None for an installed package."""
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


@dataclass
class Counts:
    """found = fused + reused + skipped + quarantined, as a run goes on."""

    found: int = 0
    fused: int = 0
    reused: int = 0
    skipped: int = 0
    quarantined: int = 0
    failed_before: int = 0
    """Of the quarantined ones, those that an earlier run tried, and nothing changed since."""
    gone: int = 0
    """Brackets of earlier runs whose photographs are gone."""
    superseded: int = 0
    """Brackets of earlier runs that one with more or fewer of their frames took the place of."""
    pruned: int = 0
    """Brackets of earlier runs that were removed, for their photographs are gone."""
    rows: int = 0
    """Rows handed to the ledger; the report must hold as many of this run."""
    codes: Counter[str] = field(default_factory=Counter)
    """How often each error code came up."""

    def add(self, status: str, row: Row | None, count: int = 1) -> None:
        """Count brackets and their row, if one of them got one."""
        setattr(self, status, getattr(self, status) + count)
        if row is not None:
            self.rows += 1
            if row["error_code"] is not None:
                self.codes[row["error_code"]] += 1
        elif status == "quarantined":
            self.failed_before += count

    def retire(self, fate: Fate) -> None:
        """Count a bracket of an earlier run that this one did not find, and its row."""
        name = {"source_gone": "gone"}.get(fate, fate)
        setattr(self, name, getattr(self, name) + 1)
        self.rows += 1

    @property
    def done(self) -> int:
        return self.fused + self.reused + self.skipped + self.quarantined

    def check(self) -> None:
        """Hold the promise that nothing is lost.

        Raises:
            InfrastructureError: ``counts-mismatch``.
        """
        if self.found != self.done:
            raise InfrastructureError(
                "counts-mismatch",
                f"{self.found} found, but {self.fused} fused + {self.reused} reused + "
                f"{self.skipped} skipped + {self.quarantined} quarantined = {self.done}. "
                "Run the command again; if it stays, please report it with the manifest.",
            )

    def as_dict(self) -> dict[str, Any]:
        return {
            "found": self.found,
            "fused": self.fused,
            "reused": self.reused,
            "skipped": self.skipped,
            "quarantined": self.quarantined,
            "failed_before": self.failed_before,
            "gone": self.gone,
            "superseded": self.superseded,
            "pruned": self.pruned,
            "codes": dict(sorted(self.codes.items())),
        }


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run was asked to do; ``source`` and ``destination`` are URIs."""

    source: str
    destination: str
    run_id: str = field(default_factory=new_run_id)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def describe(self) -> dict[str, Any]:
        """The run's part of its manifest."""
        return {
            "run_id": self.run_id,
            "source": self.source,
            "destination": self.destination,
            "started_at": self.started_at.isoformat(),
        }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a run."""

    run_id: str
    destination: str
    counts: Counts
    mean_mef_ssim: float | None
    """Mean of the headline over the brackets scored in this run; None if there is none."""
    manifest_uri: str
    radiance_means: Mapping[str, float] = field(default_factory=dict)
    """Likewise of the radiances' measures; empty where none was made."""
    page_uri: str | None = None
    """The page to look at, if one was made."""
    page_note: str | None = None
    """Why there is none, if one was wanted."""
    profile: Profile | None = None
    """Where the time went, if that was asked for."""


def begin_rows(run: Run, standing: Standing) -> None:
    """See that the rows of a run are newer than all that stand, whatever the clock says."""
    not_before = standing.not_before(datetime.now(UTC))
    if not_before is not None:
        set_clock(run.destination, run.run_id, not_before)


def publish(run: Run, counts: Counts) -> Outcome:
    """Check that nothing was lost and write the manifest, the last file of a run.

    Raises:
        InfrastructureError: ``counts-mismatch``.
    """
    counts.check()
    rows = read_report(
        run.destination,
        run_id=run.run_id,
        columns=["mef_ssim", *_OF_RADIANCE, "fate"],
        newest=False,
    )
    if len(rows) != counts.rows:
        raise InfrastructureError(
            "counts-mismatch",
            f"{counts.rows} rows were made, but {len(rows)} are in the report of run "
            f"{run.run_id}. Run the command again: what is missing is made up for.",
        )
    shown = rows.filter(pc.is_null(rows["fate"]))
    mean: float | None = pc.mean(shown["mef_ssim"]).as_py()
    of_radiance = {name: pc.mean(shown[name]).as_py() for name in _OF_RADIANCE}
    manifest = run.describe() | {
        "finished_at": datetime.now(UTC).isoformat(),
        "versions": versions(),
        "git_revision": git_revision(),
        "counts": counts.as_dict(),
        "mean_mef_ssim": mean,
    }
    return Outcome(
        run_id=run.run_id,
        destination=run.destination,
        counts=counts,
        mean_mef_ssim=mean,
        manifest_uri=write_manifest(run.destination, run.run_id, manifest),
        radiance_means={name: value for name, value in of_radiance.items() if value is not None},
    )


@dataclass(frozen=True)
class FailureBudget:
    """How many brackets may fail in a run: a share of all but the skipped ones, or one.

    What failed in an earlier run, and was not tried again, does not count.
    """

    share: float = 0.10

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UsageError(
                "option-invalid", "--max-failures is a share such as 10% or 0.1, from 0 to 100%."
            )

    @classmethod
    def parse(cls, text: str) -> FailureBudget:
        """``10%`` or ``0.1``.

        Raises:
            UsageError: ``option-invalid``.
        """
        try:
            percent = text.strip().endswith("%")
            value = float(text.strip().rstrip("%")) / (100 if percent else 1)
        except ValueError:
            value = math.nan
        return cls(value)

    def exceeded(self, counts: Counts) -> bool:
        """Whether the run failed too often; 0 allows no failure at all."""
        failed = counts.quarantined - counts.failed_before
        if self.share == 0:
            return failed > 0
        worked_on = counts.fused + counts.reused + failed
        return failed > max(1, math.floor(self.share * worked_on))
