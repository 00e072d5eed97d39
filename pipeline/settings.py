# SPDX-License-Identifier: Apache-2.0
"""What decides how a result looks, and the key that says when two results are the same.

Settings are data: they travel to the workers, stand in the manifest, and their hash is part of
every result's key. How many workers there are, or which device they use, is no setting.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from model import zoo
from pipeline import storage
from pipeline.bracket import Bracket
from pipeline.errors import UsageError
from pipeline.images.writing import EXTENSIONS, OutputFormat, check_output
from pipeline.models import model_kind, model_source
from pipeline.naming import check_template

__all__ = [
    "ALGORITHM_VERSION",
    "AlignMode",
    "FuseSettings",
    "file_stamp",
    "hash_of",
    "result_key",
]

ALGORITHM_VERSION = 1
"""Raised by hand whenever the same inputs and settings give other pixels or other scores."""

AlignMode = Literal["auto", "off"]


@dataclass(frozen=True, kw_only=True)
class FuseSettings:
    """How brackets are fused. All of it is part of a result's key.

    Raises:
        UsageError: ``option-invalid`` or ``model-unknown``, naming the values that are allowed.
    """

    model: str = zoo.DEFAULT
    """Name in the zoo, or path or URI of a weights file (see ``pipeline.models``)."""
    align: AlignMode = "auto"
    """Register handheld brackets, or take the frames as they are."""
    format: OutputFormat = "jpeg"
    """Container of the result."""
    bits: int = 8
    """Bits per channel of the result."""
    quality: int = 95
    """1..100, of lossy formats."""
    name: str = "{stem}_fused"
    """Template of the result's name, see ``pipeline.naming``."""
    previews: bool = True
    """Write a small picture and a MEF-SSIM map for the report."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", model_source(self.model))
        if self.align not in get_args(AlignMode):
            raise UsageError(
                "option-invalid",
                f"--align {self.align!r} is not one of {', '.join(get_args(AlignMode))}.",
            )
        check_output(self.format, self.bits, self.quality)
        check_template(self.name)

    @property
    def extension(self) -> str:
        """File name extension of the results."""
        return EXTENSIONS[self.format]

    @property
    def sha256(self) -> str:
        """Hash of all settings. Where a weights file lies is none: its own hash is in the key."""
        return hash_of(asdict(self) | {"model": model_kind(self.model)})


def result_key(bracket: Bracket, settings: FuseSettings, weights_sha256: str | None) -> str:
    """The key of a result: the same key means the same bytes, so it is not computed twice."""
    return hash_of(
        {
            "inputs": bracket.fingerprint,
            "label": [bracket.label_uri, bracket.label_kind, file_stamp(bracket.label_uri)],
            "settings": settings.sha256,
            "weights": weights_sha256,
            "algorithm": ALGORITHM_VERSION,
        }
    )


def file_stamp(uri: str | None) -> str | None:
    """Changes whenever the file does, as far as its size and time can tell."""
    if uri is None:
        return None
    fs, path = storage.file_system(uri)
    try:
        info = fs.info(path)
    except OSError:
        return None
    return f"{info.get('size')}|{info.get('mtime') or info.get('LastModified')}"


def hash_of(value: Any) -> str:
    """SHA-256 of anything that JSON can hold."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
