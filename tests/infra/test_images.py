# SPDX-License-Identifier: Apache-2.0
"""The image and Compose: pinned, without root, on loopback, with no secret of their own."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from packaging.requirements import Requirement

from pipeline.metrics import METRICS


@pytest.fixture(scope="module")
def dockerfile(infra):
    """Instructions of the Dockerfile, a line each."""
    text = (infra / "images" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def compose(infra):
    return yaml.safe_load((infra / "compose" / "compose.yaml").read_text("utf-8"))


def stages(dockerfile):
    found = {}
    for line in dockerfile:
        if line.startswith("FROM "):
            name = line.split(" AS ")[1]
            found[name] = []
        elif found:
            found[name].append(line)
    return found


def test_both_images_are_the_same_but_for_torch(dockerfile):
    found = stages(dockerfile)
    for kind in ("cpu", "cuda"):
        assert found[kind][-1].startswith("CMD")
        assert "USER 1000:1000" in found[kind]
        assert f"COPY --from={kind}-packages /opt/bracketflow /opt/bracketflow" in found[kind]
    assert found["cpu-packages"][1:] == found["cuda-packages"][1:]


def test_every_package_of_an_image_is_pinned(dockerfile, project, pins):
    installs = [line for line in dockerfile if "pip install" in line]
    assert len(installs) == 4
    assert all("pip install -c constraints.txt" in line for line in installs)
    (chosen,) = {extra for line in installs for extra in re.findall(r"'\.\[(.*)\]'", line)}
    wanted = project["dependencies"] + [
        text for extra in chosen.split(",") for text in project["optional-dependencies"][extra]
    ]
    for text in wanted:
        requirement = Requirement(text)
        version = pins[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(version), text


def test_an_image_has_the_python_that_was_tested(dockerfile, repository):
    (python,) = re.findall(r"ARG PYTHON_VERSION=(\S+)", "\n".join(dockerfile))
    head = (repository / "constraints.txt").read_text("utf-8").splitlines()[0]
    assert f"Python {python}" in head
    assert not any(":latest" in line for line in dockerfile)


def test_compose_runs_our_image_and_pinned_ones(compose, project):
    for name, service in compose["services"].items():
        image = service["image"]
        if image.startswith("bracketflow:"):
            assert image == f"bracketflow:{project['version']}-cpu"
        else:
            assert re.search(r":v?\d", image), name


def test_compose_listens_on_loopback_alone(compose):
    for service in compose["services"].values():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")


def test_compose_has_no_secret_and_no_needless_right(compose, infra):
    example = (infra / "compose" / "example.env").read_text("utf-8")
    names = set(re.findall(r"^([A-Z0-9_]+)=", example, re.MULTILINE))
    text = (infra / "compose" / "compose.yaml").read_text("utf-8")
    assert set(re.findall(r"\$\{([A-Z0-9_]+)", text)) == names
    for name, value in re.findall(r"^(\S*(?:PASSWORD|TOKEN|KEY|AUTH\w*)): (\S+)", text, re.M):
        assert value.startswith("${") or "${" in value or value == "token", name
    for service in compose["services"].values():
        assert service["cap_drop"] == ["ALL"]
        for volume in service.get("volumes", ()):
            if isinstance(volume, dict) and volume["target"] == "/photos":
                assert volume["read_only"] is True


def test_the_dashboard_shows_metrics_that_exist(infra):
    folder = infra / "compose" / "grafana" / "dashboards"
    dashboard = json.loads((folder / "bracketflow.json").read_text("utf-8"))
    asked = "\n".join(t["expr"] for panel in dashboard["panels"] for t in panel["targets"])
    for name in set(re.findall(r"ray_(bracketflow_\w+)", asked)):
        stem = re.sub(r"_(total|bucket|sum|count)$", "", name)
        kind = METRICS[stem].kind
        assert name.endswith("_total") == (kind == "counter"), name
        assert (stem != name and kind == "histogram") == bool(
            re.search("_(bucket|sum|count)$", name)
        )
    shown = {name for name in METRICS if f"ray_{name}" in asked}
    assert shown == set(METRICS)


def test_the_runbook_lists_every_metric(infra):
    text = (infra / "README.md").read_text("utf-8")
    for metric in METRICS.values():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{metric.name}` ")]
        labels = re.findall(r"`(\w+)`", line.split("|")[2])
        assert tuple(labels) == metric.labels
