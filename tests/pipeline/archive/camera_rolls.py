# SPDX-License-Identifier: Apache-2.0
"""Camera rolls made of metadata alone: what photographers do, with the truth beside it.

A :class:`Camera` writes shots as a real one does: a file counter that rolls over, stamps at the
end of the exposure (or the start), with or without fractions of a second, nominal shutter speeds,
exposure tags as the brand has them. Habits drive cameras; a roll mixes habits.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace

from pipeline.archive.shot import ExposureMode, Shot
from pipeline.listing import FileInfo

THIRDS = [
    *(30, 25, 20, 15, 13, 10, 8, 6, 5, 4, 3.2, 2.5, 2, 1.6, 1.3, 1, 0.8, 0.6, 0.5, 0.4, 0.3),
    *(1 / n for n in (4, 5, 6, 8, 10, 13, 15, 20, 25, 30, 40, 50, 60, 80, 100, 125, 160, 200)),
    *(1 / n for n in (250, 320, 400, 500, 640, 800, 1000, 1250, 1600, 2000, 2500, 3200, 4000)),
    *(1 / n for n in (5000, 6400, 8000)),
]
"""Nominal shutter speeds in seconds, as cameras write them."""

Truth = list[frozenset[str]]
"""The URIs of each bracket."""


@dataclass
class Camera:
    """A body. ``tags`` says what it writes about bracketing."""

    name: str
    prefix: str
    rng: random.Random
    clock_s: float = 1_600_000_000.0
    number: int = 1
    width: int = 6000
    height: int = 4000
    fractions: bool = True
    stamps_end: bool = True
    tags: str = "mode"  # mode: ExposureMode 2; bias: compensation only; none: nothing
    shots: list[Shot] = field(default_factory=list)
    truth: Truth = field(default_factory=list)

    def wait(self, low_s: float, high_s: float) -> None:
        self.clock_s += self.rng.uniform(low_s, high_s)

    def shoot(
        self,
        time_s: float,
        *,
        f_number: float = 8.0,
        iso: float = 100.0,
        bias_ev: float = 0.0,
        mode: ExposureMode = "auto",
        portrait: bool = False,
    ) -> str:
        """One release; returns the URI."""
        start = self.clock_s
        self.clock_s += time_s
        stamp = self.clock_s if self.stamps_end else start
        stamp = round(stamp, 2) if self.fractions else float(math.floor(stamp))
        path = f"100MEDIA/{self.prefix}{self.number:04d}.JPG"
        self.number = self.number % 9999 + 1
        uri = f"/roll/{self.name}/{path}"
        width, height = (self.width, self.height) if not portrait else (self.height, self.width)
        self.shots.append(
            Shot(
                file=FileInfo(uri=uri, path=path, size_bytes=1, mtime_ns=0),
                width=width,
                height=height,
                exposure_time_s=time_s,
                f_number=f_number,
                iso=iso,
                captured_s=stamp,
                camera=self.name,
                bias_ev=bias_ev,
                mode=mode,
            )
        )
        return uri

    def bracket(
        self,
        order: list[float],
        *,
        base_s: float,
        pause_s: tuple[float, float] = (0.05, 0.3),
        manual: bool = False,
        f_number: float = 8.0,
        iso: float = 100.0,
        portrait: bool = False,
    ) -> None:
        """An automatic bracket: EVs relative to ``base_s`` in the order of capture."""
        uris = []
        for index, ev in enumerate(order):
            if index:
                self.wait(*pause_s)
            mode: ExposureMode = "manual" if manual else "auto"
            if self.tags == "mode":
                mode = "bracket"
            bias = ev if self.tags in ("mode", "bias") and not manual else 0.0
            uris.append(
                self.shoot(
                    nominal(base_s * 2.0**ev),
                    f_number=f_number,
                    iso=iso,
                    bias_ev=bias,
                    mode=mode,
                    portrait=portrait,
                )
            )
        self.truth.append(frozenset(uris))

    def drop_tags(self) -> None:
        """Forget the exposure mode, as some editors and phones do."""
        if self.tags == "none":
            self.shots = [replace(shot, mode=None, bias_ev=None) for shot in self.shots]


def nominal(time_s: float) -> float:
    """The nominal shutter speed next to a time."""
    return min(THIRDS, key=lambda known: abs(math.log2(known / time_s)))


def order_of(rng: random.Random, count: int, step: float) -> list[float]:
    """EVs of a bracket in one of the orders that cameras know."""
    half = count // 2
    ladder = [step * k for k in range(-half, count - half)]
    outward = [0.0]
    for k in range(1, half + 1):
        outward += [-step * k, step * k]
    centre_first = [0.0, *[ev for ev in ladder if ev]]
    choices = [ladder, ladder[::-1]]
    if count % 2:
        choices += [outward, centre_first]
    return rng.choice(choices)


def real_estate(camera: Camera, rooms: int) -> None:
    """Tripod, 3 or 5 frames at 2 EV, a room every minute, two or three views of each."""
    count = camera.rng.choice([3, 5])
    order = order_of(camera.rng, count, 2.0)
    for _ in range(rooms):
        for _ in range(camera.rng.choice([2, 3])):
            base = camera.rng.choice([1 / 8, 1 / 15, 1 / 30, 1 / 4])
            portrait = camera.rng.random() < 0.2
            camera.bracket(order, base_s=base, portrait=portrait, f_number=9.0, iso=320)
            camera.wait(6, 25)
        if camera.rng.random() < 0.3:
            camera.shoot(nominal(camera.rng.choice([1 / 60, 1 / 125])), iso=400)
        camera.wait(30, 120)


def museum(camera: Camera, views: int) -> None:
    """Tripod, 7 or 9 frames at 1 EV with a remote, a little slow."""
    count = camera.rng.choice([7, 9])
    order = order_of(camera.rng, count, 1.0)
    for _ in range(views):
        camera.bracket(
            order, base_s=camera.rng.choice([1 / 4, 1 / 8, 1 / 15]), pause_s=(0.4, 1.5), manual=True
        )
        camera.wait(20, 90)


def handheld(camera: Camera, views: int) -> None:
    """Quick bursts of 3, singles and drive shots in between, aperture priority."""
    order = order_of(camera.rng, 3, camera.rng.choice([1.0, 2.0, 4 / 3]))
    for _ in range(views):
        base = camera.rng.choice([1 / 250, 1 / 500, 1 / 125])
        if camera.rng.random() < 0.1:  # a test shot just before
            camera.shoot(nominal(base))
            camera.wait(1.5, 4)
        camera.bracket(order, base_s=base, pause_s=(0.1, 0.25), portrait=camera.rng.random() < 0.3)
        camera.wait(4, 40)
        kind = camera.rng.random()
        if kind < 0.4:
            for _ in range(camera.rng.randint(1, 3)):
                camera.shoot(nominal(camera.rng.uniform(1 / 1000, 1 / 60)), f_number=5.6)
                camera.wait(4, 30)
        elif kind < 0.55:
            speed = camera.rng.uniform(1 / 1000, 1 / 200)
            for _ in range(camera.rng.randint(4, 9)):  # a drive burst; the meter wavers
                camera.shoot(nominal(speed * 2 ** camera.rng.choice([0, 0, 1 / 3])), f_number=4.0)
                camera.wait(0.1, 0.2)
            camera.wait(4, 20)
        elif kind < 0.65:
            for _ in range(camera.rng.randint(5, 8)):  # a panorama, exposure locked
                camera.shoot(1 / 320, f_number=8.0, mode="manual")
                camera.wait(1, 2.5)
            camera.wait(4, 20)


def night(camera: Camera, views: int) -> None:
    """Up to 30 s, with the camera's dark frame after each long exposure half of the days."""
    dark_frames = camera.rng.random() < 0.5
    order = order_of(camera.rng, camera.rng.choice([3, 5]), 2.0)
    for _ in range(views):
        base = camera.rng.choice([1.6, 2.0] if len(order) == 5 else [4.0, 8.0])
        uris = []
        for ev in order:
            time_s = nominal(base * 2.0**ev)
            bias = ev if camera.tags == "bias" else 0.0
            mode: ExposureMode = "bracket" if camera.tags == "mode" else "manual"
            uris.append(camera.shoot(time_s, iso=200, bias_ev=bias, mode=mode))
            if dark_frames and time_s >= 1:
                camera.clock_s += time_s
            camera.wait(0.2, 1.2)
        camera.truth.append(frozenset(uris))
        camera.wait(40, 200)


