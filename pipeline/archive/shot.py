# SPDX-License-Identifier: Apache-2.0
"""A shot: what the scan knows of one image file before it is put into a bracket.

Grouping works on shots alone, never on files, so that it stays pure and can be tested without
pixels.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.bracket import Bracket, Frame, exposure_value
from pipeline.errors import InfrastructureError, PhotoError
from pipeline.listing import FileInfo

__all__ = [
    "DISPLAY_EXTENSIONS",
    "IMAGE_EXTENSIONS",
    "RADIANCE_EXTENSIONS",
    "RAW_EXTENSIONS",
    "HeaderFacts",
    "Shot",
    "extension",
    "natural_key",
    "read_shot",
    "single",
    "stem",
]

DISPLAY_EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".avif"})
"""Extensions of display-referred pictures, lower case."""
RADIANCE_EXTENSIONS = frozenset({".hdr", ".exr"})
"""Extensions of linear pictures: ground truth, never frames."""
RAW_EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("3fr", "arw", "cr2", "cr3", "crw", "dng", "erf", "fff", "iiq", "kdc", "mef", "mos"),
        *("mrw", "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw"),
        "x3f",
    )
)
"""Extensions of undeveloped camera files."""
IMAGE_EXTENSIONS = DISPLAY_EXTENSIONS | RADIANCE_EXTENSIONS | RAW_EXTENSIONS
"""Whatever the scan takes for a photograph; other files are counted as ignored."""

ExposureMode = Literal["auto", "manual", "bracket"]


class HeaderFacts(Protocol):
    """The part of an image header that the scan uses (``pipeline.images.reading.Header``)."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def exposure_time_s(self) -> float | None: ...
    @property
    def f_number(self) -> float | None: ...
    @property
    def iso(self) -> float | None: ...
    @property
    def captured_s(self) -> float | None: ...
    @property
    def camera(self) -> str | None: ...
    @property
    def exposure_bias_ev(self) -> float | None: ...
    @property
    def exposure_program(self) -> int | None: ...
    @property
    def exposure_mode(self) -> int | None: ...
    @property
    def auto_bracket(self) -> bool | None: ...
    @property
    def bracket_value_ev(self) -> float | None: ...


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One image file: its listing entry and the facts of its header.

    ``width`` and ``height`` are upright pixels, ``captured_s`` seconds in the camera's clock,
    ``bias_ev`` the exposure compensation and ``bracket_ev`` the offset of the camera's bracketing,
    both in stops. ``mode`` is how the exposure was set, ``bracket`` where the camera says that its
    bracketing was on. ``error_code`` is set where the header could not be read; all facts are None
    then.
    """

    file: FileInfo
    width: int | None = None
    height: int | None = None
    exposure_time_s: float | None = None
    f_number: float | None = None
    iso: float | None = None
    captured_s: float | None = None
    camera: str | None = None
    bias_ev: float | None = None
    bracket_ev: float | None = None
    mode: ExposureMode | None = None
    error_code: str | None = None
    error_message: str | None = None
    twin_uri: str | None = None

    @property
    def path(self) -> str:
        return self.file.path

    @property
    def ev(self) -> float | None:
        """Exposure in stops, brighter is larger."""
        return exposure_value(self.exposure_time_s, self.f_number, self.iso)

    def frame(self, *, ev: float | None = None, exposure_time_s: float | None = None) -> Frame:
        """The frame of this shot; ``ev`` and ``exposure_time_s`` override what EXIF says."""
        return Frame(
            uri=self.file.uri,
            path=self.file.path,
            size_bytes=self.file.size_bytes,
            mtime_ns=self.file.mtime_ns,
            width=self.width,
            height=self.height,
            exposure_time_s=self.exposure_time_s if exposure_time_s is None else exposure_time_s,
            f_number=self.f_number,
            iso=self.iso,
            captured_s=self.captured_s,
            ev=self.ev if ev is None else ev,
            camera=self.camera,
            twin_uri=self.twin_uri,
        )


def read_shot(file: FileInfo, read_header: Callable[[str], HeaderFacts]) -> Shot:
    """Read the header of a file; what is wrong with it becomes part of the shot.

    Raises:
        InfrastructureError: the storage failed; that is no photograph's fault.
    """
    if file.error_code is not None:
        return Shot(file=file, error_code=file.error_code, error_message=file.error_message)
    try:
        header = read_header(file.uri)
    except PhotoError as error:
        return Shot(file=file, error_code=error.code, error_message=error.message)
    except InfrastructureError:
        raise
    except Exception as error:
        # A damaged header must never stop the scan of an archive, whatever a decoder makes of it.
        message = f"{file.path}: the header cannot be read ({type(error).__name__}: {error})."
        return Shot(file=file, error_code="decode-failed", error_message=message)
    return Shot(
        file=file,
        width=header.width,
        height=header.height,
        exposure_time_s=header.exposure_time_s,
        f_number=header.f_number,
        iso=header.iso,
        captured_s=header.captured_s,
        camera=header.camera,
        bias_ev=header.exposure_bias_ev,
        bracket_ev=header.bracket_value_ev,
        mode=_mode(header),
    )


def _mode(header: HeaderFacts) -> ExposureMode | None:
    """EXIF: program 1 is manual; mode 0 is automatic, 1 manual, 2 bracketing."""
    if header.auto_bracket or header.exposure_mode == 2:
        return "bracket"
    if header.exposure_mode == 1 or header.exposure_program == 1:
        return "manual"
    return None if header.exposure_mode is None and header.exposure_program is None else "auto"


def single(shot: Shot, *, source: str, layout: str, reason: str) -> Bracket:
    """The shot as a single, with its error where it has one."""
    return Bracket(
        frames=(shot.frame(),),
        source=source,
        kind="single",
        layout=layout,
        reason=shot.error_message or reason,
        error_code=shot.error_code,
        error_message=shot.error_message,
    )


def extension(path: str) -> str:
    """Lower-case extension with its dot, of the last of several (``a.JPG.jpg`` -> ``.jpg``)."""
    return posixpath.splitext(path)[1].lower()


def stem(path: str) -> str:
    """File name without folder and extension."""
    return posixpath.splitext(posixpath.basename(path))[0]


def natural_key(path: str) -> tuple[Sequence[tuple[int, int, str]], str]:
    """Sort key that puts ``img2`` before ``img10``; the full path breaks ties."""
    parts = re.findall(r"(\d+)|(\D+)", posixpath.basename(path))
    # Numbers sort before text, as in a file manager.
    key = [(0, int(n), "") if n else (1, 0, text.casefold()) for n, text in parts]
    return key, path
