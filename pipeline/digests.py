# SPDX-License-Identifier: Apache-2.0
"""Ids, keys and paths as numbers, whole columns at a time.

A million hexadecimal strings are a hundred megabytes of Python objects, the same as numbers eight
or sixteen. A bracket's id is a number of 64 bits anyway; of a key the first 128 bits are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["digest_of", "digests_of", "id_number", "id_numbers", "path_numbers"]

_ID_DIGITS = 16
_KEY_DIGITS = 64
_DIGEST_BYTES = 16
_HEX = np.zeros(256, np.bool_)
_HEX[list(b"0123456789abcdef")] = True


def id_number(bracket_id: str) -> int:
    """A bracket's id as a number; another text gets a number that will not meet any other."""
    if len(bracket_id) == _ID_DIGITS and _all_hex(bracket_id.encode()):
        return int(bracket_id, 16)
    return int.from_bytes(_hash(bracket_id)[:8], "big")


def id_numbers(column: pa.ChunkedArray) -> NDArray[np.uint64]:
    """The same of a column of ids, null as the empty text."""
    digits = _hex_column(column, _ID_DIGITS)
    if digits is None:
        return np.array([id_number(text or "") for text in column.to_pylist()], np.uint64)
    return np.frombuffer(digits, ">u8").astype(np.uint64)


def digest_of(key: str | None) -> bytes:
    """16 bytes that stand for a key; zeros for none."""
    if key is None:
        return bytes(_DIGEST_BYTES)
    if len(key) == _KEY_DIGITS and _all_hex(key.encode()):
        return bytes.fromhex(key[: 2 * _DIGEST_BYTES])
    return _hash(key)


def digests_of(column: pa.ChunkedArray) -> NDArray[Any]:
    """The same of a column of keys, as an array of ``S16``."""
    if column.null_count == len(column):
        return np.zeros(len(column), "S16")
    digits = _hex_column(pc.fill_null(column, "0" * _KEY_DIGITS), _KEY_DIGITS)
    if digits is None:
        return np.array([digest_of(key) for key in column.to_pylist()], "S16")
    whole = np.frombuffer(digits, np.uint8).reshape(-1, _KEY_DIGITS // 2)
    return np.ascontiguousarray(whole[:, :_DIGEST_BYTES]).view("S16").reshape(-1)


def path_numbers(paths: Sequence[str]) -> NDArray[np.int64]:
    """A number for each path, never 0; the same within a process only."""
    numbers = np.fromiter(map(hash, paths), np.int64, len(paths))
    numbers[numbers == 0] = 1
    return numbers


def _hash(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


def _all_hex(digits: bytes) -> bool:
    return bool(_HEX[np.frombuffer(digits, np.uint8)].all())


def _hex_column(column: pa.ChunkedArray, digits: int) -> bytes | None:
    """The bytes of a column of lower-case hexadecimal texts of one length, or None."""
    if column.null_count or not pc.all(pc.equal(pc.binary_length(column), digits)).as_py():
        return None
    text = b"".join(_text_of(chunk, digits) for chunk in column.chunks)
    return bytes.fromhex(text.decode("ascii")) if _all_hex(text) else None


def _text_of(chunk: pa.StringArray, digits: int) -> bytes:
    if not len(chunk):
        return b""
    _, offsets, data = chunk.buffers()
    width = np.int64 if pa.types.is_large_string(chunk.type) else np.int32
    first = int(np.frombuffer(offsets, width)[chunk.offset])
    return bytes(data[first : first + digits * len(chunk)])
