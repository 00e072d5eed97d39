# SPDX-License-Identifier: Apache-2.0
"""What is to be done about a bracket: it becomes a job, or is settled at once, or is in doubt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

from pipeline import storage
from pipeline.bracket import Bracket
from pipeline.digests import digest_of
from pipeline.naming import Names
from pipeline.planning import (
    FuseJob,
    Place,
    Settled,
    known_row,
    last_of,
    settled_by_scan,
    stands,
    stays_failed,
)
from pipeline.settings import FuseSettings, KeyMaker, Output
from pipeline.standing import Before, Standing
from pipeline.work_options import WorkOptions

__all__ = ["Doubt", "Planner"]


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A bracket that differs from what stands in its files' times alone.

    If its frames have these contents still, it is reused; else it is work.
    """

    job: FuseJob
    sha256s: tuple[str, ...]
    """Hashes of its frames, and of its label if it has one, when the result was made."""
    digest: bytes
    """Of its key."""
    stands_for: bytes
    """Of the key of that result."""
    reused: Settled

    def uris(self) -> list[str]:
        """The files to be compared, in the order of the hashes."""
        bracket = self.job.bracket
        label = [bracket.label_uri] if bracket.label_uri is not None else []
        return [*(frame.uri for frame in bracket.frames), *label]


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Decides on brackets, one at a time: the rules that ``pipeline.bulk_planning`` hurries up.

    ``names`` is asked for with the first job, since it takes a look at the whole catalog.
    ``singles`` decides on frames that belong to no bracket, where they are worked on.
    """

    names: Callable[[], Names]
    settings: FuseSettings
    weights_sha256: str | None
    destination: str
    standing: Standing
    run_id: str
    work: WorkOptions = field(default_factory=WorkOptions)
    output: Output = "fusion"
    singles: Planner | None = None

    @cached_property
    def _names(self) -> Names:
        return self.names()

    @cached_property
    def keys(self) -> KeyMaker:
        """Makes the keys."""
        return KeyMaker(self.settings, self.weights_sha256, self.output)

    def decide(self, bracket: Bracket) -> FuseJob | Settled | Doubt:
        """What is to be done about one bracket.

        It is reused when a result with the same key is still there; a single is skipped, unless
        there is a planner for singles; what the scan could not read is quarantined, and so is what
        failed before and did not change; what differs from a result in its files' times alone is
        doubtful; the rest is work.
        """
        if bracket.kind == "single" and self.singles is not None:
            return self.singles._decide(bracket, skip_singles=False)
        return self._decide(bracket, skip_singles=True)

    def _decide(self, bracket: Bracket, *, skip_singles: bool) -> FuseJob | Settled | Doubt:
        standing, work = self.standing, self.work
        key = self.keys.key(bracket)
        settled = settled_by_scan(
            bracket,
            key=key,
            standing=standing,
            run_id=self.run_id,
            work=work,
            skip_singles=skip_singles,
        )
        if settled is not None:
            return settled
        before = last_of(bracket.id, standing)
        if before is None or work.force:
            return self._job(bracket, key)
        reused = Settled(status="reused", row=known_row(before, standing, run_id=self.run_id))
        digest = standing.aliases.resolve(digest_of(key))
        if stands(bracket, digest=digest, standing=standing, destination=self.destination):
            return reused
        if stays_failed(before, digest, work):
            return replace(reused, status="quarantined")
        job = self._job(bracket, key)
        if before.digest == digest or before.timeless != digest_of(job.timeless_key):
            return job
        return self._doubt(job, before, reused) or job

    def _doubt(self, job: FuseJob, before: Before, reused: Settled) -> Doubt | None:
        """Whether the contents may tell that a result stands for a bracket with other times."""
        bracket, standing = job.bracket, self.standing
        if not stands(
            bracket, digest=before.digest, standing=standing, destination=self.destination
        ):
            return None
        row = standing.row(before.place, ("frame_sha256s", "reference_sha256"))
        sha256s = list(row["frame_sha256s"] or ())
        if bracket.label_uri is not None:
            sha256s.append(row["reference_sha256"])
        doubt = Doubt(
            job=job,
            sha256s=tuple(sha256s),
            digest=digest_of(job.key),
            stands_for=before.digest,
            reused=reused,
        )
        return doubt if len(sha256s) == len(doubt.uris()) and None not in sha256s else None

    def _job(self, bracket: Bracket, key: str) -> FuseJob:
        extension, beside = self.settings.extensions(self.output)
        place = self._place(bracket, extension)
        return FuseJob(
            bracket=bracket,
            key=key,
            timeless_key=self.keys.key(bracket, timeless=True),
            result_uri=place.uri,
            result_path=place.path,
            ours_sha256=place.ours_sha256,
            display=None if beside is None else self._place(bracket, beside),
        )

    def _place(self, bracket: Bracket, extension: str) -> Place:
        path = f"results/{self._names.path(bracket, extension)}"
        return Place(
            uri=storage.join(self.destination, *path.split("/")),
            path=path,
            ours_sha256=frozenset(
                one.sha256 for one in self.standing.ours(path) if one.may_give_way_to(bracket)
            ),
        )
