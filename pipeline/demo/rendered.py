# SPDX-License-Identifier: Apache-2.0
"""A folder of linear HDR pictures becomes an archive of brackets, with the truth about each.

``OUT/archive/<picture>/IMG_0001.JPG`` are the frames, ``OUT/truth/<picture>/0.exr`` the radiance
of each bracket and ``OUT/truth/<picture>.json`` how it was taken; ``OUT/catalog.parquet`` names
brackets and truth together. The same request at the same place goes on where it was; what was
made of a picture that has changed since gives way, and what was made of one that is gone stays
where it is, but is in the catalog no more.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline import storage
from pipeline.archive.catalog import write_catalog
from pipeline.archive.scan import ScanOptions, scan
from pipeline.archive.shot import RADIANCE_EXTENSIONS, extension
from pipeline.bracket import Bracket
from pipeline.demo.from_radiance import RenderSettings, Viewed, clean, views
from pipeline.demo.taking import take_bracket
from pipeline.errors import PhotoError, UsageError
from pipeline.images.radiance import encode_exr
from pipeline.images.reading import Limits, read_radiance
from pipeline.listing import FileInfo, list_files
from pipeline.planning import check_destination

__all__ = ["Failure", "Rendered", "find_pictures", "render_pictures"]

_REQUEST = "render.json"
_VERSION = 2  # raised by hand when the same request gives other frames, or other names


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A picture that was left out, and why."""

    path: str
    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What became of the pictures."""

    pictures: int
    """Pictures found; ``kept`` of them were rendered before."""
    kept: int
    brackets: int
    """Brackets of all pictures, old and new."""
    frames: int
    failures: tuple[Failure, ...]
    archive: str
    catalog: str


def find_pictures(source: str) -> tuple[FileInfo, ...]:
    """Every linear HDR picture (.exr, .hdr) below a folder, in order of the paths.

    Raises:
        UsageError: ``source-missing``, or ``archive-empty`` where there is none.
    """
    found = tuple(f for f in list_files(source) if extension(f.path) in RADIANCE_EXTENSIONS)
    if not found:
        raise UsageError(
            "archive-empty",
            f"{source} holds no linear HDR pictures; they end in "
            f"{' or '.join(sorted(RADIANCE_EXTENSIONS))}.",
        )
    return found


def render_pictures(
    source: str,
    out: str,
    settings: RenderSettings,
    *,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Rendered:
    """Make brackets of every picture; one that cannot be read or used is left out.

    Args:
        source: URI of a folder.
        out: URI of a folder that is new, empty, or the same request's; not inside the source.
        settings: what is made of each.
        limits: caps for reading.
        progress: called with (pictures done, pictures) after each.

    Raises:
        UsageError: ``source-missing``, ``archive-empty`` or ``destination-invalid``.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    check_destination(source, out)
    pictures = find_pictures(source)
    _begin(source, out, settings)
    truths: dict[str, dict[str, Any]] = {}
    failures: list[Failure] = []
    kept = 0
    for number, picture in enumerate(pictures, start=1):
        try:
            truth = _standing(out, picture)
            kept += truth is not None
            truths[picture.path] = truth or _render(out, picture, settings, limits)
        except PhotoError as error:
            failures.append(Failure(path=picture.path, code=error.code, message=error.message))
        except MemoryError:
            message = f"{picture.path} does not fit into memory; reduce it, or free some."
            failures.append(Failure(path=picture.path, code="out-of-memory", message=message))
        if progress is not None:
            progress(number, len(pictures))
    archive, catalog = storage.join(out, "archive"), storage.join(out, "catalog.parquet")
    made = [bracket for truth in truths.values() for bracket in truth["brackets"]]
    write_catalog(_with_truth(archive, out, truths), catalog)
    return Rendered(
        pictures=len(pictures),
        kept=kept,
        brackets=len(made),
        frames=sum(len(bracket["frames"]) for bracket in made),
        failures=tuple(failures),
        archive=archive,
        catalog=catalog,
    )


def _begin(source: str, out: str, settings: RenderSettings) -> None:
    """Take the folder for this request.

    Raises:
        UsageError: ``destination-invalid``, it holds something else.
    """
    request = {"source": source, "settings": asdict(settings), "version": _VERSION}
    text = json.dumps(request, indent=2).encode("ascii")
    uri = storage.join(out, _REQUEST)
    if storage.exists(uri):
        with storage.open_read(uri) as handle:
            if handle.read() == text:
                return
    fs, path = storage.file_system(out)
    if fs.exists(path) and fs.ls(path, detail=False):
        raise UsageError(
            "destination-invalid",
            f"{out} holds something else than these brackets; name a new folder or empty it.",
        )
    storage.write_atomic(uri, text)


