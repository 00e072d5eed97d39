# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.benchmarks.sice_shaped FOLDER``: an archive shaped like SICE, from end to end.

SICE has 589 sequences, 4,413 frames and a label each. As many are generated at 1 MP: views of the
demo's scenes, mirrored, shifted and tinted, so that no two files are the same. Then
``bracketflow scan``, ``shard`` and ``fuse`` run as commands, one after the other, and seconds,
peak memory of all their processes together, and bytes on disk are printed. FOLDER keeps the
archive, so that a second call only measures.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from pipeline.demo.camera import CAMERA_A, balanced, base_exposure, expose
from pipeline.demo.scenes import SCENES, render

_SEQUENCES, _FRAMES = 589, 4413
_HEIGHT, _WIDTH = 816, 1224
_MARGIN = 64  # px that a view may be shifted by
_F_NUMBER, _ISO = 8.0, 100.0


def frames_of(number: int, sequences: int) -> int:
    """Seven or eight: 4,413 in all for 589 sequences."""
    eights = round(sequences * (_FRAMES - 7 * _SEQUENCES) / _SEQUENCES)
    return 8 if number < eights else 7


@lru_cache(maxsize=2)
def _exposed(scene: int, count: int) -> list[np.ndarray]:
    """The frames of a scene, dark to bright, larger than a view by the margin."""
    radiance = render(SCENES[scene], 7, _HEIGHT + _MARGIN, _WIDTH + _MARGIN)
    camera = balanced(CAMERA_A, radiance)
    biases = [float(k - (count - 1) / 2) for k in range(count)]
    base_s = base_exposure(radiance, camera, biases, f_number=_F_NUMBER, iso=_ISO)
    rng = np.random.default_rng(scene)
    return [
        expose(
            radiance,
            exposure_time_s=base_s * 2.0**bias,
            f_number=_F_NUMBER,
            iso=_ISO,
            camera=camera,
            rng=rng,
        )
        for bias in biases
    ]


def make_sequence(part: Path, number: int, sequences: int) -> None:
    """Write ``<number>/1.JPG`` and so on, dark to bright, and ``Label/<number>.JPG``."""
    rng = np.random.default_rng(number)
    scene = number * len(SCENES) // sequences  # neighbours share a scene, which is exposed once
    count = frames_of(number, sequences)
    top, left = rng.integers(0, _MARGIN, 2)
    step = rng.choice([-1, 1])
    tint = rng.uniform(0.85, 1.15, 3).astype(np.float32)
    folder = part / str(number + 1)
    folder.mkdir(parents=True)
    pictures = [
        frame[top : top + _HEIGHT, left : left + _WIDTH][:, ::step] * tint
        for frame in _exposed(scene, count)
    ]
    for k, picture in enumerate(pictures, 1):
        (folder / f"{k}.JPG").write_bytes(_jpeg(picture))
    label = np.mean(pictures[count // 2 - 1 : count // 2 + 1], axis=0)
    (part / "Label" / f"{number + 1}.JPG").write_bytes(_jpeg(label))


def _jpeg(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    codes = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    Image.fromarray(codes).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def make(archive: Path, sequences: int, processes: int) -> None:
    """The archive, once."""
    part = archive / "Dataset_Part1"
    if part.exists():
        return
    (part / "Label").mkdir(parents=True)
    with ProcessPoolExecutor(processes) as pool:
        jobs = [pool.submit(make_sequence, part, number, sequences) for number in range(sequences)]
        for job in jobs:
            job.result()


class Watch:
    """The most memory that a process and its descendants took, shared pages counted once."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._root = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(2):
            total = 0
            with suppress(psutil.Error):
                for process in (self._root, *self._root.children(recursive=True)):
                    with suppress(psutil.Error):
                        total += process.memory_full_info().pss
            self.peak_bytes = max(self.peak_bytes, total)


def run(*arguments: str) -> dict[str, float]:
    """A ``bracketflow`` command to its end."""
    began = time.perf_counter()
    command = subprocess.Popen([str(Path(sys.executable).parent / "bracketflow"), *arguments])
    watch = Watch(command.pid)
    status = command.wait()
    watch.stop()
    if status != 0:
        raise SystemExit(f"bracketflow {' '.join(arguments)} ended with {status}")
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "peak_mib": round(watch.peak_bytes / 2**20),
    }


def bytes_below(folder: Path) -> int:
    """Of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Generate, scan, shard, fuse; figures as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sequences", type=int, default=_SEQUENCES)
    parser.add_argument("--processes", type=int, default=2, help="that generate")
    parser.add_argument("--steps", nargs="+", default=["scan", "shard", "fuse"])
    parser.add_argument("--model", default=None, help="of fuse; its default otherwise")
    options = parser.parse_args()
    archive = options.folder / "archive"
    began = time.perf_counter()
    make(archive, options.sequences, options.processes)
    made = {"seconds": round(time.perf_counter() - began, 1), "mib": bytes_below(archive) >> 20}
    print(json.dumps({"step": "generate"} | made), flush=True)  # noqa: T201
    catalog = options.folder / "catalog.parquet"
    model = ["--model", options.model] if options.model else []
    commands = {
        "scan": [str(archive), "--out", str(catalog)],
        "shard": [str(catalog), str(options.folder / "shards")],
        "fuse": [str(catalog), str(options.folder / "fused"), *model],
    }
    for step in options.steps:
        facts = run(step, *commands[step])
        target = Path(commands[step][-1] if step == "scan" else commands[step][1])
        size = target.stat().st_size if target.is_file() else bytes_below(target)
        facts["disk_mib"] = round(size / 2**20, 1)
        print(json.dumps({"step": step} | facts), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
