# SPDX-License-Identifier: Apache-2.0
"""Find the brackets of an archive.

The listing is walked folder by folder. Each folder goes to the layouts in turn; what none of them
claims is grouped by EXIF, and what carries no exposure by looks. Every image file ends up as a
frame of exactly one bracket or single, or as the label or twin of one; this is checked.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal, get_args

from pipeline.archive import exif, kalantari, mefb, sice
from pipeline.archive import folder as by_folder
from pipeline.archive.brightness import thumbnail
from pipeline.archive.folders import folders_of
from pipeline.archive.layout import Claim, Folder, Tools
from pipeline.archive.shot import Shot, natural_key, single
from pipeline.archive.siblings import Siblings
from pipeline.archive.summary import ScanSummary, Tally, summarize
from pipeline.archive.twins import TwinChoice, pair_twins
from pipeline.bracket import Bracket
from pipeline.errors import InfrastructureError, UsageError
from pipeline.images.reading import read_header
from pipeline.listing import FileInfo, list_files

__all__ = [
    "LayoutName",
    "ScanOptions",
    "ScanResult",
    "ScanSummary",
    "scan",
    "scan_iter",
    "summarize",
]

LayoutName = Literal["auto", "sice", "mefb", "kalantari", "exif", "folder"]
_LAYOUTS = {"sice": sice.find, "mefb": mefb.find, "kalantari": kalantari.find}
_FOLDERS_AHEAD = 4  # folders worked on at once, so that remote storage is not waited for


@dataclass(frozen=True, kw_only=True)
class ScanOptions:
    """How to scan.

    Raises:
        UsageError: ``option-invalid``, naming what is allowed.
    """

    layout: LayoutName = "auto"
    """How brackets lie in folders; ``auto`` finds out folder by folder. ``folder`` takes each
    folder as one bracket, whatever its pictures look like."""
    twins: TwinChoice = "jpeg"
    """Which file of a RAW+JPEG pair is fused."""
    max_gap_s: float = 3.0
    """Idle seconds between two frames, exposure times taken out, that end a bracket."""
    min_frames: int = 2
    """Fewest frames of a bracket that the scan forms itself."""
    max_frames: int = 20
    """Most frames of a bracket that the scan forms itself."""
    threads: int = 8
    """Headers read side by side."""
    settle_s: float = 0.0
    """A folder in which a file changed less than so many seconds ago is left alone for this time:
    it may still be on its way. 0 takes everything as it is."""

    def __post_init__(self) -> None:
        for option, value, allowed in (
            ("--layout", self.layout, get_args(LayoutName)),
            ("--twins", self.twins, get_args(TwinChoice)),
        ):
            if value not in allowed:
                raise UsageError(
                    "option-invalid", f"{option} {value!r} is not one of {', '.join(allowed)}."
                )
        if not 0 <= self.max_gap_s <= 3600:
            raise UsageError("option-invalid", f"max_gap_s {self.max_gap_s} is not in 0..3600.")
        if not 2 <= self.min_frames <= self.max_frames <= 100:
            raise UsageError(
                "option-invalid",
                f"min_frames {self.min_frames} and max_frames {self.max_frames} must satisfy "
                "2 <= min_frames <= max_frames <= 100.",
            )
        if not 1 <= self.threads <= 256:
            raise UsageError("option-invalid", f"threads {self.threads} is not within 1..256.")
        if not 0 <= self.settle_s < math.inf:
            raise UsageError(
                "option-invalid", f"--settle {self.settle_s} is no duration such as 90s, 10m or 2h."
            )


@dataclass(frozen=True, kw_only=True)
class ScanResult:
    """Brackets and singles, sorted by the path of their first frame, and their counts."""

    brackets: list[Bracket]
    summary: ScanSummary


def scan(
    source: str,
    *,
    options: ScanOptions,
    skip: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> ScanResult:
    """Scan an archive.

    Args:
        source: URI of a folder.
        options: how to scan.
        skip: a folder to leave out, such as a destination inside the source.
        progress: called with the number of files looked at since the last call.

    Raises:
        UsageError: ``source-missing``.
        InfrastructureError: ``storage-failed``.
    """
    tally = Tally()
    found = scan_iter(source, options=options, skip=skip, progress=progress, tally=tally)
    brackets = sorted(found, key=lambda bracket: min(frame.path for frame in bracket.frames))
    return ScanResult(brackets=brackets, summary=tally.summary())


def scan_iter(
    source: str,
    *,
    options: ScanOptions,
    skip: str | None = None,
    progress: Callable[[int], None] | None = None,
    tally: Tally | None = None,
) -> Iterator[Bracket]:
    """As :func:`scan`, folder by folder in the order of the walk, in memory of a few folders."""
    counts = tally or Tally()
    siblings = Siblings(source)
    with (
        ThreadPoolExecutor(options.threads, thread_name_prefix="headers") as headers,
        ThreadPoolExecutor(_FOLDERS_AHEAD, thread_name_prefix="folders") as workers,
    ):
        tools = Tools(
            read_header=read_header, thumbnail=thumbnail, siblings=siblings.files, pool=headers
        )
        folders = _settled(
            folders_of(list_files(source, skip=skip), source), options.settle_s, counts
        )

        def work(folder: Folder) -> tuple[Folder, Claim]:
            return folder, find_in(folder, tools, options)

        for folder, claim in _ahead(work, folders, workers):
            for bracket in claim.brackets:
                counts.bracket(bracket)
            counts.labels(len(claim.labels))
            members = (folder, *folder.children)
            counts.ignored(file for member in members for file in member.others)
            yield from claim.brackets
            if progress is not None:
                progress(sum(len(member.files) + len(member.others) for member in members))


def find_in(folder: Folder, tools: Tools, options: ScanOptions) -> Claim:
    """All brackets and singles of one folder.

    Raises:
        InfrastructureError: ``counts-mismatch``, a file was lost or used twice (a bug).
    """
    if folder.children:
        return _find_in_scene(folder, tools, options)
    files, twins = pair_twins(folder.files, options.twins)
    tools = replace(tools, twins=twins)
    rest = replace(folder, files=tuple(files))
    brackets: list[Bracket] = []
    labels: list[FileInfo] = []
    for name, find in _LAYOUTS.items():
        if options.layout not in ("auto", name) or not rest.files:
            continue
        claim = find(rest, tools)
        if claim is not None:
            brackets += claim.brackets
            labels += claim.labels
            rest = replace(rest, files=claim.rest)
    if rest.files:
        claim = _find_others(rest, tools, options)
        brackets += claim.brackets
        labels += claim.labels
    claim = Claim(brackets=tuple(brackets), labels=tuple(labels))
    _check(folder, claim)
    return claim


def _find_others(folder: Folder, tools: Tools, options: ScanOptions) -> Claim:
    """By exposure, else by looks, else singles."""
    if options.layout == "folder":
        return by_folder.take_whole(folder, tools)
    shots = tools.shots(folder.files)
    if options.layout not in ("auto", "exif"):
        reason = f"not part of the {options.layout} layout"
        return Claim(brackets=tuple(_singles(shots, folder, options.layout, reason)))
    groups, left = exif.group(
        shots,
        max_gap_s=options.max_gap_s,
        min_frames=options.min_frames,
        max_frames=options.max_frames,
    )
    found = [exif.to_bracket(group, source=folder.source) for group in groups]
    exposed = [shot for shot in left if shot.ev is not None]
    bare = [shot for shot in left if shot.ev is None]
    if options.layout == "auto" and not found and _stale(exposed):
        bare, exposed = left, []
    reason = f"no other exposure of this view within {options.max_gap_s:g} s"
    found += _singles(exposed, folder, "exif", reason)
    if options.layout == "exif":
        found += _singles(bare, folder, "exif", "no exposure time in EXIF")
        return Claim(brackets=tuple(found))
    looks = by_folder.find_among(
        bare, folder, tools, min_frames=options.min_frames, max_frames=options.max_frames
    )
    return Claim(brackets=(*found, *looks.brackets), labels=looks.labels)


def _singles(shots: Iterable[Shot], folder: Folder, layout: str, reason: str) -> Iterator[Bracket]:
    for shot in sorted(shots, key=lambda shot: natural_key(shot.path)):
        yield single(shot, source=folder.source, layout=layout, reason=reason)


def _stale(shots: list[Shot]) -> bool:
    """Several files with the very same moment and exposure: copies of one file's EXIF."""
    facts = {(shot.captured_s, shot.ev) for shot in shots}
    return len(shots) > 1 and len(facts) == 1


