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
    "KeyMaker",
    "file_stamp",
    "hash_of",
]

ALGORITHM_VERSION = 1
"""Raised by hand whenever the same inputs and settings give other pixels or other scores."""

_MARK = "<inputs>"

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


class KeyMaker:
    """Keys of results: the same key means the same bytes, so they are not computed twice.

    Args:
        settings: how results are made.
        weights_sha256: with which weights.
    """

    def __init__(self, settings: FuseSettings, weights_sha256: str | None) -> None:
        self._same = {
            "settings": settings.sha256,
            "weights": weights_sha256,
            "algorithm": ALGORITHM_VERSION,
        }
        # A key with a mark in place of the inputs: brackets without a label differ in that alone.
        before, after = _json(self._same | {"inputs": _MARK, "label": [None] * 3}).split(_MARK)
        self._before, self._after = hashlib.sha256(before.encode()), after.encode()

    def key(self, bracket: Bracket, *, timeless: bool = False) -> str:
        """The key of one bracket's result.

        Args:
            bracket: what it is made from.
            timeless: leave out the files' times, which a copy of an archive may have lost. The
                same timeless key means the same bytes if the frames' contents are the same too.
        """
        label = bracket.label_uri
        return hash_of(
            self._same
            | {
                "inputs": bracket.timeless_fingerprint if timeless else bracket.fingerprint,
                "label": [label, bracket.label_kind, file_stamp(label, timeless=timeless)],
            }
        )

    def plain_digest(self, inputs: str) -> bytes:
        """The bytes of the key of a bracket without a label that has this fingerprint."""
        whole = self._before.copy()
        whole.update(inputs.encode("ascii") + self._after)
        return whole.digest()


def file_stamp(uri: str | None, *, timeless: bool = False) -> str | None:
    """Changes whenever the file does, as far as its size and time (or size alone) can tell."""
    if uri is None:
        return None
    try:
        info = storage.info(uri)
    except OSError:
        return None
    if info is None:
        return None
    if timeless:
        return str(info.get("size"))
    return f"{info.get('size')}|{info.get('mtime') or info.get('LastModified')}"


def hash_of(value: Any) -> str:
    """SHA-256 of anything that JSON can hold."""
    return hashlib.sha256(_json(value).encode("ascii")).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
