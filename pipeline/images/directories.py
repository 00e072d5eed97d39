# SPDX-License-Identifier: Apache-2.0
"""TIFF directories (IFDs), the structure behind EXIF, TIFF, DNG and most RAW files.

Written from the TIFF 6.0 and EXIF 2.32 specifications. Reading never raises: an entry that is
damaged, points outside the file or has an absurd size is simply not there.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = [
    "Directory",
    "Entry",
    "Order",
    "ReadAt",
    "field_width",
    "read_directory",
    "read_start",
    "write_directory",
]

Order = Literal["<", ">"]
ReadAt = Callable[[int, int], bytes]

# Field type -> (bytes of one value, struct letters of one value).
_KINDS: dict[int, tuple[int, str]] = {
    1: (1, "B"),
    2: (1, "s"),
    3: (2, "H"),
    4: (4, "I"),
    5: (8, "II"),
    6: (1, "b"),
    7: (1, "B"),
    8: (2, "h"),
    9: (4, "i"),
    10: (8, "ii"),
    11: (4, "f"),
    12: (8, "d"),
    13: (4, "I"),
    16: (8, "Q"),
    17: (8, "q"),
    18: (8, "Q"),
}
_MAX_ENTRIES = 4096
_MAX_VALUE_BYTES = 1 << 22
# A plain TIFF, a BigTIFF, Panasonic RW2, and three Olympus ORF.
_MAGIC = {42: False, 43: True, 0x55: False, 0x4F52: False, 0x5352: False}


class Entry(NamedTuple):
    """One field: its type, how many values, and where they lie."""

    kind: int
    values: int
    offset: int


@dataclass(frozen=True)
class Directory:
    """One IFD; values are fetched when asked for."""

    order: Order
    entries: Mapping[int, Entry]
    next_offset: int
    read_at: ReadAt

    def size(self, tag: int) -> int:
        """How many bytes a field claims to have, 0 where missing; nothing is read."""
        entry = self.entries.get(tag)
        return 0 if entry is None else _KINDS[entry.kind][0] * entry.values

    def raw(self, tag: int) -> bytes | None:
        """The bytes of a field's values, in the file's byte order; None where missing."""
        entry, size = self.entries.get(tag), self.size(tag)
        if entry is None or not 0 < size <= _MAX_VALUE_BYTES:
            return None
        data = self.read_at(entry.offset, size)
        return data if len(data) == size else None

    def numbers(self, tag: int) -> tuple[float, ...]:
        """A field's values; rationals are divided, those that are not finite come as NaN."""
        data = self.raw(tag)
        if data is None:
            return ()
        entry = self.entries[tag]
        size, letters = _KINDS[entry.kind]
        if letters == "s":
            return ()
        values = struct.unpack(self.order + letters * (len(data) // size), data)
        if len(letters) == 1:
            return values
        pairs = zip(values[::2], values[1::2], strict=True)
        return tuple(top / bottom if bottom else math.nan for top, bottom in pairs)

    def number(self, tag: int) -> float | None:
        """The first value of a field, None where there is none or it is not finite."""
        values = self.numbers(tag)
        return values[0] if values and math.isfinite(values[0]) else None

    def integer(self, tag: int, default: int = 0) -> int:
        """The first value of a field as a whole number."""
        value = self.number(tag)
        return default if value is None else int(value)

    def integers(self, tag: int) -> tuple[int, ...]:
        """A field's values as whole numbers, without those that are not finite."""
        return tuple(int(value) for value in self.numbers(tag) if math.isfinite(value))

    def text(self, tag: int) -> str | None:
        """A text field without padding; None where missing, empty or of another type."""
        data = self.raw(tag)
        if data is None or self.entries[tag].kind not in (2, 7):
            return None
        text = data.split(b"\0")[0].decode("utf-8", "replace")
        if text.isprintable():  # as nearly always, and quick
            return text.strip() or None
        return "".join(c for c in text if c.isprintable()).strip() or None

    def below(self, tag: int) -> Directory | None:
        """The directory that a pointer field names (EXIF, GPS, interoperability)."""
        offset = self.integer(tag)
        return read_directory(self.read_at, self.order, offset) if offset else None


def field_width(kind: int) -> int:
    """Bytes of one word of a field type: what a change of byte order turns round."""
    return _KINDS[kind][0] // len(_KINDS[kind][1])


def read_start(read_at: ReadAt) -> tuple[Order, int, bool] | None:
    """Byte order, offset of the first directory, and whether it is a BigTIFF; None if no TIFF."""
    head = read_at(0, 16)
    if len(head) < 8 or head[:2] not in (b"II", b"MM"):
        return None
    order: Order = "<" if head[:2] == b"II" else ">"
    magic = struct.unpack(order + "H", head[2:4])[0]
    if magic not in _MAGIC:
        return None
    if _MAGIC[magic]:
        return (order, struct.unpack(order + "Q", head[8:16])[0], True) if len(head) == 16 else None
    return order, struct.unpack(order + "I", head[4:8])[0], False


def read_directory(
    read_at: ReadAt, order: Order, offset: int, *, big: bool = False
) -> Directory | None:
    """The directory at an offset, None where there is none."""
    count_size, count_letter, width = (8, "Q", 20) if big else (2, "H", 12)
    head = read_at(offset, count_size)
    if offset <= 0 or len(head) < count_size:
        return None
    count = struct.unpack(order + count_letter, head)[0]
    if not 0 < count <= _MAX_ENTRIES:
        return None
    body = read_at(offset + count_size, count * width + (8 if big else 4))
    letters = order + ("HHQ" if big else "HHI")
    inline = width - struct.calcsize(letters)
    entries: dict[int, Entry] = {}
    for start in range(0, min(count, len(body) // width) * width, width):
        tag, kind, values = struct.unpack_from(letters, body, start)
        if kind not in _KINDS or tag in entries:
            continue
        where = offset + count_size + start + width - inline
        if _KINDS[kind][0] * values > inline:
            at = start + width - inline
            where = struct.unpack_from(order + ("Q" if big else "I"), body, at)[0]
        entries[tag] = Entry(kind, values, where)
    tail = body[count * width :]
    following = 0
    if len(tail) == (8 if big else 4):
        following = struct.unpack(order + ("Q" if big else "I"), tail)[0]
    return Directory(order, entries, following, read_at)


def write_directory(order: Order, fields: Iterable[tuple[int, int, bytes]], offset: int) -> bytes:
    """A directory that will stand at an (even) ``offset``, followed by its values.

    Args:
        order: byte order, also of the fields' bytes.
        fields: tag, field type, and the bytes of the values.
        offset: where the directory will stand, counted from the TIFF header.
    """
    ordered = sorted(fields)
    table = struct.pack(order + "H", len(ordered))
    values = b""
    start = offset + 2 + 12 * len(ordered) + 4
    for tag, kind, data in ordered:
        table += struct.pack(order + "HHI", tag, kind, len(data) // _KINDS[kind][0])
        if len(data) <= 4:
            table += data.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", start + len(values))
            values += data + b"\0" * (len(data) % 2)
    return table + struct.pack(order + "I", 0) + values
