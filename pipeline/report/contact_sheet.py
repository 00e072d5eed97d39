# SPDX-License-Identifier: Apache-2.0
"""A contact sheet: the previews of all results with their names and scores, as one JPEG or a PDF.

Only the small pictures that the visits left behind are read, one at a time; of a PDF no more than a
page is in memory.
"""

from __future__ import annotations

import math
import posixpath
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from pipeline import storage
from pipeline.errors import PhotoError, UsageError
from pipeline.images.reading import Limits, read_photo
from pipeline.naming import preview_paths
from pipeline.report.newest import newest_rows
from pipeline.report.rows_js import first_path, pictures_of
from pipeline.report.schema import Row
from pipeline.segments import unchanging

__all__ = ["MOST_IN_JPEG", "write_contact_sheet"]

MOST_IN_JPEG = 600
"""Pictures in a JPEG; a PDF takes any number."""

_COLUMNS = (
    "bracket_id",
    "status",
    "frame_paths",
    "mef_ssim",
    "mef_ssim_preview",
    "preview_uri",
    "map_uri",
    "strip_uri",
    "weights_uri",
)
_CELL = (300, 262)  # px
_PICTURE = (284, 200)
_TITLE = 56  # px
_MARGIN = 20
_LETTERS = 34  # of a name in a cell
_PAPER, _INK, _FAINT, _GAP = "#ffffff", "#1d2430", "#5c6675", "#e4e8ee"
_PDF_GRID = (4, 6)
_PDF_PAGE = (1240, 1754)  # A4
_PDF_DPI = 150
_LIMITS = Limits(max_bytes=16 << 20, max_pixels=4 << 20)


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """A picture's URI, None where there is none, and what stands below it."""

    picture: str | None
    path: str
    score: str


def write_contact_sheet(destination: str, uri: str, *, run_id: str | None = None) -> int:
    """Write a contact sheet of all results, by folder and name, and return how many it shows.

    Args:
        destination: the folder or URI that ``fuse`` wrote to.
        uri: the file, ``.jpg`` or ``.pdf``.
        run_id: only this run's results.

    Raises:
        UsageError: ``option-invalid``, another ending, or more results than a JPEG can show.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    ending = posixpath.splitext(uri)[1].lower()
    if ending not in (".jpg", ".jpeg", ".pdf"):
        raise UsageError("option-invalid", f"--contact-sheet {uri} must end in .jpg or .pdf.")
    cells = unchanging(lambda: _cells(destination, run_id))
    if ending != ".pdf" and len(cells) > MOST_IN_JPEG:
        raise UsageError(
            "option-invalid",
            f"{len(cells):,} results are too many for one JPEG, which takes {MOST_IN_JPEG}; let "
            "--contact-sheet end in .pdf, or choose a run with --run.",
        )
    title = f"{destination}: {len(cells):,} results"
    # Beside no other file: Pillow appends pages to a file of its own.
    with tempfile.TemporaryDirectory(prefix="bracketflow-") as folder:
        sheet = Path(folder) / "sheet"
        if ending == ".pdf":
            _write_pdf(sheet, cells, title)
        else:
            _drawn(cells, _grid(len(cells)), title).save(sheet, "JPEG", quality=88)
        storage.write_atomic(uri, sheet.read_bytes())
    return len(cells)


def _cells(destination: str, run_id: str | None) -> list[_Cell]:
    found: list[_Cell] = []
    for table in newest_rows(destination, run_id=run_id).tables(_COLUMNS):
        found += [_cell(row, destination) for row in table.to_pylist() if row["status"] == "fused"]
    return sorted(found, key=lambda cell: cell.path)


def _cell(row: Row, destination: str) -> _Cell:
    score = row["mef_ssim"] if row["mef_ssim"] is not None else row["mef_ssim_preview"]
    there = pictures_of(row) & 1
    path = preview_paths(row["bracket_id"]).preview if there else ""
    return _Cell(
        picture=storage.join(destination, *path.split("/")) if there else None,
        path=first_path(row),
        score="no score" if score is None else f"{score:.4f}",
    )


def _grid(count: int) -> tuple[int, int]:
    """Columns and rows for so many cells, about as wide as high."""
    columns = max(1, min(count, round(math.sqrt(count * 1.3))))
    return columns, max(1, -(-count // columns))


def _write_pdf(path: Path, cells: Sequence[_Cell], title: str) -> None:
    each = _PDF_GRID[0] * _PDF_GRID[1]
    pages = max(1, -(-len(cells) // each))
    waiting = iter(cells)
    for page in range(pages):
        heading = f"{title}, page {page + 1} of {pages}"
        sheet = _drawn(list(islice(waiting, each)), _PDF_GRID, heading, size=_PDF_PAGE)
        sheet.save(path, "PDF", resolution=_PDF_DPI, quality=85, append=page > 0)


def _drawn(
    cells: Sequence[_Cell],
    grid: tuple[int, int],
    title: str,
    *,
    size: tuple[int, int] | None = None,
) -> Image.Image:
    columns, rows = grid
    size = size or (columns * _CELL[0] + 2 * _MARGIN, rows * _CELL[1] + _TITLE + _MARGIN)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    bold, plain = _font("DejaVuSans-Bold.ttf", 17), _font("DejaVuSans.ttf", 14)
    draw.text((_MARGIN + 8, 18), _line(title, size[0] // 11), _INK, bold)
    for (left, top), cell in zip(_places(columns, rows), cells, strict=False):
        width, height = _PICTURE
        picture = _picture(cell)
        if picture is None:
            draw.rectangle((left, top, left + width, top + height), _GAP)
            draw.text((left + 12, top + 12), "no picture", _FAINT, plain)
        else:
            picture.thumbnail(_PICTURE)
            at = (left + (width - picture.width) // 2, top + (height - picture.height) // 2)
            sheet.paste(picture, at)
        draw.text((left, top + height + 6), cell.score, _INK, bold)
        draw.text((left, top + height + 28), _line(cell.path, _LETTERS), _FAINT, plain)
    return sheet


def _places(columns: int, rows: int) -> Iterator[tuple[int, int]]:
    for number in range(columns * rows):
        row, column = divmod(number, columns)
        yield _MARGIN + 8 + column * _CELL[0], _TITLE + row * _CELL[1]


def _picture(cell: _Cell) -> Image.Image | None:
    if cell.picture is None:
        return None
    try:
        return Image.fromarray(read_photo(cell.picture, _LIMITS).pixels)
    except (PhotoError, TypeError):  # gone, damaged, or not what we wrote
        return None


def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    # matplotlib brings the font; systems need not have one.
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


def _line(text: str, letters: int) -> str:
    """The end of a text that is too long: of paths that tells more."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return clean if len(clean) <= letters else f"…{clean[1 - letters :]}"
