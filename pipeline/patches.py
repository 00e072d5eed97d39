# SPDX-License-Identifier: Apache-2.0
"""Patches to train on: all frames of a small square of a bracket, as Parquet.

Below a folder or URI of shards::

    patches/split=<split>/<bracket_id>.parquet   one file a bracket, one row group a patch
    split.parquet                                which scene is in which split, and why

``split.parquet`` is written last and says which files count: one that it does not name is left
over from another run. No Ray is needed here.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.bracket import Pixels
from pipeline.plain_parquet import open_plain
from pipeline.sharding.split_table import read_split, reading_shards

__all__ = [
    "PATCH_SCHEMA",
    "Patch",
    "PatchRef",
    "encode_patches",
    "open_patches",
    "patches_path",
    "read_patch",
    "write_patches",
]

_VERSION = 1
_COUNT = b"bracketflow.frames"
_OPENERS = 16  # footers read side by side, so that remote storage is not waited for


def _field(name: str, kind: Any, about: str, *, unit: str = "", null: bool = False) -> Any:
    metadata = {"description": about} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=null, metadata=metadata)


_DOUBLES = pa.list_(pa.float64())
PATCH_SCHEMA = pa.schema(
    [
        _field("bracket_id", pa.string(), "the bracket it was cut from"),
        _field("scene", pa.string(), "the view; all its brackets are in one split"),
        _field("index", pa.int32(), "number of the patch within its bracket"),
        _field("top", pa.int32(), "first row in the aligned, reduced frames", unit="px"),
        _field("left", pa.int32(), "first column in the same", unit="px"),
        _field("size_px", pa.int32(), "side P", unit="px"),
        _field("count", pa.int32(), "frames K"),
        _field("dtype", pa.string(), "uint8 or uint16, of frames and aligned"),
        _field(
            "frames", pa.large_binary(), "K x 3 x P x P, C order, little endian, dark to bright"
        ),
        _field("times_s", _DOUBLES, "exposure times of the frames", unit="s", null=True),
        _field("evs", _DOUBLES, "light taken in, brighter is larger", unit="stop", null=True),
        _field("label", pa.large_binary(), "reference picture, 3 x P x P, as frames", null=True),
        _field("label_dtype", pa.string(), "uint8, uint16 or float32 (linear)", null=True),
        _field("aligned", pa.large_binary(), "frames laid on the reference, as frames", null=True),
        _field("mask", pa.large_binary(), "K x P x P uint8, 255 where aligned holds", null=True),
        _field(
            "structure",
            pa.large_binary(),
            "linear pseudo-label of a first stage, 3 x P x P float32",
            null=True,
        ),
        _field("contrast", pa.float64(), "deviation of the best exposed frame's luma, 0..1"),
    ],
    metadata={"bracketflow.patches": str(_VERSION)},
)
"""Columns of a file of patches; the fields' metadata hold descriptions and units."""


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A square of a bracket. ``evs`` and ``times_s`` hold K numbers, or None where unknown.

    ``frames`` are (K, 3, P, P) uint8 or uint16, display-referred sRGB, dark to bright. ``label``
    is (3, P, P) uint8, uint16 (display-referred) or float32 (linear); ``aligned`` is like
    ``frames``; ``mask`` is (K, P, P) uint8. Linear labels are in the scale in which 1 makes the
    middle frame white; ``structure`` is one as well, see ``pipeline.pseudo_labels``.
    """

    bracket_id: str
    scene: str
    index: int
    top: int
    left: int
    frames: Pixels
    times_s: tuple[float, ...] | None = None
    evs: tuple[float, ...] | None = None
    label: Any = None
    aligned: Pixels | None = None
    mask: Any = None
    structure: Any = None
    contrast: float = 0.0

    @property
    def key(self) -> str:
        """What the patch is called: ``<bracket_id>/<index>``."""
        return _key(self.bracket_id, self.index)


@dataclass(frozen=True)
class PatchRef:
    """Where a patch is, what it is called, and how many frames (K) it has."""

    uri: str
    row_group: int
    key: str
    count: int


def _key(bracket_id: str, index: int) -> str:
    return f"{bracket_id}/{index:05d}"


def patches_path(split: str, bracket_id: str) -> str:
    """Where the patches of a bracket are, relative to the shards."""
    return f"patches/split={split}/{bracket_id}.parquet"


def encode_patches(patches: Sequence[Patch]) -> bytes:
    """The file of one bracket's patches; the same patches give the same bytes.

    Raises:
        ValueError: no patches, or patches of several brackets, counts or depths.
    """
    if len({(p.bracket_id, p.scene, p.frames.shape, p.frames.dtype.str) for p in patches}) != 1:
        raise ValueError("a file of patches holds those of one bracket, all of one shape and depth")
    schema = PATCH_SCHEMA
    if all(patch.structure is None for patch in patches):  # as files were before there was one
        schema = schema.remove(schema.get_field_index("structure"))
    schema = schema.with_metadata(
        (schema.metadata or {}) | {_COUNT: str(len(patches[0].frames)).encode()}
    )
    buffer = io.BytesIO()
    # Statistics of pixels are pixels; checksums tell rotten bits, which zstd need not notice.
    with pq.ParquetWriter(
        buffer,
        schema,
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    ) as writer:
        for patch in patches:
            writer.write_table(pa.Table.from_pylist([_row(patch)], schema=schema))
    return buffer.getvalue()


def write_patches(patches: Sequence[Patch], uri: str) -> str:
    """Write one bracket's patches; the file appears when it is complete.

    Returns:
        the SHA-256 of the file.

    Raises:
        ValueError: see :func:`encode_patches`.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    data = encode_patches(patches)
    storage.write_atomic(uri, data)
    return storage.sha256_of(data)


