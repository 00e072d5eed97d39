# SPDX-License-Identifier: Apache-2.0
"""Prefect's server: the one that is configured, or a temporary one of our own."""

from __future__ import annotations

import signal

import httpx
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import get_current_settings

from pipeline.errors import InfrastructureError

__all__ = ["ready_server"]

_CURE = (
    "Run `bracketflow doctor`; unset PREFECT_API_URL to use a temporary server, and mind that "
    "fastapi must be below 0.155."
)


def ready_server() -> str:
    """Make sure that flows can run, and return the server's address.

    Without a server configured, Prefect starts one by itself at the first flow. It is started
    here instead, with Ctrl-C blocked: a terminal sends that to every process of the command, and
    a flow that is being interrupted still needs its server.

    Raises:
        InfrastructureError: ``prefect-failed``.
    """
    url = get_current_settings().api.url
    if url:
        try:
            httpx.get(f"{url}/health", timeout=10).raise_for_status()
        except httpx.HTTPError as error:
            raise InfrastructureError(
                "prefect-failed", f"Prefect's server at {url} does not answer: {error}. {_CURE}"
            ) from error
        return url
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        server = SubprocessASGIServer()
        server.start()
    except Exception as error:  # whatever it raises, nothing can run without it
        raise InfrastructureError(
            "prefect-failed", f"Prefect's temporary server did not start: {error}. {_CURE}"
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return server.address
