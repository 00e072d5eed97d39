# SPDX-License-Identifier: Apache-2.0
"""A study: one recipe, trained in several variants on the same data and measured in the same way.

A study is one TOML file; those that ship lie in ``pipeline/studies``::

    summary = "one line for people"
    recipe = "ablation"              # a packaged one, or a .toml file beside the study
    seeds = [0, 1]                   # every variant is trained with each of them
    baseline = "v"                   # whose headline the others' gaps are told from; may be missing
    overrides = { "data.shard.pair" = "all" }        # of the recipe, for all variants

    [variants]                       # label -> overrides of the recipe, by dotted key
    v = { "loss.gamma" = "v" }
    vd = { "loss.gamma" = "vd" }

    [conditions]                     # label -> pipeline.robustness.Condition; "plain" always is
    "3 stops" = { stops = 3 }
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from model.measures import Measures
from pipeline import storage
from pipeline.errors import UsageError
from pipeline.packaged_toml import packaged_names, read_toml
from pipeline.recipe import Recipe, load_recipe, recipe_names, with_overrides
from pipeline.recipe_model import check_model, objective_of
from pipeline.robustness import PLAIN, Condition
from pipeline.strict import StrictError, did_you_mean, from_table

__all__ = ["Study", "Trial", "load_study", "study_names"]

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SEED = "training.seed"


@dataclass(frozen=True, kw_only=True)
class Study:
    """A recipe and its variants; see the module's own text for the keys.

    Raises:
        ValueError: a value is impossible; the message begins with its name.
    """

    name: str
    summary: str
    recipe: str
    variants: dict[str, Any]
    seeds: tuple[int, ...] = (0,)
    baseline: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.variants:
            raise ValueError("variants must name at least one")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds must be different whole numbers from 0, not {self.seeds}")
        if self.baseline and self.baseline not in self.variants:
            hint = did_you_mean(self.baseline, self.variants)
            raise ValueError(f"baseline {self.baseline!r} is no variant{hint}")
        for label, changes in self.variants.items():
            if not _LABEL.fullmatch(label):
                raise ValueError(f"variants.{label} is no name for a folder: use a-z, 0-9, - _ .")
            if not isinstance(changes, Mapping):
                raise ValueError(f"variants.{label} must be a table of dotted keys")
            for key in changes:
                if key == _SEED or key.split(".")[0] == "data":
                    raise ValueError(
                        f"variants.{label} must not set {key}: all variants see the same data; "
                        "set it in overrides, and seeds in seeds"
                    )
        for key in self.overrides:
            for label, changes in self.variants.items():
                for own in changes:
                    if _overlap(key, own):
                        raise ValueError(
                            f"overrides of {key} and variants.{label}, which decides {own} itself, "
                            "exclude each other"
                        )
            if _overlap(key, _SEED) and key != "training":
                raise ValueError(f"overrides must not set {key}; the key seeds does")
        for label, table in self.conditions.items():
            if not isinstance(table, Mapping):
                raise ValueError(f"conditions.{label} must be a table with stops or noise")
        if PLAIN.name in self.conditions:
            raise ValueError(f"conditions must not name {PLAIN.name!r}, which always is measured")
        _ = self.measured

    @cached_property
    def measured(self) -> tuple[Condition, ...]:
        """All conditions: patches as they are, and then the study's own."""
        own = (
            from_table(Condition, {"name": label} | table, path=f"conditions.{label}")
            for label, table in self.conditions.items()
        )
        return (PLAIN, *own)

    @cached_property
    def base(self) -> Recipe:
        """The recipe with the overrides that all variants share."""
        return with_overrides(load_recipe(self.recipe), self.overrides)

    @cached_property
    def measures(self) -> Measures:
        """What all its networks are judged by: what suits the recipe's."""
        with torch.device("meta"):
            return objective_of(self.base).measures

    def trial(self, variant: str, seed: int) -> Trial:
        """One training of the study."""
        overrides = self.overrides | self.variants[variant] | {_SEED: seed}
        return Trial(
            variant=variant,
            seed=seed,
            overrides=overrides,
            recipe=with_overrides(load_recipe(self.recipe), overrides),
        )

    def changed(self, changes: Mapping[str, Any]) -> Study:
        """The study with more overrides for all variants.

        Raises:
            UsageError: ``study-invalid``, a variant decides such a key itself.
        """
        try:
            return replace(self, overrides=self.overrides | dict(changes))
        except ValueError as error:
            raise UsageError("study-invalid", f"Study {self.name}: {error}.") from error

    def with_seeds(self, count: int) -> Study:
        """The study with its first ``count`` seeds; where it has fewer, with the next numbers."""
        more = (seed for seed in range(count + len(self.seeds)) if seed not in self.seeds)
        seeds = [*self.seeds, *more]
        return replace(self, seeds=tuple(seeds[:count]))

    def chosen(self, only: Sequence[str]) -> tuple[str, ...]:
        """The variants of ``only`` in the study's order; all, if there are none.

        Raises:
            UsageError: ``option-invalid``, there is no such variant.
        """
        for label in only:
            if label not in self.variants:
                raise UsageError(
                    "option-invalid",
                    f"Study {self.name} has no variant {label!r}"
                    f"{did_you_mean(label, self.variants)}; it has {', '.join(self.variants)}.",
                )
        return tuple(label for label in self.variants if not only or label in only)

    def check(self) -> None:
        """Refuse recipes and networks that cannot be, before anything starts.

        Raises:
            UsageError: ``recipe-invalid``.
        """
        for variant in self.variants:
            check_model(self.trial(variant, self.seeds[0]).recipe)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One variant with one seed: ``recipe`` is the study's with ``overrides``."""

    variant: str
    seed: int
    overrides: dict[str, Any]
    recipe: Recipe

    @property
    def folder(self) -> tuple[str, str]:
        """Where it is, below the study's own folder."""
        return self.variant, f"seed-{self.seed}"


def study_names() -> tuple[str, ...]:
    """The studies that ship, sorted."""
    return packaged_names("study")


def load_study(name_or_path: str) -> Study:
    """Read a study.

    Args:
        name_or_path: name of one that ships, or a path or URI that ends in ``.toml``.

    Raises:
        UsageError: ``study-invalid``, naming the file, the key and what is allowed.
    """
    where, table = read_toml("study", name_or_path)
    folder = where.replace("\\", "/").rpartition("/")[0]
    try:
        study = from_table(Study, table)
    except StrictError as error:
        raise UsageError("study-invalid", f"{where}: {str(error).rstrip('.')}.") from error
    recipe = study.recipe
    if recipe in recipe_names() or "://" in recipe or recipe.startswith("/") or not folder:
        return study
    return replace(study, recipe=storage.join(folder, recipe))


def _overlap(one: str, other: str) -> bool:
    """Whether two dotted keys decide the same value, or one a part of the other."""
    shorter, longer = sorted((one.split("."), other.split(".")), key=len)
    return longer[: len(shorter)] == shorter
