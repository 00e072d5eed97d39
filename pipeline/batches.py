# SPDX-License-Identifier: Apache-2.0
"""The order of training data, as a pure function of the seed, and reading a batch of it.

Batch ``step`` of a run is fixed by the seed and the step alone: not by the number of workers,
and not by where a run was resumed. Each worker takes a contiguous slice of it. No Ray is needed
here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.augment import AugmentSettings, augment, plain
from pipeline.errors import UsageError
from pipeline.light_batches import check_tones, plain_fields, training_fields
from pipeline.patches import Patch, PatchRef, read_patch

__all__ = [
    "BatchPlan",
    "BatchSource",
    "fitting",
    "read_training_batch",
    "read_validation_batch",
    "validation_plans",
]

Arrays = dict[str, NDArray[Any]]

# What the seed is used for; each use has a stream of its own.
_FRAME_COUNTS, _SHUFFLE, _AUGMENT = range(3)


@dataclass(frozen=True)
class BatchPlan:
    """What a batch is made of: ``frames`` (k) frames of each of ``refs``, in this order.

    ``first`` is the place of the first of them in the global batch; ``step`` counts from 0.
    """

    step: int
    frames: int
    refs: tuple[PatchRef, ...]
    first: int = 0

    def part(self, rank: int, size: int) -> BatchPlan:
        """The slice of worker ``rank`` of ``size`` workers."""
        share = len(self.refs) // size
        first = rank * share
        return BatchPlan(self.step, self.frames, self.refs[first : first + share], first)

    @property
    def keys(self) -> tuple[str, ...]:
        """What the patches are called."""
        return tuple(ref.key for ref in self.refs)


@dataclass(frozen=True, kw_only=True)
class BatchSource:
    """The endless stream of training batches.

    The number of frames k of each batch is drawn from ``frames``. Patches with at least k frames
    are gone through in a shuffled order, a new one each time round, separately for every k.

    Args:
        refs: all patches, in a fixed order.
        frames: fewest and most frames of a batch.
        batch: patches of a global batch.
        seed: of order and augmentation.
        settings: see :func:`pipeline.augment.augment`.
        crop_px: side of the crop; None for whole patches.
        fields: what batches hold besides frames, of :data:`pipeline.light_batches.FIELDS`; nothing
            for fusion.

    Raises:
        UsageError: ``recipe-invalid``, no patch has that many frames, or frames are to be changed
            in a way in which the fields would not hold any more.
    """

    refs: tuple[PatchRef, ...]
    frames: tuple[int, int]
    batch: int
    seed: int
    settings: AugmentSettings
    crop_px: int | None = None
    fields: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_tones(self.settings, self.fields)
        most = max((ref.count for ref in self.refs), default=0)
        if most < self.frames[1]:
            raise UsageError(
                "recipe-invalid",
                f"The recipe wants up to {self.frames[1]} frames (data.frames), but no training "
                f"patch has more than {most}; lower data.frames or shard other brackets.",
            )

    def plans(self, start: int, stop: int) -> Iterator[BatchPlan]:
        """The batches ``start`` to ``stop - 1`` of the run."""
        counts = self._frame_counts(stop)
        done = np.bincount(counts[:start], minlength=self.frames[1] + 1)
        for step in range(start, stop):
            k = int(counts[step])
            refs = self._take(k, int(done[k]) * self.batch)
            done[k] += 1
            yield BatchPlan(step, k, refs)

    def _frame_counts(self, stop: int) -> NDArray[np.int64]:
        """k of the batches 0 to ``stop - 1``."""
        rng = np.random.default_rng([self.seed, _FRAME_COUNTS])
        return rng.integers(self.frames[0], self.frames[1] + 1, stop)

    def _take(self, k: int, first: int) -> tuple[PatchRef, ...]:
        """A batch of the endless shuffled sequence of the patches with k frames or more."""
        pool = self._pools[k]
        taken = []
        for place in range(first, first + self.batch):
            time_round, index = divmod(place, len(pool))
            taken.append(self.refs[self._order(k, time_round)[index]])
        return tuple(taken)

    @cached_property
    def _pools(self) -> dict[int, NDArray[np.intp]]:
        counts = np.array([ref.count for ref in self.refs])
        low, high = self.frames
        return {k: np.flatnonzero(counts >= k) for k in range(low, high + 1)}

    @cached_property
    def _orders(self) -> dict[int, tuple[int, NDArray[np.intp]]]:
        return {}

    def _order(self, k: int, time_round: int) -> NDArray[np.intp]:
        known = self._orders.get(k)
        if known is None or known[0] != time_round:
            rng = np.random.default_rng([self.seed, _SHUFFLE, k, time_round])
            known = (time_round, rng.permutation(self._pools[k]))
            self._orders[k] = known
        return known[1]


def read_training_batch(source: BatchSource, plan: BatchPlan) -> Arrays:
    """Read and augment the patches of (a slice of) a batch of ``source``.

    Returns:
        ``frames`` (B, k, 3, side, side) float32 in 0..1, and the source's fields.

    Raises:
        UsageError: ``shards-invalid``, also where patches lack a field; ``recipe-invalid`` where
            they are smaller than the crop.
    """
    with fitting(plan):
        return _stacked(
            _training_patch(source, plan, read_patch(ref), place)
            for place, ref in enumerate(plan.refs, plan.first)
        )


def _training_patch(source: BatchSource, plan: BatchPlan, patch: Patch, place: int) -> Arrays:
    rng = np.random.default_rng([source.seed, _AUGMENT, plan.step, place])
    settings, crop_px = source.settings, source.crop_px
    if source.fields:
        return training_fields(patch, source.fields, settings, plan.frames, rng, crop_px=crop_px)
    times = None if patch.times_s is None else np.array(patch.times_s)
    frames = augment(patch.frames, times, settings, plan.frames, rng, crop_px=crop_px)
    return {"frames": frames}


def validation_plans(
    refs: Sequence[PatchRef], *, frames: tuple[int, int], batch: int, most: int
) -> tuple[BatchPlan, ...]:
    """The batches to validate with, the same for any number of workers.

    At most ``most`` patches, spread evenly over all, of each as many frames as ``frames`` allows.

    Raises:
        UsageError: ``recipe-invalid``, no patch has enough frames.
    """
    usable = [ref for ref in refs if ref.count >= frames[0]]
    if not usable:
        raise UsageError(
            "recipe-invalid",
            f"No validation patch has {frames[0]} frames (data.frames); lower data.frames, or "
            "shard more scenes or with a larger share for validation.",
        )
    chosen = np.linspace(0, len(usable) - 1, min(most, len(usable))).round().astype(int)
    plans: list[BatchPlan] = []
    for k in range(frames[0], frames[1] + 1):
        same = [usable[i] for i in chosen if min(usable[i].count, frames[1]) == k]
        for first in range(0, len(same), batch):
            plans.append(BatchPlan(len(plans), k, tuple(same[first : first + batch])))
    return tuple(plans)


def read_validation_batch(
    plan: BatchPlan, *, crop_px: int | None, fields: tuple[str, ...] = ()
) -> Arrays:
    """Read the patches of a batch as they are; see :func:`pipeline.augment.plain`, and
    :func:`pipeline.light_batches.plain_fields` where there are fields.

    Raises:
        UsageError: as :func:`read_training_batch`.
    """
    k = plan.frames
    with fitting(plan):
        patches = (read_patch(ref) for ref in plan.refs)
        if fields:
            return _stacked(plain_fields(patch, fields, k, crop_px=crop_px) for patch in patches)
        return _stacked({"frames": plain(p.frames, k, crop_px=crop_px)} for p in patches)


def _stacked(patches: Iterable[Arrays]) -> Arrays:
    found = list(patches)
    return {name: np.stack([patch[name] for patch in found]) for name in found[0]}


@contextmanager
def fitting(plan: BatchPlan) -> Iterator[None]:
    """Blame the recipe and the shards where patches cannot be made into a batch.

    Raises:
        UsageError: ``recipe-invalid``, in the place of a ValueError.
    """
    try:
        yield
    except ValueError as error:
        raise UsageError(
            "recipe-invalid",
            f"The patches {', '.join(plan.keys[:4])}, ... make no batch: {error}. Change "
            "data.crop_px, or shard all brackets with one patch size.",
        ) from error