def repeated(camera: Camera, runs: int) -> None:
    """The same bracket two to five times, within a second or two of each other."""
    order = order_of(camera.rng, 3, camera.rng.choice([1.0, 2.0]))
    for _ in range(runs):
        base = camera.rng.choice([1 / 60, 1 / 125, 1 / 250])
        for _ in range(camera.rng.randint(2, 5)):
            camera.bracket(order, base_s=base, pause_s=(0.1, 0.2))
            camera.wait(0.4, 2.0)
        camera.wait(8, 60)


def by_hand(camera: Camera, views: int) -> None:
    """Exposure compensation dialled between the frames, and walks with one picture a step."""
    for _ in range(views):
        speed = camera.rng.choice([1 / 60, 1 / 125, 1 / 250])
        uris = []
        for ev in camera.rng.choice([[-1.0, 0.0, 1.0], [0.0, -2.0, 2.0], [2.0, 0.0, -2.0]]):
            uris.append(camera.shoot(nominal(speed * 2.0**ev), bias_ev=ev))
            camera.wait(0.8, 2.5)
        camera.truth.append(frozenset(uris))
        camera.wait(10, 60)
        for _ in range(camera.rng.randint(2, 6)):
            speed = nominal(camera.rng.choice([1 / 60, 1 / 125, 1 / 250, 1 / 1000, 1 / 160]))
            camera.shoot(speed, f_number=camera.rng.choice([4.0, 4.0, 5.6]))
            camera.wait(1.2, 6)
        camera.wait(10, 60)


HABITS = (by_hand, real_estate, museum, handheld, night, repeated)


def roll(seed: int, *, scale: int = 1) -> tuple[list[Shot], Truth]:
    """A folder with two bodies whose frames interleave, one of them with a 1 s clock.

    The counter of the first rolls over. Shots come shuffled, as a listing does not know of time.
    """
    rng = random.Random(seed)
    first = Camera(
        "Canon EOS R5 #1", "IMG_", random.Random(rng.random()), number=rng.randint(9940, 9999)
    )
    second = Camera(
        "NIKON Z 7 #2",
        "DSC_",
        random.Random(rng.random()),
        number=rng.randint(1, 5000),
        width=8256,
        height=5504,
        fractions=rng.random() < 0.5,
        stamps_end=False,
        tags=rng.choice(["bias", "none", "mode"]),
    )
    for camera in (first, second):
        for habit in rng.sample(HABITS, len(HABITS)):
            habit(camera, 3 * scale)
            camera.wait(60, 600)
    second.drop_tags()
    shots = [*first.shots, *second.shots]
    rng.shuffle(shots)
    return shots, [*first.truth, *second.truth]
