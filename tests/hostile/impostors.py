# SPDX-License-Identifier: Apache-2.0
"""Files that are no pictures, with the name of one."""

from __future__ import annotations

import io
import pickle
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Iterator

from pipeline.images.png import SIGNATURE
from tests.hostile.bombs import open_chunk, png_of
from tests.hostile.seeds import seeds

__all__ = ["Calling", "impostors"]


class Calling:
    """Unpickled, it calls a function: here one that raises what a test can tell."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (exec, ("raise SystemExit('a pickle ran')",))


def impostors() -> Iterator[tuple[str, str, bytes, int]]:
    """``(kind, extension, content, bytes on disk)`` of files that are no pictures."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../../x", bytes(1 << 20))
    database = sqlite3.connect(":memory:")
    database.execute("create table t(x)")
    others = {
        "zip": archive.getvalue(),
        "html": b"<!doctype html><script>alert(1)</script>" * 9,
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n" * 5,
        "elf": b"\x7fELF\2\1\1" + bytes(200),
        "exe": b"MZ" + bytes(200),
        "pickle": pickle.dumps(Calling()),
        "sqlite": database.serialize(),
        "gif": b"GIF89a\xff\xff\xff\xff\xf7" + bytes(200),
        "bmp": b"BM" + struct.pack("<IIIIii", 99, 0, 54, 40, 2**31 - 1, 2**31 - 1) + bytes(64),
        "webp": b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(64),
        "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + seeds()["avif"][28:],
        "mp4": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(99),
        "pfm": b"PF\n99999999 99999999\n-1.0\n" + bytes(64),
        "ppm": b"P6\n99999999 99999999\n65535\n" + bytes(64),
        "text": "ÿþ Liebes Tagebuch …".encode("utf-16"),
        "psd": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 300_000, 300_000, 16, 3),
        "fits": b"SIMPLE  =                    T".ljust(2880),
        "gzip": zlib.compress(bytes(1 << 20), wbits=31),
        "empty": b"",
        "one byte": b"\xff",
    }
    for number, (what, data) in enumerate(others.items()):
        yield f"other: {what}", ("jpg", "png", "tif", "dng")[number % 4], data, 0
    for start in (
        b"\xff\xd8\xff",
        SIGNATURE,
        b"II*\0",
        b"MM\0+",
        b"#?RADIANCE\n",
        b"\x76\x2f\x31\x01",
    ):
        yield "other: a magic number", "jpg", start, 0
        yield "other: a magic number and zeros", "jpg", start + bytes(4096), 0
    yield "sparse: a gigabyte of zeros", "jpg", b"", 1 << 30
    yield "sparse: a gigabyte behind a PNG's head", "png", seeds()["png 8"][:60], 1 << 30
    yield (
        "sparse: an EXIF chunk of a gigabyte",
        "png",
        png_of(8, 8, between=open_chunk()),
        1 << 30,
    )
    yield "sparse: more than any cap", "tif", seeds()["tiff"], 1 << 40
