# SPDX-License-Identifier: Apache-2.0
"""Opening Parquet files of anybody's making: plain values only.

A Parquet file may name types of its own for its columns, and whoever has registered such a type
decides what becomes of the values. Ray Data registers one that unpickles them, which runs what the
file's maker wrote; nothing of ours has such columns, so a file that has one is refused.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["open_plain", "refuse_extensions"]


def open_plain(source: Any, **options: Any) -> Any:
    """A ``pyarrow.parquet.ParquetFile`` without types of its own.

    Args:
        source: a path or an open file.
        options: of ``ParquetFile``.

    Raises:
        pyarrow.ArrowInvalid: it is no Parquet file, or has columns of other types.
    """
    try:
        file = pq.ParquetFile(source, **options)
    except ValueError as error:  # ArrowInvalid is one, and what registered types raise
        raise pa.ArrowInvalid(str(error)) from error
    try:
        refuse_extensions(file.schema_arrow)
    except pa.ArrowInvalid:
        file.close()
        raise
    return file


def refuse_extensions(schema: Any) -> None:
    """Refuse a schema in which a column, or a part of one, is of an extension type.

    Raises:
        pyarrow.ArrowInvalid: one is.
    """
    for field in schema:
        if _is_extended(field.type):
            raise pa.ArrowInvalid(
                f"the column {field.name!r} is of a type of its own ({field.type})"
            )


def _is_extended(kind: Any) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return True
    if pa.types.is_dictionary(kind):
        return _is_extended(kind.value_type)
    return any(_is_extended(kind.field(number).type) for number in range(kind.num_fields))
