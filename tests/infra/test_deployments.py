# SPDX-License-Identifier: Apache-2.0
"""prefect.yaml: deployments that load, fit their flows, and let one writer a destination work."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections import Counter
from datetime import datetime

import pytest
import yaml
from cronsim import CronSim
from prefect import Flow
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.events.schemas.automations import AutomationCore
from prefect.utilities.callables import parameter_schema

import flows
from flows.ends import QUARANTINE


@pytest.fixture(scope="module")
def deployments(prefect_yaml):
    return prefect_yaml["deployments"]


def flow_of(entrypoint: str) -> Flow:
    module, _, name = entrypoint.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Flow)
    return found


def test_prefect_reads_it(prefect_yaml, deployments, pins):
    assert len(PrefectYamlModel.model_validate(prefect_yaml).deployments) == len(deployments)
    assert prefect_yaml["prefect-version"] == pins["prefect"]
    # Not null, for which Prefect puts the current folder first on the import path.
    assert prefect_yaml["pull"] == []


def test_parameters_fit_the_flows(deployments):
    for deployment in deployments:
        flow = flow_of(deployment["entrypoint"])
        parameters = inspect.signature(flow.fn).parameters
        assert set(deployment.get("parameters", ())) <= set(parameters), deployment["name"]
        if deployment.get("schedules"):
            needed = {n for n, p in parameters.items() if p.default is inspect.Parameter.empty}
            assert needed <= set(deployment["parameters"]), deployment["name"]


def test_every_flow_has_a_deployment(deployments):
    deployed = {flow_of(deployment["entrypoint"]) for deployment in deployments}
    for module in pkgutil.iter_modules(flows.__path__, "flows."):
        if module.name.endswith("cli"):
            continue
        for found in vars(importlib.import_module(module.name)).values():
            if isinstance(found, Flow):
                assert found in deployed, found.name


def test_names_are_unique_and_schedules_are_times(deployments):
    names = Counter((flow_of(d["entrypoint"]).name, d["name"]) for d in deployments)
    assert set(names.values()) == {1}
    slugs = [schedule["slug"] for d in deployments for schedule in d.get("schedules", ())]
    assert len(slugs) == len(set(slugs))
    active = set()
    for deployment in deployments:
        for schedule in deployment.get("schedules", ()):
            CronSim(schedule["cron"], datetime(2026, 1, 1))
            if schedule.get("active", True):
                active.add(deployment["name"])
    assert active == {"nightly", "weekly"}


def test_one_writer_a_destination(deployments):
    for deployment in deployments:
        limit = deployment["concurrency_limit"]
        assert (limit["limit"], limit["collision_strategy"]) == (1, "ENQUEUE")


def test_the_form_in_the_ui_explains_every_parameter(deployments):
    for entrypoint in {deployment["entrypoint"] for deployment in deployments}:
        schema = parameter_schema(flow_of(entrypoint).fn).model_dump()
        for name, field in schema["properties"].items():
            assert field.get("description"), f"{entrypoint}: {name}"


def test_pools_have_the_image_and_a_source_that_cannot_be_written(prefect_yaml, project):
    pools = prefect_yaml["definitions"]
    image = f"bracketflow:{project['version']}-cpu"
    for kind in ("docker", "kubernetes"):
        assert pools[kind]["job_variables"]["image"] == image
    photos, _ = pools["docker"]["job_variables"]["volumes"]
    assert photos.endswith(":ro")
    assert pools["kubernetes"]["job_variables"]["service_account_name"] == "bracketflow-flows"


def test_automations_are_what_prefect_takes(infra):
    text = (infra / "prefect" / "automations.yaml").read_text("utf-8")
    block = "00000000-0000-0000-0000-000000000000"
    found = yaml.safe_load(text.replace("BLOCK_ID", block))["automations"]
    made = {one["name"]: AutomationCore.model_validate(one) for one in found}
    assert len(made) == len(found)
    # A run that ended with quarantine is no zombie: the event of a state has the state's name.
    assert f"prefect.flow-run.{QUARANTINE}" in made["bracketflow-zombies"].trigger.expect
