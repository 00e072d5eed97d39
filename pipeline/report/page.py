# SPDX-License-Identifier: Apache-2.0
"""The page: a folder with an ``index.html`` that opens from a disk, without a server.

Below the folder::

    index.html        written last
    page.json         whose folder it is, and which of its parts belong to us
    made-<id>/        plots, data, scripts and styles; pictures where they do not lie beside it

Making the page again writes a new ``made-<id>`` beside the old one, then ``index.html``, and then
removes the old one: whoever looks sees one state or the other.
"""

from __future__ import annotations

import json
import posixpath
import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from urllib.parse import quote

from pipeline import storage
from pipeline.errors import PhotoError, UsageError
from pipeline.naming import preview_paths
from pipeline.report.gathering import Gathered
from pipeline.report.html import page_html
from pipeline.report.plots import Plot, plots_of
from pipeline.report.rows_js import OTHER, PICTURES, details_scripts, pictures_of, rows_script

__all__ = ["INDEX", "PAGE", "page_folder", "write_page"]

PAGE = "page"
"""Where a destination's own page is, below it."""
INDEX = "index.html"

_MARK = "page.json"
_STATIC = (
    "icon.svg",
    "page.css",
    "page.js",
    "panel.js",
    "tabulator.LICENSE.txt",
    "tabulator.min.css",
    "tabulator.min.js",
)
_MADE = re.compile(r"made-[0-9a-f]{8}")
_OURS = re.compile(
    rf"(?:{'|'.join(map(re.escape, _STATIC))}|rows\.js|details-[0-9]{{4,}}\.js|[a-z-]+\.svg"
    r"|(?:pictures|other)/[0-9a-f]{2}/[0-9a-f]{16}(?:_map\.png|(?:_frames|_weights)?\.jpg))"
)
_COPIERS = 8


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Where things lie as seen from ``index.html``; None where they cannot be reached from it."""

    made: str
    previews: str
    results: str | None
    other: str | None

    def as_dict(self) -> dict[str, str | None]:
        return {
            "made": self.made,
            "previews": self.previews,
            "results": self.results,
            "otherPreviews": self.other,
        }


def page_folder(destination: str) -> str:
    """The folder of a destination's own page."""
    return storage.join(destination, PAGE)


