# SPDX-License-Identifier: Apache-2.0
"""Hostile files by the thousand, the same ones every time.

``hostile_files(count)`` gives the bombs and the impostors that were thought out one by one, and
fills up with whole pictures that were cut, flipped and lied in at places of their structure.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from tests.hostile.bombs import bombs
from tests.hostile.impostors import impostors
from tests.hostile.seeds import EXTENSIONS, places, repair_checksums, seeds

__all__ = ["Hostile", "hostile_files", "plant"]

_SEED = 20_240_501
_LIES = (0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A file: what is wrong with it, its name, its first bytes, and how large it claims to be.

    ``sparse_bytes`` is the size of the file on disk where it goes on with a hole.
    """

    kind: str
    name: str
    data: bytes
    sparse_bytes: int = 0


def hostile_files(count: int, seed: int = _SEED) -> list[Hostile]:
    """So many files; the hand-made ones first as far as there is room, spread over all kinds."""
    made = list(chain(_made_by_hand(), impostors()))
    if count < len(made):
        made = random.Random(seed).sample(made, count)
    chosen = [(kind, extension, data, sparse) for kind, extension, data, sparse in made]
    chosen += islice(_damaged(random.Random(seed)), count - len(chosen))
    return [
        Hostile(kind=kind, name=f"{number:04d}.{extension}", data=data, sparse_bytes=sparse)
        for number, (kind, extension, data, sparse) in enumerate(chosen)
    ]


def plant(file: Hostile, folder: Path) -> Path:
    """Write a file; holes take no room on disk."""
    path = folder / file.name
    with path.open("wb") as handle:
        handle.write(file.data)
        handle.truncate(max(file.sparse_bytes, len(file.data)))
    return path


def _made_by_hand() -> Iterator[tuple[str, str, bytes, int]]:
    for kind, data in bombs():
        yield f"bomb: {kind}", EXTENSIONS[kind.split()[0]], data, 0


def _damaged(dice: random.Random) -> Iterator[tuple[str, str, bytes, int]]:
    """Without end: every seed in turn, cut, flipped, lied in."""
    while True:
        for name, whole in seeds().items():
            for damage in (_cut, _flip, _lie):
                data = damage(name, whole, dice)
                if name.startswith("png") and dice.random() < 0.7:
                    data = repair_checksums(data)
                container = name.split()[0]
                kind = f"{container} {damage.__name__.removeprefix('_')}"
                yield kind, EXTENSIONS[container], data, 0


def _cut(name: str, whole: bytes, dice: random.Random) -> bytes:
    at = dice.choice(places(name, whole)) + dice.choice((0, 0, 1, 2, 4, 7))
    return whole[: min(at, len(whole) - 1)]


def _flip(name: str, whole: bytes, dice: random.Random) -> bytes:
    data = bytearray(whole)
    for _ in range(dice.choice((1, 1, 2, 8))):
        at = dice.choice(
            (dice.choice(places(name, whole)) + dice.randrange(12), dice.randrange(len(data)))
        )
        data[min(at, len(data) - 1)] ^= 1 << dice.randrange(8)
    return bytes(data)


def _lie(name: str, whole: bytes, dice: random.Random) -> bytes:
    data = bytearray(whole)
    for _ in range(dice.choice((1, 1, 2))):
        at = dice.choice(places(name, whole)) + dice.randrange(0, 12)
        width, order = dice.choice((2, 4, 4, 8)), dice.choice(("little", "big"))
        lie = dice.choice(_LIES) & (1 << 8 * width) - 1
        data[at : at + width] = lie.to_bytes(width, order)
    return bytes(data)
