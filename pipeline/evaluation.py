# SPDX-License-Identifier: Apache-2.0
"""Figures of trained weights on every validation patch, under several conditions.

They are kept beside the weights, as ``evaluation.parquet``: one row a patch, condition and
reference. No Ray is needed here.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from model.fusion_network import FusionNetwork
from model.fusion_scores import FusionScores
from model.zoo import trained
from pipeline import storage
from pipeline.batches import BatchPlan, fitting, validation_plans
from pipeline.errors import BracketflowError, PhotoError, UsageError
from pipeline.patches import PatchRef, read_patch
from pipeline.prefetch import one_ahead
from pipeline.recipe import DataSettings
from pipeline.robustness import Condition, stack_under
from pipeline.settings import hash_of
from pipeline.weights import WEIGHTS

__all__ = ["EVALUATION_SCHEMA", "FIGURES", "evaluate", "evaluation_of", "load_network"]

_VERSION = 1
_FILE = "evaluation.parquet"
_KEY = b"bracketflow.evaluation"
_BATCH = 4  # patches; only how much memory is taken depends on it

FIGURES = {
    "gray_ms3": "gray_ms3",
    "color_8x8_adaptive_lum": "color",
    "chroma_shift": "chroma_shift",
    "gray_ms3_mertens": "gray_ms3_mertens",
    "color_8x8_adaptive_lum_mertens": "color_mertens",
}
"""Columns of figures -> what :class:`model.fusion_scores.FusionScores` calls them."""


def _field(name: str, kind: pa.DataType, about: str, *, null: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=null, metadata={"description": about})


EVALUATION_SCHEMA = pa.schema(
    [
        _field("patch", pa.string(), "key of the validation patch"),
        _field("condition", pa.string(), "what it was put through before it was fused"),
        _field("against", pa.string(), "what the fusion is measured against: clean, or noisy"),
        _field("stops", pa.float64(), "from the darkest to the brightest fused frame", null=True),
        *(_field(name, pa.float64(), "see model.fusion_scores") for name in FIGURES),
    ]
)
"""Columns of ``evaluation.parquet``; (patch, condition, against) is its key. ``clean`` are the
frames as they lie in the shards, ``noisy`` the same with the noise that the network saw. Mertens
fuses what the network fuses and is measured in the same way."""


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
            return known.cast(EVALUATION_SCHEMA)
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
    """Figures of a network, on the device where it is, as :data:`EVALUATION_SCHEMA`.

    A patch gets as many of its frames, spread evenly, as ``data.frames`` allows, or the two that
    a condition chooses; of those, the centre crop.

    Raises:
        UsageError: ``recipe-invalid``, no patch has enough frames or they make no batch;
            ``shards-invalid``.
    """
    plans = validation_plans(refs, frames=data.frames, batch=_BATCH, most=len(refs))
    scores = FusionScores()
    rows: list[dict[str, object]] = []
    for condition in conditions:
        read = (_read(plan, condition, data.crop_px) for plan in plans)
        for batch in one_ahead(read):
            if batch is not None:
                rows += _figures(network, scores, condition, batch)
    return pa.Table.from_pylist(rows, schema=EVALUATION_SCHEMA)


@dataclass(frozen=True)
class _Batch:
    keys: tuple[str, ...]
    stops: tuple[float | None, ...]
    inputs: torch.Tensor
    clean: torch.Tensor


def _read(plan: BatchPlan, condition: Condition, crop_px: int | None) -> _Batch | None:
    """The patches that suit the condition; None if there are none."""
    with fitting(plan):
        found = [
            (ref.key, stack_under(read_patch(ref), condition, plan.frames, crop_px=crop_px))
            for ref in plan.refs
        ]
        kept = [(key, stack) for key, stack in found if stack is not None]
        if not kept:
            return None
        return _Batch(
            keys=tuple(key for key, _ in kept),
            stops=tuple(stack.stops for _, stack in kept),
            inputs=torch.from_numpy(np.stack([stack.inputs for _, stack in kept])),
            clean=torch.from_numpy(np.stack([stack.clean for _, stack in kept])),
        )


@torch.no_grad()
def _figures(
    network: FusionNetwork, scores: FusionScores, condition: Condition, batch: _Batch
) -> list[dict[str, object]]:
    inputs = batch.inputs.to(network.device)
    fused = network(inputs).fused.float()
    if condition.noise:
        clean = batch.clean.to(network.device)
        measured = {"clean": scores(fused, clean, inputs), "noisy": scores(fused, inputs)}
    else:
        measured = {"clean": scores(fused, inputs)}
    rows: list[dict[str, object]] = []
    for against, figures in measured.items():
        columns = {name: figures[theirs].tolist() for name, theirs in FIGURES.items()}
        rows += [
            {"patch": key, "condition": condition.name, "against": against, "stops": stops}
            | {name: values[index] for name, values in columns.items()}
            for index, (key, stops) in enumerate(zip(batch.keys, batch.stops, strict=True))
        ]
    return rows