def write_page(gathered: Gathered, out: str | None = None) -> str:
    """Write a page and return the URI of its ``index.html``.

    Args:
        gathered: what it shows.
        out: its folder; the destination's own by default, which shows the previews where they lie.
            In any other folder the pictures are copied, so that it can be moved and handed on.

    Raises:
        UsageError: ``destination-invalid``, the folder holds what bracketflow did not write.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    own = page_folder(gathered.destination)
    out = out or own
    made = f"made-{secrets.token_hex(4)}"
    before = _take(out, made)
    pictures = [pictures_of(row) for row in gathered.rows]
    places = _places(gathered, out, made, beside=out == own)
    if out != own:
        pictures = _copy_pictures(gathered, storage.join(out, made, "pictures"), pictures)
    pictures = _with_others(gathered, storage.join(out, made), places, pictures, beside=out == own)
    plots = plots_of(gathered.figures)
    for name, data in _files(gathered, plots, pictures, places):
        storage.write_atomic(storage.join(out, made, name), data)
    html = page_html(gathered, plots, pictures, made=made, previews=places.previews)
    index = storage.join(out, INDEX)
    storage.write_atomic(index, html.encode("utf-8"))
    for folder in before:
        _remove(storage.join(out, folder))
    _mark(out, [made])
    return index


def _files(
    gathered: Gathered, plots: list[Plot], pictures: list[int], places: _Places
) -> Iterator[tuple[str, bytes]]:
    static = resources.files("pipeline.report").joinpath("static")
    for name in _STATIC:
        yield name, static.joinpath(name).read_bytes()
    for plot in plots:
        yield f"{plot.name}.svg", plot.light
        yield f"{plot.name}-dark.svg", plot.dark
    yield from details_scripts(gathered.rows)
    yield "rows.js", rows_script(gathered, pictures, places.as_dict())


def _places(gathered: Gathered, out: str, made: str, *, beside: bool) -> _Places:
    other = gathered.comparison.destination if gathered.comparison else None
    if other == gathered.destination:
        other = None  # a run of the same: its previews are the newest run's
    return _Places(
        made=made,
        previews="../previews" if beside else f"{made}/pictures",
        results=".." if beside else None,
        other=None if other is None else (beside and _way(out, other)) or f"{made}/other",
    )


def _way(out: str, destination: str) -> str | None:
    """How to get from a page to the previews of another destination on the same machine."""
    if not storage.is_local(out) or not storage.is_local(destination):
        return None
    here, there = (str(storage.local_path(uri).absolute()) for uri in (out, destination))
    try:
        there.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return quote(posixpath.join(posixpath.relpath(there, here), "previews"))


def _with_others(
    gathered: Gathered, folder: str, places: _Places, pictures: list[int], *, beside: bool
) -> list[int]:
    """The pictures with those of the report that is compared with."""
    comparison = gathered.comparison
    if comparison is None or places.other is None:
        return pictures
    there = [
        number + (OTHER if number & 1 and comparison.other[place] == comparison.other[place] else 0)
        for number, place in zip(pictures, gathered.places.tolist(), strict=True)
    ]
    if places.other != f"{places.made}/other":
        return there

    def copy(job: tuple[str, int]) -> int:
        bracket_id, number = job
        if not number & OTHER:
            return number
        path = preview_paths(bracket_id).preview
        source = storage.join(comparison.destination, *path.split("/"))
        target = storage.join(folder, "other", *path.split("/")[1:])
        return number if _copy(source, target) else number - OTHER

    with ThreadPoolExecutor(_COPIERS) as pool:
        return list(
            pool.map(
                copy, [(r["bracket_id"], n) for r, n in zip(gathered.rows, there, strict=True)]
            )
        )


def _copy_pictures(gathered: Gathered, folder: str, pictures: list[int]) -> list[int]:
    """Copy the small pictures into a page's own folder; those that are gone are not shown."""

    def copy(job: tuple[str, int]) -> int:
        bracket_id, number = job
        left = 0
        for name, path in preview_paths(bracket_id)._asdict().items() if number else ():
            source = storage.join(gathered.destination, *path.split("/"))
            target = storage.join(folder, *path.split("/")[1:])
            if number & PICTURES[name] and _copy(source, target):
                left += PICTURES[name]
        return left

    ids = [row["bracket_id"] or "" for row in gathered.rows]
    with ThreadPoolExecutor(_COPIERS) as pool:
        return list(pool.map(copy, zip(ids, pictures, strict=True)))


def _copy(source: str, target: str) -> bool:
    try:
        data = storage.read_bytes(source)
    except PhotoError:
        return False
    storage.write_atomic(target, data)
    return True


def _take(out: str, made: str) -> list[str]:
    """Take a folder for a page, and return those parts of an older one in it that are ours.

    Raises:
        UsageError: ``destination-invalid``, something of that name is not ours.
    """
    if storage.is_file(out):
        raise UsageError("destination-invalid", f"{out} is a file; name a folder for the page.")
    before = _marked(out)
    if before is None:
        taken = [name for name in (INDEX, _MARK) if storage.exists(storage.join(out, name))]
        if taken:
            raise UsageError(
                "destination-invalid",
                f"{out} holds {' and '.join(taken)}, and bracketflow did not write that; name "
                "another --out, or move it away.",
            )
        before = []
    _mark(out, [*before, made])
    return before


def _marked(out: str) -> list[str] | None:
    try:
        content = json.loads(storage.read_bytes(storage.join(out, _MARK)))
        if content["bracketflow"] != PAGE:
            return None
        return [name for name in content["made"] if _MADE.fullmatch(name)]
    except (PhotoError, ValueError, TypeError, KeyError):
        return None


def _mark(out: str, made: list[str]) -> None:
    content = {"bracketflow": PAGE, "made": made}
    storage.write_atomic(storage.join(out, _MARK), json.dumps(content).encode("ascii"))


def _remove(folder: str) -> None:
    """Remove what we made; what somebody else put there stays."""
    folders = {folder}
    for path in list(storage.files_below(folder)):
        if _OURS.fullmatch(path):
            parts = path.split("/")
            folders |= {storage.join(folder, *parts[:depth]) for depth in range(len(parts))}
            storage.delete(storage.join(folder, *parts))
    if storage.is_local(folder):
        for empty in sorted(folders, key=len, reverse=True):
            with suppress(OSError):
                storage.local_path(empty).rmdir()