def _folder(path: str) -> str:
    """Where a picture's brackets go, so that a.exr, a.EXR and a.hdr get along."""
    stem, dot, ending = path.rpartition(".")
    assert dot, "a picture is known by its ending"
    return f"{stem}_{ending}"


def _truth_uri(out: str, picture: FileInfo) -> str:
    return storage.join(out, "truth", *f"{_folder(picture.path)}.json".split("/"))


def _stamp(picture: FileInfo) -> list[int | None]:
    return [picture.size_bytes, picture.mtime_ns]


def _standing(out: str, picture: FileInfo) -> dict[str, Any] | None:
    """The truth of a picture that was rendered before and has not changed since.

    Of one that has changed, or whose rendering was broken off, all files are removed.
    """
    uri = _truth_uri(out, picture)
    if not storage.exists(uri):
        return None
    with storage.open_read(uri) as handle:
        truth: dict[str, Any] = json.loads(handle.read())
    if truth["stamp"] == _stamp(picture):
        return truth
    for path in truth["files"]:
        storage.delete(storage.join(out, *path.split("/")))
    storage.delete(uri)
    return None


def _render(
    out: str, picture: FileInfo, settings: RenderSettings, limits: Limits | None
) -> dict[str, Any]:
    """Write everything of a picture; before it the names of the files, after it the truth.

    Raises:
        PhotoError: it cannot be read or used; then nothing is written.
    """
    if picture.error_code is not None:
        raise PhotoError(picture.error_code, picture.error_message or picture.path)
    radiance = clean(read_radiance(picture.uri, limits), picture.path)
    folder = _folder(picture.path)
    # Made twice, so that a bad view is found before anything is written and one is held at a time.
    counts = [len(v.shooting.biases_ev) for v in views(radiance, picture.path, settings)]
    files = [_radiance_path(folder, index) for index in range(len(counts))]
    files += [f"archive/{path}" for path in _frame_paths(folder, 1, sum(counts))]
    _write_truth(out, picture, {"stamp": None, "files": files})
    brackets, first = [], 1
    for viewed in views(radiance, picture.path, settings):
        brackets.append(_write_bracket(out, folder, viewed, first))
        first += counts[viewed.index]
    truth = {
        "picture": picture.uri,
        "stamp": _stamp(picture),
        "files": files,
        "brackets": brackets,
    }
    _write_truth(out, picture, truth)
    return truth


def _write_truth(out: str, picture: FileInfo, truth: dict[str, Any]) -> None:
    text = json.dumps(truth, indent=1, default=lambda value: value.isoformat())
    storage.write_atomic(_truth_uri(out, picture), text.encode("ascii"))


def _radiance_path(folder: str, index: int) -> str:
    return f"truth/{folder}/{index}.exr"


def _frame_paths(folder: str, first: int, count: int) -> list[str]:
    return [f"{folder}/IMG_{number:04d}.JPG" for number in range(first, first + count)]


def _write_bracket(out: str, folder: str, viewed: Viewed, first: int) -> dict[str, Any]:
    height, width = viewed.radiance.shape[:2]
    radiance_path = _radiance_path(folder, viewed.index)
    exact = encode_exr(viewed.radiance, 32)
    storage.write_atomic(storage.join(out, *radiance_path.split("/")), exact)
    paths = _frame_paths(folder, first, len(viewed.shooting.biases_ev))
    frames = []
    taken = take_bracket(viewed.radiance, viewed.shooting, paths, viewed.rng, (height, width))
    for frame, data in taken:
        storage.write_atomic(storage.join(out, "archive", *frame.path.split("/")), data)
        frames.append(asdict(frame))
    return {
        "frames": frames,
        "width": width,
        "height": height,
        "radiance_path": radiance_path,
        "view": asdict(viewed.view),
        "camera": asdict(viewed.shooting.camera),
    }


def _with_truth(archive: str, out: str, truths: dict[str, dict[str, Any]]) -> Iterator[Bracket]:
    """What a scan finds of them, each bracket with the radiance that it was made of."""
    known = {
        frozenset(frame["path"] for frame in bracket["frames"]): (truth["picture"], bracket)
        for truth in truths.values()
        for bracket in truth["brackets"]
    }
    for found in scan(archive, options=ScanOptions()).brackets:
        made = known.get(frozenset(frame.path for frame in found.frames))
        if made is None:
            continue  # of a picture that is gone, or somebody else's
        picture, bracket = made
        yield replace(
            found,
            layout="rendered",
            reason=f"rendered from {posixpath.basename(picture)}; {found.reason}",
            label_uri=storage.join(out, *bracket["radiance_path"].split("/")),
            label_kind="radiance",
        )
