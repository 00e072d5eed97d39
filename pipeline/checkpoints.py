# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a training run: written whole, checked when read, the newest good one found.

``OUT/checkpoints/step-XXXXXXXX.pt`` holds tensors and plain values only, so that it loads without
pickle's dangers. There is no state of a random generator in it: every step of a run seeds its
own. The last two are kept, and the best of each.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch

from pipeline import storage
from pipeline.errors import PhotoError, UsageError

__all__ = ["Checkpoint", "Identity", "Store"]

_VERSION = 1
_NAME = re.compile(r"step-(\d{8,})\.pt")
_KEEP = 2
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a checkpoint must agree on with a run that goes on from it.

    ``network`` is the name and the options of the network, ``recipe`` what decides the result,
    ``patches`` a hash of the keys of all patches. ``contents`` is a hash of what the files of
    patches hold and ``init`` that of the weights to begin with; "" where it is not known.
    """

    network: dict[str, Any]
    recipe: dict[str, Any]
    patches: str
    contents: str = ""
    init: str = ""

    def differences(self, other: Identity) -> list[str]:
        """``key: this value, that value`` of all that differs, as far as both know it."""
        known = [key for key in ("contents", "init") if getattr(self, key) and getattr(other, key)]
        keys = ["network", "recipe", "patches", *known]
        mine, theirs = (_flat({key: getattr(i, key) for key in keys}) for i in (self, other))
        return [
            f"{key}: {mine.get(key, 'absent')}, {theirs.get(key, 'absent')}"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state after ``step`` steps.

    ``network`` and ``optimizer`` are state dictionaries; ``averaged`` holds the running mean of
    the parameters, empty where there is none. ``best`` are the figures of the best validation,
    reached at ``best_step``; ``stale`` counts validations since then. ``seconds`` were spent.
    """

    identity: Identity
    step: int
    seconds: float
    best: dict[str, float]
    best_step: int
    stale: int
    network: Tensors
    optimizer: dict[str, Any]
    averaged: Tensors

    def encode(self) -> bytes:
        """The file's content."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        content["identity"] = json.dumps(vars(self.identity), sort_keys=True)
        buffer = io.BytesIO()
        torch.save(content | {"version": _VERSION}, buffer)
        return buffer.getvalue()

    @classmethod
    def decode(cls, data: bytes) -> Checkpoint:
        """The checkpoint of a file's content, on the CPU.

        Raises:
            ValueError: the content is damaged, or of another version.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                broken = archive.testzip()  # torch itself does not look at the checksums
            if broken:
                raise ValueError(f"{broken} has a wrong checksum")
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            if content.pop("version") != _VERSION:
                raise ValueError("another version of bracketflow wrote it")
            identity = Identity(**json.loads(content.pop("identity")))
            return cls(identity=identity, **content)
        except ValueError:
            raise
        except Exception as error:  # pickle raises nearly anything on damaged data
            raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from error


@dataclass(frozen=True)
class Store:
    """The checkpoints of one run, in ``folder`` (a path or URI)."""

    folder: str

    def save(self, checkpoint: Checkpoint, *, best_before: int | None = None) -> str:
        """Write a checkpoint and delete those that are no longer needed; returns its URI.

        Args:
            checkpoint: the newest.
            best_before: ``best_step`` of the one before it, which is needed should this one rot.

        Raises:
            InfrastructureError: ``disk-full`` or ``storage-failed``; the others are still there.
        """
        uri = self._uri(checkpoint.step)
        storage.write_atomic(uri, checkpoint.encode())
        steps = self.steps()
        keep = {step for step in steps if step <= checkpoint.step}
        keep = {*sorted(keep)[-_KEEP:], checkpoint.best_step}
        if best_before is not None:
            keep.add(best_before)
        for step in steps:
            if step not in keep:  # later ones were damaged when the run went on before them
                storage.delete(self._uri(step))
        return uri

    def steps(self) -> list[int]:
        """The steps of all checkpoints, good or not, oldest first."""
        names = storage.names_in(self.folder)
        return sorted(int(m.group(1)) for name in names if (m := _NAME.fullmatch(name)))

    def load(self, step: int) -> Checkpoint:
        """The checkpoint of a step.

        Raises:
            ValueError: it is damaged or missing.
        """
        try:
            with storage.open_read(self._uri(step)) as handle:
                return Checkpoint.decode(handle.read())
        except PhotoError as error:
            gone = error.code == "file-missing"
            raise ValueError("it is gone" if gone else f"unreadable: {error.code}") from error

    def newest(self, note: Callable[[str], None]) -> Checkpoint | None:
        """The newest checkpoint that is whole; ``note`` is told of those that are not.

        Raises:
            UsageError: ``checkpoint-invalid``, there are some, but none is whole.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self.load(step)
            except ValueError as error:
                note(f"Checkpoint {self._uri(step)} is damaged ({error}); taking one before it.")
        if steps:
            raise UsageError(
                "checkpoint-invalid",
                f"No checkpoint in {self.folder} is whole; delete the folder to train from the "
                "start, or choose another --out.",
            )
        return None

    def newest_of(self, identity: Identity, note: Callable[[str], None]) -> Checkpoint | None:
        """The same, of a run that must agree with ``identity``.

        Raises:
            UsageError: ``checkpoint-invalid``, it is of another run, or none is whole.
        """
        found = self.newest(note)
        differing = found.identity.differences(identity) if found else []
        if differing:
            raise UsageError(
                "checkpoint-invalid",
                f"{self.folder} holds checkpoints of another training (there, here): "
                f"{'; '.join(differing[:6])}. Choose another --out, or delete that folder.",
            )
        return found

    def _uri(self, step: int) -> str:
        return storage.join(self.folder, f"step-{step:08d}.pt")


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted keys, and the values as JSON, so that tuples and lists are the same."""

    def items() -> Iterator[tuple[str, str]]:
        for key, value in table.items():
            if isinstance(value, dict):
                yield from _flat(value, f"{prefix}{key}.").items()
            else:
                yield f"{prefix}{key}", json.dumps(value)

    return dict(items())
