# SPDX-License-Identifier: Apache-2.0
"""Reads files in a process of its own, and tells what came of each: a crash must be seen.

``python -m tests.hostile.child`` takes a path a line and answers a line of JSON for each reader:
``ok``, a code, or what should never come. A reader that takes too long ends the process.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["HANG_S", "READERS", "Reading", "readings"]

HANG_S = 60.0
READERS = ("read_header", "read_photo", "read_radiance", "thumbnail", "preview")
_ROOM_BYTES = 3 << 30
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one reader made of one file.

    ``outcome`` is ``ok``, a code, ``died`` (of a crash, of memory, of taking too long), or the
    name of an exception that should not have come. ``seconds`` are of a CPU. ``grown_bytes`` is
    by how much the process's peak rose above what it held before.
    """

    path: str
    reader: str
    outcome: str
    seconds: float
    grown_bytes: int
    message: str = ""


def readings(paths: Sequence[Path]) -> Iterator[Reading]:
    """What every reader makes of every file; files that kill the process are told as such."""
    left = deque((str(path), reader) for path in paths for reader in READERS)
    while left:
        for answer in _answers(left):
            left.popleft()
            yield answer
        if left:
            path, reader = left.popleft()
            yield Reading(path=path, reader=reader, outcome="died", seconds=0, grown_bytes=0)


def _answers(asked: Iterable[tuple[str, str]]) -> Iterator[Reading]:
    """The answers of one process, as far as it comes."""
    with tempfile.TemporaryFile() as questions:
        questions.write("".join(json.dumps(one) + "\n" for one in asked).encode())
        questions.seek(0)
        with subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.child"],
            stdin=questions,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                yield Reading(**json.loads(line))


def _readers() -> dict[str, Callable[[str], object]]:
    from pipeline.archive.brightness import thumbnail
    from pipeline.images.previews import preview_jpeg
    from pipeline.images.reading import read_header, read_photo, read_radiance

    return {
        "read_header": read_header,
        "read_photo": read_photo,
        "read_radiance": read_radiance,
        "thumbnail": thumbnail,
        "preview": lambda uri: preview_jpeg(read_photo(uri).pixels),
    }


def _main() -> None:
    from pipeline.errors import PhotoError

    readers = _readers()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a decoder prints is no answer
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + _ROOM_BYTES,) * 2)
    for line in sys.stdin:
        path, reader = json.loads(line)
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _status("VmRSS")
        began = time.process_time()
        message = ""
        try:
            readers[reader](path)
            outcome = "ok"
        except PhotoError as error:
            outcome, message = error.code, error.message
        except BaseException as error:
            outcome, message = type(error).__name__, str(error)[:200]
        seconds = time.process_time() - began
        faulthandler.cancel_dump_traceback_later()
        told = Reading(
            path=path,
            reader=reader,
            outcome=outcome,
            seconds=seconds,
            grown_bytes=_status("VmHWM") - before,
            message=message,
        )
        answers.write(json.dumps(asdict(told)) + "\n")
        answers.flush()


def _status(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    _main()
