# SPDX-License-Identifier: Apache-2.0
"""An archive on S3, fused to S3: real Prefect, real Ray, a real server of the protocol."""

from __future__ import annotations

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.fuse import fuse_archive
from pipeline import storage
from pipeline.demo.archive import ArchivePlan, make_archive
from pipeline.ledger import read_report
from pipeline.listing import list_files
from pipeline.lock import LOCK_PATH
from pipeline.settings import FuseSettings
from tests.s3_server import s3_server

pytestmark = [pytest.mark.ray, pytest.mark.prefect]
SETTINGS = FuseSettings(format="png", model="mertens")


@pytest.fixture(scope="module")
def server():
    with s3_server() as running, prefect_test_harness(server_startup_timeout=120):
        yield running


def hashes(destination):
    """Name and hash of every result."""
    results = storage.join(destination, "results")
    return {
        file.path: storage.sha256_of(storage.read_bytes(file.uri)) for file in list_files(results)
    }


def test_from_s3_to_s3(server, tmp_path):
    make_archive(tmp_path / "in", brackets=3, plan=ArchivePlan(seed=3, size=(120, 180)))
    source = storage.join(server.make_bucket(), "photos")
    destination = storage.join(server.make_bucket(), "archive", "fused")
    for file in list_files(str(tmp_path / "in")):
        storage.write_atomic(storage.join(source, file.path), storage.read_bytes(file.uri))

    first = fuse_archive(source, destination, SETTINGS)
    assert first.counts.quarantined == 0
    assert first.counts.fused == 3
    rows = read_report(destination).to_pylist()
    fused = [row for row in rows if row["status"] == "fused"]
    for row in fused:
        assert storage.sha256_of(storage.read_bytes(row["result_uri"])) == row["result_sha256"]
        assert storage.is_file(row["preview_uri"])
    assert len(hashes(destination)) == len(fused)
    assert not storage.exists(storage.join(destination, LOCK_PATH))

    server.requests.clear()
    again = fuse_archive(source, destination, SETTINGS)
    assert again.counts.fused == 0
    assert again.counts.reused == 3
    assert not any(
        request.method == "PUT" and "/results/" in request.path for request in server.requests
    )
    assert len(read_report(destination)) == len(rows)

    local = str(tmp_path / "out")
    fuse_archive(str(tmp_path / "in"), local, SETTINGS)
    assert hashes(local) == hashes(destination)
