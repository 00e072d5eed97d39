# SPDX-License-Identifier: Apache-2.0
"""What decides how a result looks, and the key that says when two results are the same.

Settings are data: they travel to the workers, stand in the manifest, and their hash is part of
every result's key. How many workers there are, or which device they use, is no setting.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from model import zoo
from model.usme import DEFAULT_EV
from pipeline import storage
from pipeline.bracket import Bracket
from pipeline.errors import UsageError
from pipeline.images.writing import EXTENSIONS, OutputFormat, check_output
from pipeline.models import (
    AUTO,
    AUTO_VERSION,
    Effort,
    has_fast_form,
    model_kind,
    model_source,
    sees_one_frame,
)
from pipeline.naming import check_template

__all__ = [
    "ALGORITHM_VERSION",
    "RADIANCE_VERSION",
    "AlignMode",
    "FuseAlign",
    "FuseSettings",
    "KeyMaker",
    "Output",
    "file_stamp",
    "hash_of",
]

ALGORITHM_VERSION = 1
"""Raised by hand whenever the same inputs and settings give other pixels or other scores."""

_MARK = "<inputs>"

_EVS = (0.5, 4.0)  # of virtual exposures: data sets to learn from have 2 and 3

RADIANCE_VERSION = 1
"""The same for radiances and the pictures beside them; it leaves the keys of fusions alone."""

AlignMode = Literal["auto", "off"]

FuseAlign = Literal["auto", "register", "flow", "off"]
"""How frames are laid on each other before they are fused."""

Output = Literal["fusion", "radiance"]


@dataclass(frozen=True, kw_only=True)
class FuseSettings:
    """How brackets are fused. All of it is part of a result's key.

    Raises:
        UsageError: ``option-invalid`` or ``model-unknown``, naming the values that are allowed.
    """

    model: str = zoo.DEFAULT
    """Name in the zoo, path or URI of a weights file (see ``pipeline.models``), or ``auto`` (see
    ``pipeline.auto``)."""
    align: FuseAlign = "auto"
    """``register`` lays handheld brackets on each other as a whole, ``flow`` also follows what
    moves by itself, ``off`` takes the frames as they are. ``auto`` registers, and follows where
    something moved for the plain merge, which knows nothing of motion (see ``pipeline.auto``)."""
    format: OutputFormat = "jpeg"
    """Container of the result; of a radiance, of the picture beside it (``exr``: without one)."""
    bits: int = 8
    """Bits per channel of the same. A radiance has 16 (half), or what is asked for with ``exr``."""
    quality: int = 95
    """1..100, of lossy formats."""
    name: str = "{stem}_fused"
    """Template of the result's name, see ``pipeline.naming``."""
    previews: bool = True
    """Write a small picture and a MEF-SSIM map for the report."""
    reference: int | None = None
    """Which frame's moment and place a radiance shows, from 1, dark to bright; None: the middle
    one, of an even number the darker of two."""
    singles: str | None = None
    """Model for frames that belong to no bracket, named as ``model`` is; None leaves them out."""
    effort: Effort = "fast"
    """``full`` runs the network on every pixel, ``fast`` from the third level of the pyramid up, in
    a small part of the time (see ``model.ufm_k_fast``). Models without such a form don't care."""
    ev: float | None = None
    """Stops from a frame to its virtual exposures, of models that see one frame; None: 2."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", model_source(self.model))
        if self.singles is not None:
            object.__setattr__(self, "singles", model_source(self.singles))
        low, high = _EVS
        if self.ev is not None and not low <= self.ev <= high:
            raise UsageError(
                "option-invalid",
                f"--ev {self.ev:g} must lie within {low:g}..{high:g}; it says how many stops the "
                f"virtual exposures of a single frame are away from it, {DEFAULT_EV:g} by default.",
            )
        if self.effort not in get_args(Effort):
            raise UsageError(
                "option-invalid",
                f"--effort {self.effort!r} is not one of {', '.join(get_args(Effort))}.",
            )
        if self.align not in get_args(FuseAlign):
            raise UsageError(
                "option-invalid",
                f"--align {self.align!r} is not one of {', '.join(get_args(FuseAlign))}.",
            )
        if self.reference is not None and self.reference < 1:
            raise UsageError(
                "option-invalid",
                f"--reference {self.reference} is no frame; they are counted from 1, dark to "
                "bright.",
            )
        check_output(self.format, self.bits, self.quality)
        check_template(self.name)

    @property
    def sha256(self) -> str:
        """Hash of all settings. Where a weights file lies is none: its own hash is in the key."""
        settings = asdict(self) | {"model": model_kind(self.model)}
        if self.singles is not None:
            settings["singles"] = model_kind(self.singles)
        # They came later: what was fused before stands.
        for later in ("reference", "singles", "ev"):
            if settings[later] is None:
                del settings[later]
        if self.effort == "full" or not has_fast_form(self.model):
            del settings["effort"]
        return hash_of(settings)

    @property
    def stops(self) -> float:
        """From a frame to its virtual exposures."""
        return DEFAULT_EV if self.ev is None else self.ev

    def of_brackets(self, card: zoo.Card) -> FuseSettings:
        """The settings as far as brackets are concerned, which the model of that card fuses."""
        return replace(self, singles=None, ev=self.ev if sees_one_frame(card) else None)

    def of_singles(self) -> FuseSettings | None:
        """The settings as far as frames are concerned that belong to no bracket; None: none."""
        if self.singles is None:
            return None
        usual = FuseSettings
        return replace(
            self, model=self.singles, singles=None, align=usual.align, reference=usual.reference
        )

    def check(self, card: zoo.Card, singles: zoo.Card | None) -> None:
        """Refuse what the models cannot do.

        Args:
            card: of the model for brackets.
            singles: of that for frames that belong to none, where there is one.

        Raises:
            UsageError: ``option-invalid``.
        """
        self.output_of(card)
        if singles is not None and not sees_one_frame(singles):
            raise UsageError(
                "option-invalid",
                f"--singles takes a model that sees one frame, such as weights of usme; "
                f"{singles.name} needs {singles.min_frames} frames at least.",
            )
        if self.ev is not None and singles is None and not sees_one_frame(card):
            raise UsageError(
                "option-invalid",
                f"--ev is for models that see one frame, such as usme; {card.name} takes exposures "
                "as they are. Leave it out, or choose another --model or --singles.",
            )

    def output_of(self, card: zoo.Card) -> Output:
        """Whether the model of that card makes fusions or radiances with these settings.

        Raises:
            UsageError: ``option-invalid``, a reference is asked for where there is none.
        """
        wanted = self.model == AUTO and self.format == "exr"
        output: Output = "radiance" if wanted else card.output
        if output == "fusion" and self.reference is not None:
            raise UsageError(
                "option-invalid",
                f"--reference is for models that make radiance (such as merge); {card.name} shows "
                "the best of all frames. Leave it out, or choose another --model.",
            )
        return output

    def extensions(self, output: Output) -> tuple[str, str | None]:
        """File name extensions of a result, and of the picture beside it if there is one."""
        if output == "fusion":
            return EXTENSIONS[self.format], None
        return EXTENSIONS["exr"], None if self.format == "exr" else EXTENSIONS[self.format]


class KeyMaker:
    """Keys of results: the same key means the same bytes, so they are not computed twice.

    Args:
        settings: how results are made.
        weights_sha256: with which weights.
        output: what they are.
    """

    def __init__(
        self, settings: FuseSettings, weights_sha256: str | None, output: Output = "fusion"
    ) -> None:
        self._same: dict[str, Any] = {
            "settings": settings.sha256,
            "weights": weights_sha256,
            "algorithm": ALGORITHM_VERSION,
        }
        if output == "radiance":
            self._same["radiance"] = RADIANCE_VERSION
        if settings.model == AUTO:
            self._same["auto"] = AUTO_VERSION
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
