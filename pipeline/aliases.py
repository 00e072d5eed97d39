# SPDX-License-Identifier: Apache-2.0
"""Keys that were found to mean the same result, for the contents of their frames are the same.

A copied archive has other file times, hence other keys, but the same photographs. That is found
out once, by hashing them; an alias says so from then on. Aliases lie beside the segments, in
files that readers of Parquet take no notice of.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from pipeline import storage
from pipeline.fault_points import fault_point
from pipeline.plain_parquet import refuse_extensions
from pipeline.segments import report_files, run_folder

__all__ = ["Aliases", "read_aliases", "write_aliases"]

_PREFIX = "_aliases-"
_SCHEMA = pa.schema([("digest", pa.binary(16)), ("same_as", pa.binary(16))])


@dataclass(frozen=True, kw_only=True)
class Aliases:
    """Digests of keys, sorted, and what each of them is the same as."""

    digests: NDArray[Any] = field(default_factory=lambda: np.empty(0, "S16"))
    same_as: NDArray[Any] = field(default_factory=lambda: np.empty(0, "S16"))

    def resolved(self, digests: NDArray[Any]) -> NDArray[Any]:
        """The digests, those with an alias replaced by what it says."""
        if not len(self.digests):
            return digests
        place = np.minimum(np.searchsorted(self.digests, digests), len(self.digests) - 1)
        return np.where(self.digests[place] == digests, self.same_as[place], digests)

    def resolve(self, digest: bytes) -> bytes:
        """The same for one digest."""
        return bytes(self.resolved(np.array([digest], "S16"))[0]).ljust(16, b"\0")


def write_aliases(
    destination: str, run_id: str, number: int, same_as: Mapping[bytes, bytes]
) -> None:
    """Put on record which digests of keys mean what other ones mean.

    Args:
        destination: the folder or URI that holds ``report/``.
        run_id: the run that found out.
        number: another one for each call of a run.
        same_as: digest -> digest of a row's key.

    Raises:
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    table = pa.table([list(same_as), list(same_as.values())], schema=_SCHEMA)
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, _SCHEMA) as writer:
        writer.write_table(table)
    fault_point("ledger.alias.before")
    name = f"{_PREFIX}{number:06d}.arrow"
    storage.write_atomic(storage.join(run_folder(destination, run_id), name), buffer.getvalue())
    fault_point("ledger.alias.after")


def read_aliases(destination: str) -> Aliases:
    """All aliases of a destination; of several for one key, that of the last run."""
    digests, same_as = [np.empty(0, "S16")], [np.empty(0, "S16")]
    for name, uri in report_files(destination).items():
        if not name.rpartition("/")[2].startswith(_PREFIX):
            continue
        with storage.open_file(uri) as handle:
            table = pa.ipc.open_file(io.BytesIO(handle.read())).read_all()
        refuse_extensions(table.schema)
        digests.append(np.array(table["digest"].to_pylist(), "S16"))
        same_as.append(np.array(table["same_as"].to_pylist(), "S16"))
    # Of equal ones np.unique names the first: the last written, read backwards.
    keys, values = np.concatenate(digests)[::-1], np.concatenate(same_as)[::-1]
    unique, first = np.unique(keys, return_index=True)
    return Aliases(digests=unique, same_as=values[first])
