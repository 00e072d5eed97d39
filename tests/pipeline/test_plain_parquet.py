# SPDX-License-Identifier: Apache-2.0
"""No Parquet file of another's making runs anything."""

from __future__ import annotations

import io
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.archive.lists import read_list
from pipeline.errors import UsageError
from pipeline.plain_parquet import open_plain
from tests.hostile.impostors import Calling


class Unpickling(pa.ExtensionType):
    """As Ray Data's: whoever asks for the values runs what they hold."""

    def __init__(self):
        super().__init__(pa.large_binary(), "bracketflow.test.unpickling")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls()

    def __arrow_ext_scalar_class__(self):
        return UnpicklingScalar


class UnpicklingScalar(pa.ExtensionScalar):
    def as_py(self, **_):
        return pickle.loads(self.value.as_py())


@pytest.fixture(autouse=True)
def registered():
    pa.register_extension_type(Unpickling())
    yield
    pa.unregister_extension_type("bracketflow.test.unpickling")


def _evil():
    stored = pa.array([pickle.dumps(Calling())], pa.large_binary())
    return pa.ExtensionArray.from_storage(Unpickling(), stored)


COLUMNS = {
    "a column": _evil,
    "in a list": lambda: pa.ListArray.from_arrays([0, 1], _evil()),
    "in a struct": lambda: pa.StructArray.from_arrays([_evil()], ["uri"]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_list_with_a_pickle_is_refused(tmp_path, kind):
    path = tmp_path / "list.parquet"
    pq.write_table(pa.table({"frames": [["/a.jpg"]], "evil": COLUMNS[kind]()}), path)
    with pytest.raises(SystemExit, match="a pickle ran"):  # or this test proves nothing
        pq.read_table(path).to_pylist()
    with pytest.raises(UsageError) as caught:
        list(read_list(str(path)))
    assert caught.value.code == "catalog-invalid"
    assert "evil" in caught.value.message


def test_plain_columns_are_read():
    buffer = io.BytesIO()
    table = pa.table({"a": [[1]], "b": pa.array(["x"]).dictionary_encode(), "c": [{"d": 1}]})
    pq.write_table(table, buffer)
    assert open_plain(buffer).read().to_pylist() == table.to_pylist()
