# SPDX-License-Identifier: Apache-2.0
"""Figures of trained weights on every validation patch, under several conditions.

They are kept beside the weights, as ``evaluation.parquet``: one row a patch, condition and
reference. No Ray is needed here.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from model.fusion_network import FusionNetwork
from model.measures import Measures, measures_of
from model.zoo import trained
from pipeline import storage
from pipeline.batches import BatchPlan, fitting, validation_plans
from pipeline.errors import BracketflowError, PhotoError, UsageError
from pipeline.patches import Patch, PatchRef, read_patch
from pipeline.prefetch import one_ahead
from pipeline.recipe import DataSettings
from pipeline.robustness import Condition, LightStack, Stack, light_under, stack_under
from pipeline.settings import hash_of
from pipeline.weights import WEIGHTS

__all__ = ["KEYS", "evaluate", "evaluation_of", "evaluation_schema", "load_network"]

_VERSION = 1
_FILE = "evaluation.parquet"
_KEY = b"bracketflow.evaluation"
_BATCH = 4  # patches; only how much memory is taken depends on it


KEYS = ("patch", "condition", "against", "stops")
"""Columns of ``evaluation.parquet`` that are no figures."""


def _field(name: str, kind: pa.DataType, about: str, *, null: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=null, metadata={"description": about})


def evaluation_schema(measures: Measures) -> pa.Schema:
    """Columns of ``evaluation.parquet``; (patch, condition, against) is its key.

    ``clean`` are the frames as they lie in the shards, ``noisy`` the same with the noise that the
    network saw, ``truth`` is the radiance that a network shall make. Rivals get what the network
    gets and are measured in the same way; one that cannot be had has no figures.
    """
    rivals = [f"{name}_{rival.name}" for rival in measures.rivals for name in rival.figures]
    about = f"see {type(measures).__name__} in model.measures"
    return pa.schema(
        [
            _field("patch", pa.string(), "key of the validation patch"),
            _field("condition", pa.string(), "what it was put through before it was fused"),
            _field("against", pa.string(), "what is measured against: clean, noisy or truth"),
            _field("stops", pa.float64(), "from the darkest to the brightest frame", null=True),
            *(_field(figure.name, pa.float64(), about) for figure in measures.figures),
            *(_field(name, pa.float64(), about, null=True) for name in rivals),
        ]
    )


def evaluation_of(
    out: str,
    refs: Sequence[PatchRef],
    data: DataSettings,
    conditions: Sequence[Condition],
    device: torch.device,
) -> pa.Table:
    """The evaluation of the weights of a training in ``out``: the one that stands there, if it is
    of these weights, patches and conditions, or else a new one.

    Raises:
        UsageError: ``weights-invalid``, or as :func:`evaluate`.
        InfrastructureError: ``disk-full`` or ``storage-failed``.
    """
    weights = storage.join(out, WEIGHTS)
    network, sha256 = load_network(weights, device)
    key = hash_of(
        {
            "version": _VERSION,
            "weights": sha256,
            "patches": [[ref.uri, ref.key] for ref in refs],
            "data": [data.frames, data.crop_px],
            "conditions": [asdict(condition) for condition in conditions],
        }
    ).encode()
    uri = storage.join(out, _FILE)
    try:
        with storage.open_read(uri) as handle:
            known = pq.read_table(handle)
        if (known.schema.metadata or {}).get(_KEY) == key:
            return known.cast(evaluation_schema(measures_of(network)))
    except (BracketflowError, pa.ArrowException, OSError, ValueError):
        pass  # none, or one of something else
    table = evaluate(network, refs, data, conditions)
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({_KEY: key}), buffer)
    storage.write_atomic(uri, buffer.getbuffer())
    return table


def load_network(uri: str, device: torch.device) -> tuple[FusionNetwork, str]:
    """A network out of a weights file, ready to fuse, and the SHA-256 of the file.

    Raises:
        UsageError: ``weights-invalid``.
    """
    try:
        with storage.open_read(uri) as handle:
            data = handle.read()
        return cast(FusionNetwork, trained(data, device)), storage.sha256_of(data)
    except (PhotoError, ValueError) as error:
        raise UsageError(
            "weights-invalid",
            f"The weights {uri} cannot be used: {error}. Move their folder away to train again.",
        ) from error


def evaluate(
    network: FusionNetwork,
    refs: Sequence[PatchRef],
    data: DataSettings,
    conditions: Sequence[Condition],
) -> pa.Table:
    """Figures of a network, on the device where it is, as :func:`evaluation_schema` has it.

    A patch gets as many of its frames, spread evenly, as ``data.frames`` allows, or those that
    a condition chooses; of those, the centre crop.

    Raises:
        UsageError: ``recipe-invalid``, no patch has enough frames or they make no batch;
            ``shards-invalid``.
    """
    plans = validation_plans(refs, frames=data.frames, batch=_BATCH, most=len(refs))
    measures = measures_of(network)
    aligned = all(read_patch(plan.refs[0]).aligned is not None for plan in plans)
    fields = measures.fields(network, aligned=aligned)
    rows: list[dict[str, object]] = []
    for condition in conditions:
        read = (_read(plan, condition, data.crop_px, fields) for plan in plans)
        for batch in one_ahead(read):
            if batch is not None:
                rows += _figures(network, measures, condition, batch)
    return pa.Table.from_pylist(rows, schema=evaluation_schema(measures))


@dataclass(frozen=True)
class _Batch:
    keys: tuple[str, ...]
    stops: tuple[float | None, ...]
    inputs: dict[str, torch.Tensor]
    clean: dict[str, torch.Tensor]


def _read(
    plan: BatchPlan, condition: Condition, crop_px: int | None, fields: tuple[str, ...]
) -> _Batch | None:
    """The patches that suit the condition; None if there are none."""

    def under(patch: Patch) -> Stack | LightStack | None:
        if fields:
            return light_under(patch, condition, plan.frames, fields, crop_px=crop_px)
        return stack_under(patch, condition, plan.frames, crop_px=crop_px)

    with fitting(plan):
        found = [(ref.key, under(read_patch(ref))) for ref in plan.refs]
        kept = [(key, stack) for key, stack in found if stack is not None]
        if not kept:
            return None
        return _Batch(
            keys=tuple(key for key, _ in kept),
            stops=tuple(stack.stops for _, stack in kept),
            inputs=_together([stack.inputs for _, stack in kept]),
            clean=_together([stack.clean for _, stack in kept]),
        )


def _together(stacks: Sequence[Any]) -> dict[str, torch.Tensor]:
    """A batch of frames, or of frames and fields."""
    parts = [stack if isinstance(stack, dict) else {"frames": stack} for stack in stacks]
    return {name: torch.from_numpy(np.stack([part[name] for part in parts])) for name in parts[0]}


@torch.no_grad()
def _figures(
    network: FusionNetwork, measures: Measures, condition: Condition, batch: _Batch
) -> list[dict[str, object]]:
    inputs = {name: values.to(network.device) for name, values in batch.inputs.items()}
    clean = inputs
    if condition.noise:
        clean = {name: values.to(network.device) for name, values in batch.clean.items()}
    rows: list[dict[str, object]] = []
    for against, figures in measures(network, inputs, clean).items():
        columns = {name: values.tolist() for name, values in figures.items()}
        rows += [
            {"patch": key, "condition": condition.name, "against": against, "stops": stops}
            | {name: values[index] for name, values in columns.items()}
            for index, (key, stops) in enumerate(zip(batch.keys, batch.stops, strict=True))
        ]
    return rows
