# SPDX-License-Identifier: Apache-2.0
"""The command that makes moving scenes with ground truth: ``dynamic``."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from flows.options import STDOUT
from pipeline import storage
from pipeline.demo.dynamic_plan import DynamicPlan, MotionKind, Split
from pipeline.demo.rendered import find_pictures
from pipeline.planning import check_destination

__all__ = ["app"]

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n"
    "  bracketflow dynamic ~/scenes --scenes 2000\n\n"
    "  bracketflow dynamic ~/scenes-test --split test     (the 48 that results tell of)\n\n"
    "  bracketflow dynamic ~/scenes --pictures ~/hdris --motion-px 8 60 --kinds objects\n\n"
    "Running the same command again continues where it was, or does nothing."
)
def dynamic(
    out: Annotated[
        str,
        typer.Argument(
            help="New folder or URI that gets Training/ or Test/, one folder a scene, laid out as "
            "Kalantari's data are.",
            show_default=False,
        ),
    ],
    pictures: Annotated[
        str | None,
        typer.Option(
            help="Folder or URI with linear HDR pictures (.exr, .hdr) to be used as backdrops; "
            "scenes rendered for the purpose by default."
        ),
    ] = None,
    scenes: Annotated[int, typer.Option(help="How many.")] = DynamicPlan.scenes,
    split: Annotated[
        Split, typer.Option(help="Test scenes share nothing with those for training.")
    ] = DynamicPlan.split,
    seed: Annotated[
        int, typer.Option(help="The same seed makes the same scenes.")
    ] = DynamicPlan.seed,
    height: Annotated[int, typer.Option(help="Of a frame, in pixels.")] = DynamicPlan.height,
    width: Annotated[int, typer.Option(help="Of a frame, in pixels.")] = DynamicPlan.width,
    frames: Annotated[
        int, typer.Option(help="Of a scene; the truth shows the moment of the middle one.")
    ] = DynamicPlan.frames,
    steps_ev: Annotated[
        list[float] | None,
        typer.Option(help="Stops from frame to frame, of which each scene takes one: 2 and 3."),
    ] = None,
    kinds: Annotated[
        list[str] | None,  # Typer takes no list of literals; the plan checks them
        typer.Option(
            help="drift, the camera moves on; objects, things move before it. Both by default."
        ),
    ] = None,
    motion_px: Annotated[
        tuple[float, float],
        typer.Option(help="Least and most that is moved from frame to frame, in pixels."),
    ] = DynamicPlan.motion_px,
    shake: Annotated[
        float, typer.Option(help="How unsteady the hand is; 0 for a tripod.")
    ] = DynamicPlan.shake,
) -> None:
    """Make brackets of scenes in which something moves, with exact ground truth."""
    plan = DynamicPlan(
        split=split,
        scenes=scenes,
        seed=seed,
        height=height,
        width=width,
        frames=frames,
        steps_ev=tuple(steps_ev) if steps_ev else DynamicPlan.steps_ev,
        kinds=cast(tuple[MotionKind, ...], tuple(kinds)) if kinds else DynamicPlan.kinds,
        motion_px=motion_px,
        shake=shake,
    )
    out = storage.absolute(out)
    if pictures is not None:
        pictures = storage.absolute(pictures)
        check_destination(pictures, out)
        find_pictures(pictures)
    from flows.dynamic import dynamic_archive
    from flows.server import ready_server

    ready_server()
    made = dynamic_archive(out, plan, pictures)
    STDOUT.print(
        f"{made.scenes:,} scenes ({made.frames:,} frames)"
        + (f", {made.kept:,} of them made before" if made.kept else ""),
        highlight=False,
    )
    STDOUT.print(f"archive: {made.folder}", markup=False, soft_wrap=True)
