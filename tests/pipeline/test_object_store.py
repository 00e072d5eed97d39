# SPDX-License-Identifier: Apache-2.0
"""Source and destination on S3, against a server that speaks its protocol."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import s3fs

from pipeline import retrying, storage, stores
from pipeline.errors import InfrastructureError, PhotoError, UsageError
from pipeline.images.reading import read_header
from pipeline.images.writing import encode_photo
from pipeline.ledger import Ledger, read_report
from pipeline.listing import list_files
from pipeline.report.schema import make_row
from tests.s3_server import s3_server

ALL = ("DELETE", "GET", "HEAD", "POST", "PUT")


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@pytest.fixture
def bucket(server, monkeypatch):
    monkeypatch.setattr(retrying, "DELAYS_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    uri = server.make_bucket()
    server.requests.clear()
    yield uri
    server.refuse = None


@pytest.fixture
def fresh_client():
    """A client that looks at its settings again, before and after."""
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


def refusing(status, code, *, methods=ALL, times=10**6):
    """The server says no to the first ``times`` requests of a kind."""
    said = 0

    def refuse(method, _path):
        nonlocal said
        if method not in methods or said >= times:
            return None
        said += 1
        return status, code

    return refuse


def code_of(call, kind=InfrastructureError):
    with pytest.raises(kind) as caught:
        call()
    return caught.value.code


def test_a_listing_streams_in_order_and_leaves_out_what_a_local_one_does(bucket, server):
    names = ["a/1.jpg", "a-b/2.jpg", "a/.hidden/3.jpg", "out/r.png", "odd ?x=1::2#é.jpg", "z.jpg"]
    for name in names:
        storage.write_atomic(f"{bucket}/day/{name}", name.encode())
    fs, _ = storage.file_system(bucket)
    fs.call_s3("put_object", Bucket=bucket[5:], Key="day/empty/", Body=b"")
    found = list(list_files(f"{bucket}/day", skip=f"{bucket}/day/out"))
    assert [file.path for file in found] == ["a-b/2.jpg", "a/1.jpg", names[4], "z.jpg"]
    for file in found:
        assert storage.read_bytes(file.uri).decode() == file.path
        assert file.size_bytes == len(file.path.encode())
        assert file.mtime_ns


def test_a_long_listing_goes_on_from_page_to_page(bucket, server):
    for number in range(7):
        storage.write_atomic(f"{bucket}/{number}.jpg", b"x")
    pages = 0
    fs, _ = storage.file_system(bucket)
    whole = type(fs).call_s3

    def three_at_a_time(method, **arguments):
        nonlocal pages
        pages += method == "list_objects_v2"
        return whole(fs, method, **arguments, **({"MaxKeys": 3} if "Prefix" in arguments else {}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fs, "call_s3", three_at_a_time, raising=False)
        assert len(list(stores.files(bucket))) == 7
    assert pages == 3


def test_what_others_wrote_since_is_seen(bucket):
    """The client remembers listings by default; a report would miss the workers' segments."""
    ledger = Ledger(bucket, "r1", "w")
    assert len(read_report(bucket, missing_ok=True)) == 0
    for number in range(2):
        ledger.append(make_row(bracket_id=str(number), run_id="r1", status="skipped"))
        ledger.flush()
        assert len(read_report(bucket)) == number + 1
        storage.exists(f"{bucket}/report")


def test_the_header_of_a_large_photograph_costs_a_small_part_of_it(bucket, server):
    noise = np.random.default_rng(0).integers(0, 65535, (900, 1200, 3), dtype=np.uint16)
    for name, form, bits in (("a.tif", "tiff", 16), ("a.jpg", "jpeg", 8)):
        pixels = noise if bits == 16 else (noise >> 8).astype(np.uint8)
        encoded = encode_photo(pixels, format=form, bits=bits)
        uri = f"{bucket}/{name}"
        storage.write_atomic(uri, encoded.data)
        server.requests.clear()
        header = read_header(uri)
        assert (header.width, header.height) == (1200, 900)
        sent = sum(request.sent_bytes for request in server.requests)
        assert 0 < sent < 300_000 < len(encoded.data)


def test_of_many_that_create_the_same_file_one_succeeds(bucket):
    uri = f"{bucket}/one.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: storage.create_exclusive(uri, b"%d" % n), range(8)))
    assert sum(made) == 1
    assert storage.read_bytes(uri) == b"%d" % made.index(True)


def test_a_block_that_fails_publishes_nothing(bucket):
    with pytest.raises(TypeError), storage.open_atomic(f"{bucket}/a/table") as handle:
        handle.writelines([b"half", None])
    assert list(stores.files(bucket)) == []
    with storage.open_atomic(f"{bucket}/a/table") as handle:
        handle.write(b"whole")
    assert storage.read_bytes(f"{bucket}/a/table") == b"whole"
    assert storage.is_folder(f"{bucket}/a")
    assert storage.names_in(bucket) == ["a"]
    assert storage.names_in(f"{bucket}/a") == list(storage.files_below(f"{bucket}/a")) == ["table"]
    assert storage.names_in(f"{bucket}/b") == list(storage.files_below(f"{bucket}/b")) == []
    assert not storage.is_file(f"{bucket}/a")
    assert storage.is_file(f"{bucket}/a/table")
    storage.delete(f"{bucket}/a/table")
    storage.delete(f"{bucket}/a/table")
    assert not storage.exists(f"{bucket}/a/table")