def _find_in_scene(folder: Folder, tools: Tools, options: ScanOptions) -> Claim:
    """A folder whose subfolders belong together, or do not."""
    if options.layout in ("auto", "kalantari"):
        claim = kalantari.find(folder, tools)
        if claim is not None:
            rest = find_in(replace(folder, files=claim.rest, children=()), tools, options)
            whole = Claim(
                brackets=claim.brackets + rest.brackets, labels=claim.labels + rest.labels
            )
            _check(folder, whole)
            return whole
    parts = [
        find_in(part, tools, options) for part in (*folder.children, replace(folder, children=()))
    ]
    return Claim(
        brackets=tuple(chain.from_iterable(part.brackets for part in parts)),
        labels=tuple(chain.from_iterable(part.labels for part in parts)),
    )


def _check(folder: Folder, claim: Claim) -> None:
    """Nothing lost, nothing used twice."""
    used = [label.uri for label in claim.labels]
    for bracket in claim.brackets:
        for frame in bracket.frames:
            used.append(frame.uri)
            if frame.twin_uri is not None:
                used.append(frame.twin_uri)
    there = [file.uri for member in (folder, *folder.children) for file in member.files]
    if sorted(used) != sorted(there):
        name = os.fspath(folder.path) or folder.source
        raise InfrastructureError(
            "counts-mismatch",
            f"{name} holds {len(there)} image files, but {len(used)} are in the catalog; this is "
            "a bug of bracketflow, please report it with the names of the files.",
        )


def _settled(folders: Iterable[Folder], settle_s: float, counts: Tally) -> Iterator[Folder]:
    """The folders in which nothing changed of late; files of the others are counted."""
    latest_ns = (time.time() - settle_s) * 1e9
    for folder in folders:
        members = (folder, *folder.children)
        times = [file.mtime_ns or 0 for part in members for file in (*part.files, *part.others)]
        if settle_s and times and max(times) > latest_ns:
            counts.unsettled(sum(len(part.files) for part in members))
        else:
            yield folder


def _ahead(
    work: Callable[[Folder], tuple[Folder, Claim]],
    folders: Iterable[Folder],
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[Folder, Claim]]:
    """Map in order, a few folders ahead of the consumer and no more."""
    running: deque[Future[tuple[Folder, Claim]]] = deque()
    try:
        for folder in folders:
            running.append(pool.submit(work, folder))
            if len(running) > 2 * _FOLDERS_AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()
