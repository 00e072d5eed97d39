# SPDX-License-Identifier: Apache-2.0
"""Files of patches: what is written is read, damage is named."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import storage
from pipeline.errors import UsageError
from pipeline.patches import (
    PATCH_SCHEMA,
    Patch,
    encode_patches,
    open_patches,
    patches_path,
    read_patch,
    write_patches,
)
from pipeline.sharding.split_table import read_split, withdraw_split, write_split

IDS = ("00000000000000aa", "00000000000000bb")


def make_patch(
    dtype=np.uint8, *, count=3, size=16, bracket_id=IDS[0], index=0, rich=False
) -> Patch:
    rng = np.random.default_rng([index, count])
    peak = np.iinfo(dtype).max

    def noise(*shape):
        return rng.integers(0, peak, shape, dtype, endpoint=True)

    patch = Patch(
        bracket_id=bracket_id,
        scene="a/view",
        index=index,
        top=3,
        left=5,
        frames=noise(count, 3, size, size),
        contrast=0.25,
    )
    if not rich:
        return patch
    return replace(
        patch,
        times_s=tuple(0.01 * 2**k for k in range(count)),
        evs=tuple(float(k) for k in range(count)),
        label=noise(3, size, size),
        aligned=noise(count, 3, size, size),
        mask=rng.integers(0, 256, (count, size, size), np.uint8),
    )


def same(one: Patch, other: Patch) -> bool:
    for item in fields(Patch):
        a, b = getattr(one, item.name), getattr(other, item.name)
        if isinstance(a, np.ndarray):
            if not (isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)):
                return False
        elif a != b:
            return False
    return True


def write_shards(folder, counts=(3, 2), per_bracket=3, split="train"):
    rows = []
    for bracket_id, count in zip(IDS, counts, strict=True):
        patches = [
            make_patch(count=count, bracket_id=bracket_id, index=k) for k in range(per_bracket)
        ]
        write_patches(patches, str(folder / patches_path(split, bracket_id)))
        rows.append({"scene": bracket_id, "bracket_id": bracket_id, "split": split, "reason": ""})
    write_split(str(folder), rows)
    return rows


@pytest.mark.parametrize("rich", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_written_is_read(tmp_path, dtype, rich):
    patches = [make_patch(dtype, index=k, rich=rich) for k in range(3)]
    write_patches(patches, str(tmp_path / patches_path("train", IDS[0])))
    row = {"scene": "a/view", "bracket_id": IDS[0], "split": "train", "reason": "because"}
    write_split(str(tmp_path), [row])
    refs = open_patches(str(tmp_path), "train")
    assert [ref.key for ref in refs] == [patch.key for patch in patches]
    for ref, patch in zip(refs, patches, strict=True):
        found = read_patch(ref)
        assert ref.count == len(found.frames)
        assert same(found, patch)
        assert found.frames.flags.writeable


def test_a_linear_label_keeps_its_floats(tmp_path):
    patch = replace(
        make_patch(), label=np.random.default_rng(0).normal(size=(3, 16, 16)).astype("f4")
    )
    uri = str(tmp_path / patches_path("train", IDS[0]))
    write_patches([patch], uri)
    write_split(
        str(tmp_path), [{"scene": "s", "bracket_id": IDS[0], "split": "train", "reason": ""}]
    )
    (ref,) = open_patches(str(tmp_path), "train")
    assert same(read_patch(ref), patch)


def test_pixels_lie_little_endian_one_row_group_a_patch(tmp_path):
    patch = make_patch(np.uint16)
    uri = str(tmp_path / "p.parquet")
    write_patches([patch, replace(patch, index=1)], uri)
    table = pq.read_table(uri)
    # A column that came later is there only where it holds something.
    assert table.schema.names == [name for name in PATCH_SCHEMA.names if name != "structure"]
    assert table["frames"][0].as_py() == patch.frames.astype("<u2").tobytes()
    assert pq.read_metadata(uri).num_row_groups == 2


def test_the_same_patches_give_the_same_bytes():
    patches = [make_patch(index=k, rich=True) for k in range(2)]
    assert encode_patches(patches) == encode_patches(patches)
    big = make_patch(np.uint16)
    other = replace(big, frames=big.frames.astype(">u2"))
    assert encode_patches([big]) == encode_patches([other])


@pytest.mark.parametrize(
    "other", [{"count": 2}, {"bracket_id": IDS[1]}, {"dtype": np.uint16}, {"size": 17}]
)
def test_a_file_holds_one_bracket_of_one_shape(other):
    with pytest.raises(ValueError, match="one bracket"):
        encode_patches([make_patch(), make_patch(**other)])
    with pytest.raises(ValueError, match="one bracket"):
        encode_patches([])


def test_references_are_sorted_by_key_and_know_their_frames(tmp_path):
    write_shards(tmp_path)
    refs = open_patches(str(tmp_path), "train")
    assert [ref.key for ref in refs] == [f"{name}/{k:05d}" for name in IDS for k in range(3)]
    assert [ref.count for ref in refs] == [3, 3, 3, 2, 2, 2]
    assert open_patches(str(tmp_path), "test") == ()


def test_only_what_the_split_names_counts(tmp_path):
    rows = write_shards(tmp_path)
    write_split(str(tmp_path), [rows[0], rows[1] | {"split": None, "reason": "left out"}])
    assert {ref.key[:16] for ref in open_patches(str(tmp_path), "train")} == {IDS[0]}


def test_the_split_table_does_not_depend_on_order(tmp_path):
    rows = [
        {"scene": f"s{k % 3}", "bracket_id": f"{k:016x}", "split": "train", "reason": "r"}
        for k in range(9)
    ]
    write_split(str(tmp_path / "a"), rows)
    write_split(str(tmp_path / "b"), rows[::-1])
    one, other = ((tmp_path / x / "split.parquet").read_bytes() for x in "ab")
    assert one == other
    assert len(read_split(str(tmp_path / "a"))) == 9


def damaged(folder, how: str) -> str:
    """Damage a file of shards and return its path."""
    file = folder / patches_path("train", IDS[1])
    if how == "no split":
        withdraw_split(str(folder))
        return str(folder / "split.parquet")
    if how == "missing":
        file.unlink()
    if how == "cut off":
        file.write_bytes(file.read_bytes()[:-40])
    if how == "empty":
        file.write_bytes(b"")
    if how == "another table":
        file.write_bytes((folder / "split.parquet").read_bytes())
    if how == "split of nonsense":
        (folder / "split.parquet").write_bytes(b"nonsense")
        return str(folder / "split.parquet")
    return str(file)


@pytest.mark.parametrize(
    "how", ["no split", "missing", "cut off", "empty", "another table", "split of nonsense"]
)
def test_a_missing_or_damaged_file_is_named_when_opened(tmp_path, how):
    write_shards(tmp_path)
    file = damaged(tmp_path, how)
    with pytest.raises(UsageError) as caught:
        open_patches(str(tmp_path), "train")
    assert caught.value.code == "shards-invalid"
    assert file in caught.value.message
    assert "bracketflow shard" in caught.value.message


@pytest.mark.parametrize("how", ["missing", "pixels", "other type"])
def test_a_file_damaged_later_is_named_when_read(tmp_path, how):
    write_shards(tmp_path)
    ref = open_patches(str(tmp_path), "train")[-1]
    file = storage.local_path(ref.uri)
    if how == "missing":
        file.unlink()
    elif how == "pixels":
        column = pq.read_metadata(file).row_group(ref.row_group).column(8)
        data = bytearray(file.read_bytes())
        start = column.data_page_offset + column.total_compressed_size // 2
        data[start : start + 64] = bytes(64)
        file.write_bytes(data)
    else:
        table = pq.read_table(file)
        at = table.schema.get_field_index("dtype")
        pq.write_table(
            table.set_column(at, table.schema.field(at), [["object"] * 3]), file, row_group_size=1
        )
    with pytest.raises(UsageError) as caught:
        read_patch(ref)
    assert caught.value.code == "shards-invalid"
    assert str(file) in caught.value.message
