# SPDX-License-Identifier: Apache-2.0
"""Train, validation or test: decided for a whole scene, before anything is cut.

The scenes are ranked by a hash of the seed and their name, and the ranks are shared out. So the
split depends on the names of the scenes, the shares and the seed alone, and every split that
was asked for gets a scene.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from pipeline.errors import UsageError
from pipeline.sharding.settings import ShardSettings, Split

__all__ = ["assign_splits", "check_splits"]


def assign_splits(scenes: Iterable[str], settings: ShardSettings) -> dict[str, Split]:
    """Scene -> split.

    Args:
        scenes: names; their order and repetitions do not matter.
        settings: shares and seed.

    Raises:
        UsageError: ``dataset-too-small``, fewer scenes than splits.
    """
    ranked = sorted(set(scenes), key=lambda scene: (_rank(scene, settings.seed), scene))
    asked = _asked(settings)
    if len(ranked) < len(asked):
        raise _too_small(f"{len(ranked)} scenes cannot be split into {' and '.join(asked)}")
    shares = settings.shares
    splits: dict[str, Split] = {}
    left = ranked
    for number, split in enumerate(asked):
        rest = len(asked) - number - 1  # splits that still need a scene each
        fair = len(ranked) if rest == 0 else max(1, round(shares[split] * len(ranked)))
        count = min(fair, len(left) - rest)
        splits |= dict.fromkeys(left[:count], split)
        left = left[count:]
    return splits


def check_splits(filled: Iterable[str], settings: ShardSettings) -> None:
    """Make sure that every split that was asked for has patches.

    Raises:
        UsageError: ``dataset-too-small``.
    """
    empty = sorted(set(_asked(settings)) - set(filled))
    if empty:
        raise _too_small(f"no patches could be cut for {' and '.join(empty)}")


def _asked(settings: ShardSettings) -> list[Split]:
    """The splits with a share, training last: it takes what is left."""
    order: tuple[Split, ...] = ("test", "validation", "train")
    return [split for split in order if settings.shares[split] > 0]


def _rank(scene: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{scene}".encode("utf-8", "surrogateescape")).hexdigest()


def _too_small(what: str) -> UsageError:
    return UsageError(
        "dataset-too-small",
        f"{what[0].upper()}{what[1:]}; give more brackets, a smaller patch, or set "
        "validation_share or test_share to 0.",
    )
