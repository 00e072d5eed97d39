# SPDX-License-Identifier: Apache-2.0
"""TensorBoard events, written in the thread that asks for them.

tensorboardX's usual writer has a thread of its own, which dies of a full disk and leaves the next
event waiting for ever. A graph to look at is not worth a training, so here trouble ends the
events and nothing else.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tensorboardX import summary
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import RecordWriter

__all__ = ["Events"]


class Events:
    """A file of events below ``folder``.

    Args:
        folder: of all files of the run; a new one is begun in it.
        step: steps done before, None for a new run; TensorBoard drops later events of older files.
        note: told when events end because of trouble.
    """

    def __init__(self, folder: Path, *, step: int | None, note: Callable[[str], None]) -> None:
        self._note = note
        self._writer: Any = None
        with self._trouble():
            folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{step or 0}"
            self._writer = RecordWriter(str(folder / name))
            self._add(0, file_version="brain.Event:2")
            if step is not None:
                start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
                self._add(step + 1, session_log=start)

    def scalar(self, name: str, value: float, step: int) -> None:
        """A figure after ``step`` steps."""
        self._add(step, summary=summary.scalar(name, value))

    def image(self, name: str, picture: torch.Tensor, step: int) -> None:
        """A picture (3, H, W) in 0..1 after ``step`` steps."""
        self._add(step, summary=summary.image(name, picture.cpu().numpy(), dataformats="CHW"))

    def flush(self) -> None:
        """What was added is on disk."""
        with self._trouble():
            if self._writer is not None:
                self._writer.flush()

    def close(self) -> None:
        """End the file."""
        with self._trouble():
            if self._writer is not None:
                self._writer.close()
        self._writer = None

    def _add(self, step: int, **content: Any) -> None:
        with self._trouble():
            if self._writer is not None:
                event = event_pb2.Event(wall_time=time.time(), step=step, **content)
                self._writer.write(event.SerializeToString())

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            broken, self._writer = self._writer, None
            with contextlib.suppress(OSError):  # closing writes what is left
                if broken is not None:
                    broken.close()
            self._note(f"TensorBoard events end here: {error}")
