# SPDX-License-Identifier: Apache-2.0
"""A recipe: one TOML file that says everything about an experiment but where it runs.

Data, network, loss, augmentation and training are frozen dataclasses; TOML tables of the same
names fill them. Recipes that ship lie in ``pipeline/recipes``; :func:`with_overrides` changes
single values, as the ablations do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipeline.augment import AugmentSettings
from pipeline.demo.dynamic_plan import DynamicPlan
from pipeline.errors import UsageError
from pipeline.packaged_toml import packaged_names, read_toml
from pipeline.settings import hash_of
from pipeline.sharding.settings import ShardSettings
from pipeline.strict import StrictError, did_you_mean, from_table

__all__ = [
    "DataSettings",
    "GenerateSettings",
    "Recipe",
    "TrainingSettings",
    "load_recipe",
    "recipe_names",
    "with_overrides",
]

_FRAMES = (2, 9)


@dataclass(frozen=True, kw_only=True)
class GenerateSettings:
    """The archive that is rendered where none is given."""

    brackets: int = 24
    megapixels: float = 0.8
    """Of a frame."""
    seed: int = 0
    dynamic: DynamicPlan | None = None
    """Scenes in which something moves, with ground truth; then this alone says what is made."""

    def __post_init__(self) -> None:
        _at_least("brackets", self.brackets, 3)
        if not 0.02 <= self.megapixels <= 200:
            raise ValueError(f"megapixels must lie within 0.02..200, not {self.megapixels:g}")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """What a batch is made of."""

    frames: tuple[int, int] = (2, 2)
    """Fewest and most frames of a batch, within 2..9; how many is drawn for every batch. One
    number stands for both."""
    crop_px: int | None = None
    """Side of a random crop out of each patch; None takes whole patches."""
    generate: GenerateSettings = field(default_factory=GenerateSettings)
    shard: ShardSettings = field(default_factory=ShardSettings)

    def __post_init__(self) -> None:
        low, high = self.frames
        if not _FRAMES[0] <= low <= high <= _FRAMES[1]:
            raise ValueError(
                f"frames must lie within {_FRAMES[0]}..{_FRAMES[1]}, fewest first, "
                f"not {low}..{high}"
            )
        if self.shard.pair != "all" and high > 2:
            raise ValueError(
                f"frames {high} are more than the two that shard.pair {self.shard.pair!r} leaves; "
                "use pair 'all'"
            )
        if self.crop_px is not None:
            _at_least("crop_px", self.crop_px, 16)
            if self.crop_px > self.shard.patch_px:
                raise ValueError(
                    f"crop_px {self.crop_px} is larger than shard.patch_px {self.shard.patch_px}"
                )


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How the training goes."""

    steps: int
    """Batches in all."""
    batch: int
    """Patches of a batch, of all workers together."""
    lr: float
    """Highest learning rate of AdamW."""
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    """After the warm-up: down to zero along a cosine; constant; halved at each fifth of the
    steps."""
    warmup_steps: int = 0
    """Steps in which the rate rises from zero, linearly."""
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    """Longest gradient; longer ones are shortened to it. 0: never."""
    ema: float = 0.0
    """Decay of the running mean of the weights, which is then what is validated and shipped; 0:
    none."""
    precision: Literal["float32", "bf16"] = "float32"
    """Of the network's own arithmetic; losses and figures are always float32."""
    channels_last: bool = False
    seed: int = 0
    validate_every: int = 500
    """Steps between validations; each writes a checkpoint."""
    validation_patches: int = 64
    """Most patches to validate with."""
    patience: int = 0
    """Stop after so many validations without gain; 0: never."""
    workers: int = 1
    """Training processes; not part of a recipe's hash."""
    init: str = ""
    """Weights to begin with: the name of packaged ones, or a .safetensors file; "" for none."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validate_every", "validation_patches", "workers"):
            _at_least(name, getattr(self, name), 1)
        for name in ("warmup_steps", "weight_decay", "clip_norm", "seed", "patience"):
            _at_least(name, getattr(self, name), 0)
        if not 0 < self.lr <= 10:
            raise ValueError(f"lr must be above 0, and at most 10, not {self.lr:g}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must lie within 0..1, below 1, not {self.ema:g}")
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps {self.warmup_steps} must be fewer than the {self.steps} steps"
            )
        if self.batch % self.workers:
            raise ValueError(
                f"batch {self.batch} is not a multiple of the {self.workers} workers; each of them "
                "takes an equal share of every batch"
            )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An experiment. ``network`` and ``loss`` have a ``name``; ``model.objectives`` and
    ``model.networks`` know their other keys."""

    name: str
    summary: str
    """One line for people."""
    network: dict[str, Any]
    loss: dict[str, Any]
    training: TrainingSettings
    data: DataSettings = field(default_factory=DataSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)

    @property
    def decisive(self) -> dict[str, Any]:
        """Everything that decides the result: not the names, nor how many workers."""
        table = asdict(self)
        del table["name"], table["summary"], table["training"]["workers"]
        if self.data.generate.dynamic is None:  # it came later, and trainings go on
            del table["data"]["generate"]["dynamic"]
        return table

    @property
    def sha256(self) -> str:
        """Hash of what is decisive."""
        return hash_of(self.decisive)


def recipe_names() -> tuple[str, ...]:
    """The recipes that ship, sorted."""
    return packaged_names("recipe")


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: name of one that ships, or a path or URI that ends in ``.toml``.

    Raises:
        UsageError: ``recipe-invalid``, naming the file, the key and what is allowed.
    """
    where, table = read_toml("recipe", name_or_path)
    return _strict(table, where)


def with_overrides(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe with single values replaced, as strictly as when it is read.

    Args:
        overrides: dotted key -> value, such as ``{"loss.gamma": "v", "training.steps": 500}``;
            a table replaces a whole table.

    Raises:
        UsageError: ``recipe-invalid``.
    """
    table = asdict(recipe)
    where = f"Recipe {recipe.name} with {', '.join(overrides)} set"
    for key, value in overrides.items():
        *parents, last = key.split(".")
        target: Any = table
        for depth, parent in enumerate(parents):
            if not isinstance(target.get(parent), dict):
                raise UsageError(
                    "recipe-invalid",
                    f"{where}: {'.'.join(parents[: depth + 1])} is no table"
                    f"{did_you_mean(parent, target)}; use a dotted key such as training.steps.",
                )
            target = target[parent]
        target[last] = value
    return _strict(table, where)


def _strict(table: Mapping[str, Any], where: str) -> Recipe:
    try:
        recipe = from_table(Recipe, table)
    except StrictError as error:
        raise UsageError("recipe-invalid", f"{where}: {str(error).rstrip('.')}.") from error
    for key in ("network", "loss"):
        name = getattr(recipe, key).get("name")
        if not isinstance(name, str):
            raise UsageError("recipe-invalid", f"{where}: {key}.name must be a text.")
    return recipe


def _at_least(name: str, value: float, least: float) -> None:
    if value < least:
        raise ValueError(f"{name} must be at least {least:g}, not {value:g}")
