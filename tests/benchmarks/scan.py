# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.benchmarks.scan 10000``: what a scan costs, and the next one.

Makes camera folders of 500 small JPEG files with EXIF and a maker note, in brackets of three, and
scans them into a catalog twice, without Prefect, each time in a process of its own. Prints files
per second, CPU seconds of that process per 1,000 files, which tell more where others use the
machine, and its peak memory. ``--alone`` keeps it from asking Ray for help, whose CPU seconds
would be missing.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from pipeline.archive.crew import START_AFTER_S
from pipeline.archive.find import write_found
from pipeline.archive.scan import ScanOptions
from pipeline.images.directories import write_directory
from pipeline.images.exifblock import assemble

_PER_FOLDER = 500
_EVS = (0.0, -2.0, 2.0)
_DATE, _FRACTION = b"2024:05:01 12:00:00", b"000"
_LONG_AGO_S = 1_700_000_000


def make_archive(root: Path, count: int) -> None:
    """So many JPEG files as a camera writes them, a bracket of three every ten seconds."""
    heads = [_template(ev) for ev in _EVS]
    for number in range(count):
        folder, inside = divmod(number, _PER_FOLDER)
        where = root / f"{2000 + folder // 400}" / f"day{folder:05d}"
        if inside == 0:
            where.mkdir(parents=True)
        bracket, frame = divmod(inside, len(_EVS))
        minutes, second = divmod(bracket * 10, 60)
        date = b"2024:05:01 %02d:%02d:%02d" % (8 + minutes // 60, minutes % 60, second)
        fraction = b"%03d" % (frame * 300)
        data = heads[frame].replace(_DATE, date).replace(_FRACTION + b"\0", fraction + b"\0")
        path = where / f"IMG_{inside + 1:04d}.JPG"
        path.write_bytes(data)
        os.utime(path, (_LONG_AGO_S + number, _LONG_AGO_S + number))


def _template(ev: float) -> bytes:
    """A JPEG file with EXIF and a maker note, as a Canon writes them where bracketing is on."""
    lists = [(0x0004, [0] * 34), (0x0093, [18, 0, 0, 1, round(ev * 32), 0, 0, 0, 0])]
    note = [(tag, 8, struct.pack(f"<{len(part)}h", *part)) for tag, part in lists]
    main = [(271, 2, b"Canon\0"), (272, 2, b"Canon EOS 5D\0")]
    detail = [
        (33434, 5, struct.pack("<II", round(1e6 / 60 * 2.0**ev), 1_000_000)),
        (33437, 5, struct.pack("<II", 80, 10)),
        (34855, 3, struct.pack("<H", 100)),
        (36867, 2, _DATE + b"\0"),
        (37380, 10, struct.pack("<ii", round(ev), 1)),
        (37521, 2, _FRACTION + b"\0"),
        (42033, 2, b"042001\0"),
    ]
    start = b"II*\0\x08\0\0\0"
    # The note's offsets count from the start of the block: learn where it lies, then write it.
    mark = b"\xab" * len(write_directory("<", note, 0))
    where = (start + assemble("<", main, {34665: [*detail, (37500, 7, mark)]}, 8)).index(mark)
    fields = [*detail, (37500, 7, write_directory("<", note, where))]
    exif = b"Exif\0\0" + start + assemble("<", main, {34665: fields}, 8)
    image = Image.effect_noise((96, 64), 20).convert("RGB")
    with io.BytesIO() as file:
        image.save(file, "JPEG", exif=exif)
        return file.getvalue()


def measure(root: Path, catalog: Path, *, alone: bool) -> dict[str, float]:
    """Scan in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.scan", "0", "--source", str(root)]
    command += ["--catalog", str(catalog), *(["--alone"] if alone else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def scan_once(source: Path, catalog: Path, *, alone: bool) -> dict[str, float]:
    """Files, seconds, CPU seconds and peak MiB."""
    began, worked = time.perf_counter(), time.process_time()
    after_s = math.inf if alone else START_AFTER_S
    found = write_found(str(source), str(catalog), ScanOptions(), start_after_s=after_s)
    seconds, own = time.perf_counter() - began, time.process_time() - worked
    return {
        "files": found.photographs,
        "seconds": seconds,
        "cpu_s": own,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Measure each of the given sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=int, nargs="+")
    parser.add_argument("--alone", action="store_true", help="no helpers on Ray")
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--catalog", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.source:
        print(json.dumps(scan_once(options.source, options.catalog, alone=options.alone)))  # noqa: T201
        return
    for count in options.files:
        with tempfile.TemporaryDirectory(prefix="bracketflow-scan-") as name:
            root, catalog = Path(name) / "archive", Path(name) / "catalog.parquet"
            make_archive(root, count)
            for what in ("first", "again"):
                load = os.getloadavg()[0]
                found = measure(root, catalog, alone=options.alone)
                rate, cpu = found["files"] / found["seconds"], found["cpu_s"] / found["files"]
                print(  # noqa: T201
                    f"{found['files']:>9,.0f} files, {what}: {rate:>8,.0f} files/s, "
                    f"{cpu * 1e3:.3f} CPU s per 1,000, peak {found['peak_mib']:,.0f} MiB "
                    f"(load {load:.1f} before)"
                )


if __name__ == "__main__":
    main()
