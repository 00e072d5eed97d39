# SPDX-License-Identifier: Apache-2.0
"""Whether two brackets show the same scene, told by what is in the pictures.

Names do not tell: research sets hold the same photographs under other names, at other sizes,
crops, exposures and compressions. Each bracket becomes one small picture with the detail of all
its exposures (Mertens, Kautz, Van Reeth 2007), known by its SIFT features (Lowe 2004) with
Hellinger distances (Arandjelovic, Zisserman 2012). Two brackets show the same scene if features
match both ways and lie to each other as one homography has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.archive.scenes import scene_name
from pipeline.archive.shot import RADIANCE_EXTENSIONS, extension
from pipeline.bracket import Bracket, Pixels
from pipeline.errors import BracketflowError, PhotoError
from pipeline.images.reading import read_photo, read_radiance
from pipeline.stacks import read_bracket
from pipeline.visits import blamed

__all__ = [
    "SAME_SCENE_INLIERS",
    "Features",
    "Looked",
    "Overlap",
    "Seen",
    "compare",
    "count_inliers",
    "features_of",
    "look_at",
    "quick_picture",
    "same_scene_pairs",
]

SAME_SCENE_INLIERS = 10
"""From so many inliers on, two brackets count as one scene.

Measured on 166 brackets of 16 research sets, 13,695 pairs: the same photographs have 143 and
more, 296 and more but for two plain walls; other views of a place, or the same objects in another
place, 9 to 475; unrelated scenes at most 7, in 11,865 pairs.
"""

_SIDE_PX = 512
_FEATURES = 800
_CONTRAST = 0.03  # SIFT's own threshold, lowered: an equalised picture still has quiet corners
_RATIO = 0.8  # Lowe 2004, section 7.1
_REPROJECTION_PX = 5.0
_EACH_ALONE = ("frames-differ-in-size", "frames-identical")
_LIGHTS = (1 / 16, 1 / 4, 1.0, 4.0)  # exposures of a linear picture, around a grey median
_LEAST_MATCHES = 6  # a homography takes four: fewer than six prove nothing


@dataclass(frozen=True, kw_only=True)
class Features:
    """What a bracket is known by: where its N features lie, (N, 2) px; descriptors, (N, 128).

    Descriptors are of length 1, so that their products tell how near they are.
    """

    points: NDArray[np.float32]
    descriptors: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """A bracket whose scene occurs elsewhere, under whatever name."""

    bracket_id: str
    scene: str
    other_scene: str
    other_source: str
    """The archive that holds the other scene."""
    inliers: int


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A bracket or a single, and the features of its pictures."""

    bracket: Bracket
    features: Features

    @property
    def telling(self) -> bool:
        """Whether there is enough in the pictures to know them again by."""
        return len(self.features.points) >= _LEAST_MATCHES


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What was seen of some brackets, and which of them could not be read, and why."""

    seen: tuple[Seen, ...]
    failed: tuple[tuple[Bracket, BracketflowError], ...]


def look_at(brackets: Iterable[Bracket], *, progress: Callable[[], None] | None = None) -> Looked:
    """Read brackets and singles for comparison, each once; one frame is enough to be known by.

    What is kept of a bracket is at most 0.4 MB, whatever its size. Frames that do not fit each
    other are looked at one by one.

    Args:
        brackets: what to look at; singles may be linear pictures.
        progress: called once for each bracket.

    Raises:
        InfrastructureError: ``storage-failed``.
    """
    seen: list[Seen] = []
    failed: list[tuple[Bracket, BracketflowError]] = []
    for bracket in brackets:
        if progress is not None:
            progress()
        try:
            seen += [
                Seen(bracket=bracket, features=features_of(frames)) for frames in _views(bracket)
            ]
        except Exception as error:  # one photograph costs one row, whatever its decoder does
            failed.append((bracket, blamed(error, bracket)))
    return Looked(seen=tuple(seen), failed=tuple(failed))


def compare(seen: Iterable[Seen], others: Sequence[Seen]) -> list[Overlap]:
    """All pairs of one and other that show the same scene, the surest first."""
    found = [
        Overlap(
            bracket_id=one.bracket.id,
            scene=scene_name(one.bracket),
            other_scene=scene_name(other.bracket),
            other_source=other.bracket.source,
            inliers=inliers,
        )
        for one in seen
        for other in others
        if (inliers := count_inliers(one.features, other.features)) >= SAME_SCENE_INLIERS
    ]
    return sorted(found, key=lambda pair: (-pair.inliers, pair.scene, pair.other_scene))


def same_scene_pairs(seen: Sequence[Seen]) -> list[tuple[str, str]]:
    """Ids of all pairs among brackets that show the same scene."""
    return [
        (one.bracket.id, other.bracket.id)
        for one, other in combinations(seen, 2)
        if count_inliers(one.features, other.features) >= SAME_SCENE_INLIERS
    ]


def quick_picture(frames: Sequence[Pixels]) -> NDArray[np.uint8]:
    """One small grey picture of a bracket, (h, w), with the detail of all its exposures.

    Args:
        frames: K arrays (H, W, 3) of one size, uint8 or uint16; they need not be aligned well.
    """
    height, width = frames[0].shape[:2]
    scale = min(1.0, _SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = []
    for frame in frames:
        eight = frame if frame.dtype == np.uint8 else (frame >> 8).astype(np.uint8)
        small.append(cv2.resize(eight, size, interpolation=cv2.INTER_AREA))
    fused = np.clip(cv2.createMergeMertens().process(small) * 255, 0, 255).astype(np.uint8)
    grey = cv2.cvtColor(fused, cv2.COLOR_RGB2GRAY)
    equal: Any = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey)
    return np.asarray(equal, np.uint8)


def _views(bracket: Bracket) -> list[Sequence[Pixels]]:
    """The frames of a bracket, those in one list that show the same at one size."""
    if len(bracket.frames) > 1:
        try:
            return [read_bracket(bracket).stack.frames]
        except PhotoError as error:
            if error.code not in _EACH_ALONE:
                raise
    return [_picture(frame.uri) for frame in bracket.frames]


def _picture(uri: str) -> Sequence[Pixels]:
    """One picture, at several exposures if it is linear."""
    if extension(uri) not in RADIANCE_EXTENSIONS:
        return [read_photo(uri).pixels]
    radiance = np.maximum(np.nan_to_num(read_radiance(uri), posinf=0.0), 0)
    lit = radiance[radiance > 0]
    grey = 0.18 / max(float(np.median(lit)) if lit.size else 1.0, 1e-30)
    return [
        (np.clip(radiance * np.float32(grey * light), 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
        for light in _LIGHTS
    ]


def features_of(frames: Sequence[Pixels]) -> Features:
    """The features of a bracket's pictures (see :func:`quick_picture`)."""
    sift = cv2.SIFT.create(nfeatures=_FEATURES, contrastThreshold=_CONTRAST)
    found: tuple[Any, Any] = sift.detectAndCompute(quick_picture(frames), None)
    keypoints, descriptors = found
    if descriptors is None:
        descriptors = np.empty((0, 128), np.float32)
    sums = np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6)
    return Features(
        points=np.array([point.pt for point in keypoints], np.float32).reshape(-1, 2),
        descriptors=np.sqrt(descriptors / sums),
    )


def count_inliers(one: Features, other: Features) -> int:
    """How many features two brackets have in common, at places that fit each other."""
    if min(len(one.points), len(other.points)) < _LEAST_MATCHES:
        return 0
    likeness = one.descriptors @ other.descriptors.T
    rows = np.arange(len(one.points))
    nearest = likeness.argmax(axis=1)
    best = likeness[rows, nearest]
    second = np.partition(likeness, -2, axis=1)[:, -2]
    # Of unit vectors, the squared distance is 2 - 2 times their product.
    clear = (1 - best) < _RATIO**2 * (1 - second)
    both_ways = likeness.argmax(axis=0)[nearest] == rows
    good = clear & both_ways
    if good.sum() < _LEAST_MATCHES:
        return 0
    _, mask = cv2.findHomography(
        one.points[good],
        other.points[nearest[good]],
        cv2.USAC_MAGSAC,
        _REPROJECTION_PX,
        maxIters=2000,
        confidence=0.999,
    )
    return 0 if mask is None else int(mask.sum())
