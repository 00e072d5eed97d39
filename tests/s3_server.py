# SPDX-License-Identifier: Apache-2.0
"""A real S3 protocol server on loopback, which tells what was asked and can be made to fail."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import fsspec
import pytest
import s3fs
from moto.moto_server.threaded_moto_server import MotoRequestHandler
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",  # what our own code tries again is what is tested
}


class QuietHandler(MotoRequestHandler):
    """Says nothing about every request."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        return


@dataclass(frozen=True)
class Request:
    """One request as the server saw it."""

    method: str
    path: str
    query: str
    sent_bytes: int


@dataclass
class S3Server:
    """The server.

    ``refuse`` may answer in its place with (status, S3 error code); ``conditions`` of writes are
    "obeyed", or as elsewhere "refused" or "ignored".
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    refuse: Callable[[str, str], tuple[int, str] | None] | None = None
    conditions: str = "obeyed"
    _writing: threading.Lock = field(default_factory=threading.Lock)
    _app: DomainDispatcherApplication = field(
        default_factory=lambda: DomainDispatcherApplication(create_backend_app)
    )

    def __call__(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        refusal = self.refuse(method, path) if self.refuse else None
        if method == "PUT" and self.conditions != "obeyed":
            found = [environ.pop(f"HTTP_IF_{name}", None) for name in ("MATCH", "NONE_MATCH")]
            if any(found) and self.conditions == "refused":
                refusal = 501, "NotImplemented"
        if refusal is not None:
            status, code = refusal
            body = b"" if method == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()
            length = str(len(body))
            start_response(f"{status} No", [("Content-Length", length), ("Connection", "close")])
            answer = [body]
        elif method == "PUT":
            # A real store decides between two conditional writes; this one would not.
            with self._writing:
                answer = list(self._app(environ, start_response))
        else:
            answer = list(self._app(environ, start_response))
        sent = sum(len(part) for part in answer) if method == "GET" else 0
        self.requests.append(Request(method, path, environ["QUERY_STRING"], sent))
        return answer

    def make_bucket(self) -> str:
        """A new bucket's URI."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        fsspec.filesystem("s3", use_listings_cache=False).call_s3("create_bucket", Bucket=name)
        return f"s3://{name}"


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run the server, and make it the place that ``s3://`` means."""
    app = S3Server()
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
    app.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": app.url}).items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        try:
            yield app
        finally:
            s3fs.S3FileSystem.clear_instance_cache()
            server.shutdown()
            server.server_close()
            thread.join()