def test_large_files_go_up_in_parts_and_appear_whole_or_not_at_all(bucket, server, monkeypatch):
    monkeypatch.setitem(stores.S3_UPLOAD, "chunksize", 5 << 20)
    data = np.random.default_rng(1).bytes(11 << 20)
    refuse = refusing(400, "InvalidPart", methods=("POST",))

    def refuse_the_end(method, path):
        # The first POST begins the upload, the second would end it.
        begun = any(request.method == "POST" for request in server.requests)
        return refuse(method, path) if begun else None

    server.refuse = refuse_the_end
    assert code_of(lambda: storage.write_atomic(f"{bucket}/large.exr", data)) == "storage-failed"
    server.refuse = None
    assert not storage.exists(f"{bucket}/large.exr")
    assert any(request.method == "DELETE" for request in server.requests)  # no parts left behind
    server.requests.clear()
    with storage.open_atomic(f"{bucket}/large.exr") as handle:
        handle.write(data)
    assert sum("partNumber" in request.query for request in server.requests) == 3
    assert storage.sha256_of(storage.read_bytes(f"{bucket}/large.exr")) == storage.sha256_of(data)


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError")])
def test_what_may_pass_is_tried_again(bucket, server, status, code):
    uri = f"{bucket}/a.bin"
    server.refuse = refusing(status, code, times=2)
    storage.write_atomic(uri, b"x" * 100)
    for methods in (("HEAD",), ("GET",)):
        server.refuse = refusing(status, code, methods=methods, times=2)
        assert storage.read_bytes(uri) == b"x" * 100
    server.refuse = refusing(status, code, times=2)
    assert len(list(list_files(bucket))) == 1
    server.refuse = refusing(status, code, times=2)
    assert storage.exists(uri)
    server.refuse = refusing(status, code)
    for call in (
        lambda: storage.write_atomic(uri, b"y"),
        lambda: storage.read_bytes(uri),
        lambda: storage.exists(uri),
        lambda: storage.delete(uri),
        lambda: list(list_files(bucket)),
        lambda: storage.names_in(bucket),
    ):
        assert code_of(call) == "storage-failed"


def test_a_connection_that_breaks_while_a_photograph_is_read_is_no_bad_photograph(bucket, server):
    data = np.random.default_rng(2).bytes(300_000)
    storage.write_atomic(f"{bucket}/a.bin", data)
    with storage.open_read(f"{bucket}/a.bin", read_ahead_bytes=50_000) as handle:
        assert handle.read(1000) == data[:1000]
        server.refuse = refusing(503, "SlowDown", times=2)
        assert handle.read(200_000) == data[1000:201_000]
        server.refuse = refusing(503, "SlowDown")
        assert code_of(lambda: handle.read()) == "storage-failed"
        server.refuse = None
        assert handle.read() == data[201_000:]


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "InvalidAccessKeyId"), (400, "ExpiredToken"), (403, "SignatureDoesNotMatch")],
)
def test_refused_credentials(bucket, server, status, code):
    """Above all, a key that expires in the night must not quarantine the rest of the archive."""
    server.refuse = refusing(status, code)
    for call in (
        lambda: list(list_files(bucket)),
        lambda: storage.read_bytes(f"{bucket}/a.jpg"),
        lambda: storage.write_atomic(f"{bucket}/a.jpg", b"x"),
        lambda: storage.create_exclusive(f"{bucket}/a.jpg", b"x"),
    ):
        assert code_of(call) == "credentials-invalid"


def test_missing_credentials(bucket, monkeypatch, tmp_path, fresh_client):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(InfrastructureError, match="AWS_ACCESS_KEY_ID") as caught:
        list(list_files(bucket))
    assert caught.value.code == "credentials-invalid"
    assert code_of(lambda: storage.write_atomic(f"{bucket}/a", b"")) == "credentials-invalid"


def test_access_denied(bucket, server):
    storage.write_atomic(f"{bucket}/secret.jpg", b"x")
    server.refuse = refusing(403, "AccessDenied")
    assert code_of(lambda: list(list_files(bucket)), UsageError) == "source-missing"
    assert code_of(lambda: storage.read_bytes(f"{bucket}/secret.jpg"), PhotoError) == (
        "file-unreadable"
    )
    assert code_of(lambda: storage.write_atomic(f"{bucket}/a.jpg", b"x")) == "access-denied"
    assert code_of(lambda: storage.exists(f"{bucket}/a.jpg")) == "access-denied"


def test_a_missing_bucket_and_a_missing_folder(bucket):
    nowhere = "s3://no-such-bucket-1234"
    assert code_of(lambda: list(list_files(nowhere)), UsageError) == "source-missing"
    assert code_of(lambda: list(list_files(f"{bucket}/none")), UsageError) == "source-missing"
    assert code_of(lambda: storage.write_atomic(f"{nowhere}/a", b"x")) == "bucket-missing"
    assert code_of(lambda: storage.read_bytes(f"{bucket}/none"), PhotoError) == "file-missing"
    with pytest.raises(FileNotFoundError):
        storage.open_file(f"{bucket}/none")
    assert storage.info(f"{bucket}/none") is None
    # A bucket that went does not mean that every photograph in it is gone.
    assert code_of(lambda: storage.info(f"{nowhere}/a")) == "bucket-missing"
    assert code_of(lambda: storage.read_bytes(f"{nowhere}/a")) == "bucket-missing"
    assert list(list_files(bucket)) == []


def test_nobody_answers(bucket, monkeypatch, fresh_client):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for call in (
        lambda: list(list_files(bucket)),
        lambda: storage.read_bytes(f"{bucket}/a.jpg"),
        lambda: storage.write_atomic(f"{bucket}/a.jpg", b"x"),
    ):
        assert code_of(call) == "storage-failed"
