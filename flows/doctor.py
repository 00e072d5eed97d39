# SPDX-License-Identifier: Apache-2.0
"""The doctor: looks at everything a run leans on, and names the cure for what it finds."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil
import torch
from packaging.requirements import Requirement

from pipeline.cluster import connect
from pipeline.errors import BracketflowError

__all__ = ["Finding", "examine"]

_MIN_FREE_BYTES = 2 * 10**9
_MIN_MEMORY_BYTES = 3 * 10**9


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at; ``cure`` is empty where nothing is wrong."""

    level: Literal["good", "fair", "bad"]
    what: str
    found: str
    cure: str = ""


def examine() -> Iterator[Finding]:
    """Check versions, Ray, Prefect, devices, memory and disk, one after the other."""
    yield Finding(level="good", what="python", found=sys.version.split()[0])
    yield from _versions()
    yield from _extras()
    yield _prefect()
    yield _ray()
    yield _device()
    yield _memory()
    yield _disk()


def _versions() -> Iterator[Finding]:
    """Every requirement of bracketflow itself, held against what is installed."""
    for text in metadata.requires("bracketflow") or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        cure = f"pip install '{requirement.name}{requirement.specifier}'"
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Finding(level="bad", what=requirement.name, found="not installed", cure=cure)
            continue
        fits = requirement.specifier.contains(found, prereleases=True)
        yield Finding(
            level="good" if fits else "bad",
            what=requirement.name,
            found=found if fits else f"{found}, needs {requirement.specifier}",
            cure="" if fits else cure,
        )


def _extras() -> Iterator[Finding]:
    extras = {"rawpy": ("raw", "RAW files"), "s3fs": ("s3", "s3://"), "gcsfs": ("gcs", "gs://")}
    for module, (extra, purpose) in extras.items():
        present = importlib.util.find_spec(module) is not None
        yield Finding(
            level="good" if present else "fair",
            what=f"extra {extra}",
            found="installed" if present else f"not installed; needed for {purpose}",
            cure="" if present else f"pip install 'bracketflow[{extra}]'",
        )


def _prefect() -> Finding:
    """Start or reach the server: releases of FastAPI have broken it more than once."""
    try:
        # Imported here: where it is broken, that is the finding.
        server = importlib.import_module("flows.server")
        return Finding(level="good", what="prefect server", found=server.ready_server())
    except BracketflowError as error:
        found = error.message
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    return Finding(
        level="bad",
        what="prefect server",
        found=found,
        cure="pip install 'fastapi>=0.139,<0.155', or mend PREFECT_API_URL",
    )


def _ray() -> Finding:
    try:
        with connect() as resources:
            where = "local" if resources.local else os.environ.get("RAY_ADDRESS", "cluster")
            return Finding(
                level="good",
                what="ray",
                found=f"{where}: {resources.cpus:g} CPUs, {resources.gpus:g} GPUs, "
                f"{resources.nodes} node(s)",
            )
    except BracketflowError as error:
        return Finding(
            level="bad",
            what="ray",
            found=error.message,
            cure="free memory and /tmp, or point RAY_ADDRESS at a running cluster",
        )


def _device() -> Finding:
    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
        return Finding(level="good", what="device", found="cuda: " + ", ".join(sorted(names)))
    if shutil.which("nvidia-smi"):
        return Finding(
            level="fair",
            what="device",
            found="cpu; there is an NVIDIA driver, but this torch is built without CUDA",
            cure="install the CUDA build of torch",
        )
    return Finding(level="good", what="device", found=f"cpu, {psutil.cpu_count()} cores")


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    enough = free >= _MIN_MEMORY_BYTES
    return Finding(
        level="good" if enough else "fair",
        what="memory",
        found=f"{free / 1e9:.1f} GB free",
        cure="" if enough else "close other programs, or use --workers 1",
    )


def _disk() -> Finding:
    short = [
        (folder, shutil.disk_usage(folder).free)
        for folder in (Path.cwd(), Path(tempfile.gettempdir()))
        if shutil.disk_usage(folder).free < _MIN_FREE_BYTES
    ]
    if not short:
        return Finding(
            level="good", what="disk", found=f"{shutil.disk_usage(Path.cwd()).free / 1e9:.1f} GB"
        )
    text = ", ".join(f"{folder}: {free / 1e9:.2f} GB" for folder, free in short)
    return Finding(
        level="fair", what="disk", found=text, cure="free some space; Ray spills to the temp folder"
    )