def open_patches(shards: str, split: str) -> tuple[PatchRef, ...]:
    """The patches of a split, sorted by key; every file's directory is read, no pixel is.

    Raises:
        UsageError: ``shards-invalid``, naming the file that is missing or damaged.
    """
    table = read_split(shards)
    ids = [
        bracket
        for bracket, where in zip(
            table["bracket_id"].to_pylist(), table["split"].to_pylist(), strict=True
        )
        if where == split
    ]
    with ThreadPoolExecutor(_OPENERS) as pool:
        found = pool.map(lambda name: _refs(shards, split, name), ids)
        return tuple(sorted((r for refs in found for r in refs), key=lambda ref: ref.key))


def read_patch(ref: PatchRef) -> Patch:
    """Read one patch.

    Raises:
        UsageError: ``shards-invalid``, naming the file that is missing or damaged.
    """
    with reading_shards(ref.uri), storage.open_read(ref.uri) as handle:
        file = open_plain(handle, page_checksum_verification=True)
        return _patch(file.read_row_group(ref.row_group).to_pylist()[0])


def _refs(shards: str, split: str, bracket_id: str) -> list[PatchRef]:
    uri = storage.join(shards, *patches_path(split, bracket_id).split("/"))
    with reading_shards(uri), storage.open_read(uri) as handle:
        footer = pq.read_metadata(handle)
        count = int((footer.metadata or {})[_COUNT])
        return [
            PatchRef(uri=uri, row_group=index, key=_key(bracket_id, index), count=count)
            for index in range(footer.num_row_groups)
        ]


def _row(patch: Patch) -> dict[str, Any]:
    return {
        "bracket_id": patch.bracket_id,
        "scene": patch.scene,
        "index": patch.index,
        "top": patch.top,
        "left": patch.left,
        "size_px": patch.frames.shape[-1],
        "count": len(patch.frames),
        "dtype": patch.frames.dtype.name,
        "frames": _bytes(patch.frames),
        "times_s": patch.times_s,
        "evs": patch.evs,
        "label": _bytes(patch.label),
        "label_dtype": None if patch.label is None else patch.label.dtype.name,
        "aligned": _bytes(patch.aligned),
        "mask": _bytes(patch.mask),
        "structure": _bytes(patch.structure),
        "contrast": patch.contrast,
    }


def _bytes(pixels: Any) -> bytes | None:
    if pixels is None:
        return None
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).tobytes()


def _patch(row: dict[str, Any]) -> Patch:
    count, size = row["count"], row["size_px"]
    shape = (count, 3, size, size)
    return Patch(
        bracket_id=row["bracket_id"],
        scene=row["scene"],
        index=row["index"],
        top=row["top"],
        left=row["left"],
        frames=_pixels(row["frames"], row["dtype"], shape, ("uint8", "uint16")),
        times_s=None if row["times_s"] is None else tuple(row["times_s"]),
        evs=None if row["evs"] is None else tuple(row["evs"]),
        label=_pixels(row["label"], row["label_dtype"], shape[1:], ("uint8", "uint16", "float32")),
        aligned=_pixels(row["aligned"], row["dtype"], shape, ("uint8", "uint16")),
        mask=_pixels(row["mask"], "uint8", (count, size, size), ("uint8",)),
        structure=_pixels(row.get("structure"), "float32", shape[1:], ("float32",)),
        contrast=row["contrast"],
    )


def _pixels(data: bytes | None, dtype: str, shape: tuple[int, ...], allowed: Sequence[str]) -> Any:
    if data is None:
        return None
    if dtype not in allowed:
        raise ValueError(f"pixels of type {dtype!r}")
    stored = np.dtype(dtype).newbyteorder("<")
    # A copy, since what Parquet hands out is read-only, which torch does not take.
    return np.frombuffer(data, stored).reshape(shape).astype(dtype)
