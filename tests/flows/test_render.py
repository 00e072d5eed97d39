# SPDX-License-Identifier: Apache-2.0
"""The render command, as a user types it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from flows import cli
from pipeline.archive.catalog import read_brackets
from pipeline.images.radiance import encode_exr


@pytest.mark.prefect
def test_render_makes_brackets_and_names_what_it_left_out(
    prefect_server, tmp_path, monkeypatch, capsys
):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    ramp = np.exp2(np.linspace(-4, 4, 80, dtype=np.float32))[None, :, None]
    (source / "good.exr").write_bytes(encode_exr(ramp * np.ones((60, 1, 3), np.float32), 32))
    (source / "bad.exr").write_bytes(b"no picture")
    arguments = ["render", str(source), str(out), "--brackets-per-picture", "2"]
    monkeypatch.setattr(sys, "argv", ["bracketflow", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr()
    assert not left.value.code
    assert "bad.exr" in said.err
    assert "2 brackets" in said.out
    assert len(list(read_brackets(str(out / "catalog.parquet")))) == 2
