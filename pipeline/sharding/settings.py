# SPDX-License-Identifier: Apache-2.0
"""What decides which patches come out of a bracket, and when two files of them are the same."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pipeline.bracket import Bracket
from pipeline.errors import UsageError
from pipeline.settings import AlignMode, file_stamp, hash_of

__all__ = [
    "ALGORITHM_VERSION",
    "SPLITS",
    "FollowRule",
    "PairRule",
    "SceneRule",
    "ShardSettings",
    "Split",
    "shard_key",
]

ALGORITHM_VERSION = 1
"""Raised by hand whenever the same brackets and settings give other patches."""

_LINEAR_LABELS = "1"
"""Raised by hand whenever linear labels come out differently; patches without them stay."""

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

PairRule = Literal["all", "under-over", "extreme"]
SceneRule = Literal["name", "content"]
FollowRule = Literal["none", "flow"]


@dataclass(frozen=True, kw_only=True)
class ShardSettings:
    """How brackets are cut into patches, and into splits.

    Raises:
        UsageError: ``option-invalid``, naming what is allowed.
    """

    patch_px: int = 250
    """Side of a patch."""
    patches_per_bracket: int = 64
    """Most patches of one bracket; a seeded choice where there are more places."""
    overlap: float = 0.0
    """Share of a patch's side that neighbouring places may have in common, 0..0.9."""
    pair: PairRule = "all"
    """Which frames a patch holds, always dark to bright by mean luminance: all of them; the 2nd
    darkest and the 2nd brightest, as for SICE (the outermost two of 2 or 3 frames); the outermost
    two."""
    min_contrast: float = 0.02
    """A patch is dull, and left out, if the luma (0..1) of its best exposed frame has a smaller
    standard deviation. A bracket's liveliest patch stays in any case."""
    validation_share: float = 0.1
    """Share of the scenes kept for validation; 0 for none."""
    test_share: float = 0.1
    """Share of the scenes kept for tests; 0 for none. The rest is for training."""
    scenes: SceneRule = "name"
    """What is one scene and stays in one split: what lies together in the archive, or also what
    looks alike (photographs of one place under several names; every bracket is compared with
    every other)."""
    seed: int = 0
    """Decides the split and the choice of places."""
    align: AlignMode = "auto"
    """Register handheld brackets, or take the frames as they are."""
    max_side_px: int | None = None
    """Reduce frames by area to at most this long side before they are cut; None leaves them."""
    aligned: FollowRule = "none"
    """Whether a patch also holds its frames as the middle one's moment and place would have shown
    them, followed by optical flow, with masks; self-supervised training takes its colours from
    them. Exposure times that are missing are estimated from the pixels then."""

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("patch_px", self.patch_px, 16, 4096),
            ("patches_per_bracket", self.patches_per_bracket, 1, 100_000),
            ("seed", self.seed, 0, 2**32 - 1),
            ("max_side_px", self.max_side_px or self.patch_px, self.patch_px, 100_000),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise _invalid(name, value, f"a whole number within {low}..{high}")
        for name, share, most in (
            ("overlap", self.overlap, 0.9),
            ("min_contrast", self.min_contrast, 0.5),
            ("validation_share", self.validation_share, 0.9),
            ("test_share", self.test_share, 0.9),
        ):
            if not (math.isfinite(share) and 0 <= share <= most):
                raise _invalid(name, share, f"a number within 0..{most:g}")
        if self.validation_share + self.test_share > 0.95:
            raise _invalid(
                "validation_share + test_share",
                self.validation_share + self.test_share,
                "at most 0.95, so that something is left for training",
            )
        for name, text, allowed in (
            ("pair", self.pair, get_args(PairRule)),
            ("align", self.align, get_args(AlignMode)),
            ("scenes", self.scenes, get_args(SceneRule)),
            ("aligned", self.aligned, get_args(FollowRule)),
        ):
            if text not in allowed:
                raise _invalid(name, text, f"one of {', '.join(allowed)}")

    @property
    def shares(self) -> dict[Split, float]:
        """Share of the scenes of each split; they sum to 1."""
        rest = 1.0 - self.validation_share - self.test_share
        return {"train": rest, "validation": self.validation_share, "test": self.test_share}

    @property
    def sha256(self) -> str:
        """Hash of all settings."""
        return hash_of(self._deciding())

    def _deciding(self) -> dict[str, Any]:
        """All settings, but those that came later only where they change something: what was cut
        before them stands."""
        settings = asdict(self)
        if self.aligned == "none":
            del settings["aligned"]
        return settings


def shard_key(
    bracket: Bracket, settings: ShardSettings, place: str, stage_one_sha256: str | None = None
) -> str:
    """The key of a bracket's patches: the same key means the same bytes.

    Args:
        bracket: what is cut.
        settings: how.
        place: the scene and the split it is for, so that shares may change for the others alone.
        stage_one_sha256: of the weights that make structure labels, if there are any.
    """
    splitting = ("validation_share", "test_share", "scenes")
    cutting = {k: v for k, v in settings._deciding().items() if k not in splitting}
    label = [bracket.label_uri, bracket.label_kind, file_stamp(bracket.label_uri)]
    if bracket.label_kind == "radiance":
        label.append(_LINEAR_LABELS)
    later = {} if stage_one_sha256 is None else {"stage_one": stage_one_sha256}
    return hash_of(
        later
        | {
            "inputs": bracket.fingerprint,
            "label": label,
            "settings": cutting,
            "place": place,
            "algorithm": ALGORITHM_VERSION,
        }
    )


def _invalid(name: str, value: object, allowed: str) -> UsageError:
    return UsageError("option-invalid", f"{name} {value!r} must be {allowed}.")
