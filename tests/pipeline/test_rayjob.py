# SPDX-License-Identifier: Apache-2.0
"""Runs as RayJobs, against a Kubernetes that is pretended."""

from __future__ import annotations

import shlex

import pytest

from pipeline.errors import InfrastructureError
from pipeline.rayjob import KubernetesJobs, follow, run_of

TEMPLATE = {
    "metadata": {"name": "bracketflow", "labels": {"a": "b"}, "resourceVersion": "7"},
    "spec": {"suspend": True, "entrypoint": "true", "backoffLimit": 2, "jobId": "x"},
    "status": {"jobDeploymentStatus": "Suspended"},
}


class Pretended:
    """RayJobs that go through given states; an exception among them is raised."""

    def __init__(self, *states):
        self.states = list(states)
        self.deleted = []

    def status(self, name):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, BaseException):
            raise state
        return dict(zip(("jobDeploymentStatus", "jobStatus", "message"), state, strict=False))

    def delete(self, name):
        self.deleted.append(name)


SILENT = InfrastructureError("kubernetes-failed", "no answer")


def test_a_run_is_a_copy_that_starts():
    words = ("bracketflow", "fuse", "/a b/c'd", "s3://x/y", "--name", "{stem}; rm")
    made = run_of(TEMPLATE, name="bracketflow-1", namespace="n", command=words)
    assert made["metadata"] == {"name": "bracketflow-1", "namespace": "n", "labels": {"a": "b"}}
    assert tuple(shlex.split(made["spec"].pop("entrypoint"))) == words
    assert made["spec"] == {"suspend": False, "backoffLimit": 2}
    assert "status" not in made
    assert TEMPLATE["spec"]["suspend"] is True


def test_following_says_each_state_once_and_ends():
    jobs = Pretended(
        (), ("Initializing",), ("Running", "RUNNING"), ("Running", "RUNNING"), SILENT,
        ("Complete", "SUCCEEDED"),
    )  # fmt: skip
    said = []
    follow(jobs, "j", log=said.append, wait=lambda _: None)
    assert [line.removeprefix("RayJob j: ") for line in said] == [
        "New",
        "Initializing",
        "Running RUNNING",
        "Complete SUCCEEDED",
    ]
    assert not jobs.deleted


@pytest.mark.parametrize(
    "state", [("Failed", "FAILED", "exit code 4"), ("Complete", "FAILED", "exit code 4")]
)
def test_a_job_that_fails_says_why(state):
    with pytest.raises(InfrastructureError, match="exit code 4") as error:
        follow(Pretended(state), "j", log=lambda _: None, wait=lambda _: None)
    assert error.value.code == "kubernetes-failed"


def test_a_kubernetes_that_is_silent_for_minutes_ends_it():
    waited = []
    with pytest.raises(InfrastructureError, match="no answer"):
        follow(Pretended(SILENT), "j", log=lambda _: None, wait=waited.append)
    assert sum(waited) == pytest.approx(300)


def test_an_interrupt_ends_the_job():
    jobs = Pretended(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        follow(jobs, "j", log=lambda _: None)
    assert jobs.deleted == ["j"]


def test_without_the_client_or_a_cluster_the_cure_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(InfrastructureError) as error:
        KubernetesJobs("n").read("j")
    assert error.value.code == "kubernetes-failed"
