# SPDX-License-Identifier: Apache-2.0
"""Learning rates, weight decay and the running mean of the weights."""

from __future__ import annotations

import pytest
import torch

from pipeline.optimising import Averaged, learning_rate, make_optimizer
from pipeline.recipe import TrainingSettings


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(**({"steps": 100, "batch": 4, "lr": 0.1} | changes))


@pytest.mark.parametrize("schedule", ["cosine", "constant", "step"])
def test_warm_up_rises_to_the_rate_and_nothing_exceeds_it(schedule):
    wanted = settings(schedule=schedule, warmup_steps=10)
    rates = [learning_rate(wanted, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.01 * n for n in range(1, 11)])
    assert max(rates) == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_each_schedule_ends_where_it_says():
    assert learning_rate(settings(schedule="constant"), 99) == 0.1
    assert learning_rate(settings(schedule="cosine"), 0) == 0.1
    assert learning_rate(settings(schedule="cosine"), 50) == pytest.approx(0.05)
    assert learning_rate(settings(schedule="cosine"), 99) < 1e-4
    steps = [learning_rate(settings(schedule="step"), step) for step in (0, 19, 20, 40, 99)]
    assert steps == pytest.approx([0.1, 0.1, 0.05, 0.025, 0.1 / 16])


def test_biases_and_scales_do_not_decay():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    frozen = torch.nn.Linear(2, 2)
    frozen.requires_grad_(False)
    network.append(frozen)
    groups = make_optimizer(network, settings(weight_decay=0.5)).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert {tuple(p.shape): decays[id(p)] for p in network[0].parameters()} == {
        (2, 1, 3, 3): 0.5,
        (2,): 0.0,
    }
    assert {decays[id(p)] for p in network[1].parameters()} == {0.0}
    assert not any(id(p) in decays for p in frozen.parameters())


def test_the_mean_follows_and_steps_aside():
    network = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(0.0)
    averaged = Averaged(network, 0.5)
    with torch.no_grad():
        network.weight.fill_(1.0)
    averaged.update(1000)
    assert averaged.state["weight"].item() == 0.5
    with averaged.in_place():
        assert network.weight.item() == 0.5
    assert network.weight.item() == 1.0
    averaged.restore({"weight": torch.full((1, 1), 0.25)})
    assert averaged.state["weight"].item() == 0.25


def test_the_mean_soon_forgets_the_first_weights():
    network = torch.nn.Linear(1, 1, bias=False)
    averaged = Averaged(network, 0.999)
    with torch.no_grad():
        network.weight.fill_(5.0)
    for step in range(50):
        averaged.update(step)
    assert averaged.state["weight"].item() == pytest.approx(5.0, abs=0.01)
