# SPDX-License-Identifier: Apache-2.0
"""Lets a command hand a fault to the workers of a Ray that runs already (RAY_RUNTIME_ENV_HOOK)."""

from __future__ import annotations

import os
from typing import Any

from pipeline.fault_points import ONCE, VARIABLE

__all__ = ["WORKER_FAULT", "arm_workers"]

WORKER_FAULT = "CHAOS_WORKER_FAULT"


def arm_workers(runtime_env: dict[str, Any] | None) -> dict[str, Any]:
    """The same environment for workers, with the fault that the command was asked to hand on."""
    env = dict(runtime_env or {})
    if fault := os.environ.get(WORKER_FAULT):
        variables = {VARIABLE: fault, ONCE: os.environ[ONCE]}
        env["env_vars"] = dict(env.get("env_vars", {})) | variables
    return env
