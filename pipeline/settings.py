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
from pipeline.bracket import Bracket
from pipeline.errors import UsageError

__all__ = [
    "ALGORITHM_VERSION",
    "AlignMode",
    "Bits",
    "FuseSettings",
    "OutputFormat",
    "result_key",
]

ALGORITHM_VERSION = 1
"""Raised by hand whenever the same inputs and settings give other pixels or other scores."""

OutputFormat = Literal["jpeg", "png", "tiff", "avif"]
AlignMode = Literal["auto", "off"]
Bits = Literal[8, 10, 12, 16]

_BITS: dict[str, tuple[int, ...]] = {
    "jpeg": (8,),
    "png": (8, 16),
    "tiff": (8, 16),
    "avif": (8, 10, 12),
}
EXTENSIONS: dict[str, str] = {"jpeg": "jpg", "png": "png", "tiff": "tif", "avif": "avif"}


@dataclass(frozen=True, kw_only=True)
class FuseSettings:
    """How brackets are fused. All of it is part of a result's key.

    Raises:
        UsageError: ``option-invalid`` or ``model-unknown``, naming the values that are allowed.
    """

    model: str = zoo.DEFAULT
    """Name in the zoo."""
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
        if self.model not in zoo.names():
            raise UsageError(
                "model-unknown",
                f"There is no model {self.model!r}; choose one of {', '.join(zoo.names())}.",
            )
        for name, value, allowed in (
            ("--align", self.align, get_args(AlignMode)),
            ("--format", self.format, get_args(OutputFormat)),
        ):
            if value not in allowed:
                raise UsageError(
                    "option-invalid", f"{name} {value!r} is not one of {', '.join(allowed)}."
                )
        if self.bits not in _BITS[self.format]:
            allowed_bits = " or ".join(str(bits) for bits in _BITS[self.format])
            raise UsageError(
                "option-invalid",
                f"--bits {self.bits} does not go with --format {self.format}, which takes "
                f"{allowed_bits}; for 16 bits choose png or tiff.",
            )
        if not 1 <= self.quality <= 100:
            raise UsageError("option-invalid", f"--quality {self.quality} is not within 1..100.")

    @property
    def extension(self) -> str:
        """File name extension of the results."""
        return EXTENSIONS[self.format]

    @property
    def sha256(self) -> str:
        """Hash of all settings."""
        return _hash(asdict(self))


def result_key(bracket: Bracket, settings: FuseSettings, weights_sha256: str | None) -> str:
    """The key of a result: the same key means the same bytes, so it is not computed twice."""
    return _hash(
        {
            "inputs": bracket.fingerprint,
            "label": bracket.label_uri,
            "settings": settings.sha256,
            "weights": weights_sha256,
            "algorithm": ALGORITHM_VERSION,
        }
    )


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
