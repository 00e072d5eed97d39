# SPDX-License-Identifier: Apache-2.0
"""Calls to remote storage: what is tried again, and what is told at once with its cure.

Remote storage fails in ways that a disk does not. What may pass (throttling, a connection that
broke, an error of the server) is tried again, with growing pauses; what will not pass by itself
(credentials, a bucket that does not exist) is told at once. Neither is blamed on a photograph.
"""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable
from typing import TypeVar

from pipeline.errors import BracketflowError, InfrastructureError

__all__ = ["DELAYS_S", "attempt"]

T = TypeVar("T")

DELAYS_S: tuple[float, ...] = (0.5, 2.0, 8.0)
"""Pauses before a failed call is tried again, on top of what the store's own client retries."""

_BAD_CREDENTIALS = frozenset(
    {
        # what S3 answers
        *("ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "RequestTimeTooSkewed"),
        *("SignatureDoesNotMatch", "TokenRefreshRequired"),
        # what the clients raise before they ask
        *("CredentialRetrievalError", "NoCredentialsError", "PartialCredentialsError"),
        *("ProfileNotFound", "TokenRetrievalError", "UnauthorizedSSOTokenError"),
        *("DefaultCredentialsError", "RefreshError"),
    }
)
_PRECONDITION = frozenset({"PreconditionFailed", "412"})
_FOR_THE_CALLER = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError)
_LASTING = (errno.EINVAL, errno.ENAMETOOLONG, errno.ENOSYS, errno.ENOSPC, errno.EDQUOT)
_CLIENTS = ("aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google", "paramiko", "urllib3")


def attempt(uri: str, verb: str, call: Callable[[], T]) -> T:
    """Call until it succeeds, fails for good, or :data:`DELAYS_S` are used up.

    Raises:
        FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError: as they come;
            a condition that does not hold (``IfMatch``) is a ``FileExistsError``.
        InfrastructureError: ``bucket-missing``, ``credentials-invalid``, ``access-denied``, or
            ``storage-failed`` for all else.
    """
    delays = iter(DELAYS_S)
    while True:
        try:
            return call()
        except Exception as error:
            blame = _blame(uri, verb, error)
            if blame is None:
                raise
            lasting = not _may_pass(blame) or getattr(error, "errno", 0) in _LASTING
            delay = None if lasting else next(delays, None)
            if delay is None:
                raise blame from error
        time.sleep(delay * random.uniform(0.5, 1.0))


def _may_pass(blame: Exception) -> bool:
    return isinstance(blame, InfrastructureError) and blame.code == "storage-failed"


def _blame(uri: str, verb: str, error: Exception) -> Exception | None:
    """What to raise in place of an error, None for the error itself."""
    code = _code(error)
    what = f"Cannot {verb} {uri}: {' '.join(str(error).split()) or code}"
    if isinstance(error, BracketflowError | NotImplementedError):
        return None
    if code in _PRECONDITION:
        return FileExistsError(errno.EEXIST, "it has changed", uri)
    if code == "NoSuchBucket":
        return InfrastructureError(
            "bucket-missing",
            f"{what}. Create the bucket or check its name; AWS_ENDPOINT_URL names a store that is "
            "not Amazon's.",
        )
    if code in _BAD_CREDENTIALS:
        return InfrastructureError(
            "credentials-invalid",
            f"{what}. Give valid credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "AWS_PROFILE or the machine's role) here and to the workers; a public bucket is read "
            "with FSSPEC_S3_ANON=true.",
        )
    if isinstance(error, PermissionError):
        return InfrastructureError(
            "access-denied",
            f"{what}. Allow these credentials to list and read the source, and to list, read, "
            "write and delete below the destination.",
        )
    if isinstance(error, _FOR_THE_CALLER):
        return None
    if isinstance(error, OSError) or type(error).__module__.split(".")[0] in _CLIENTS:
        return InfrastructureError(
            "storage-failed",
            f"{what}. Check the address, the network and the store, then run the command again.",
        )
    return None


def _code(error: BaseException | None) -> str:
    """The store's own name for an error, else the name of the exception."""
    name = type(error).__name__
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", name))
        error = error.__cause__
    return name
