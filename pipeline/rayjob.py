# SPDX-License-Identifier: Apache-2.0
"""A run as a RayJob of KubeRay: a cluster of its own that comes with the run and goes with it.

A suspended RayJob in the namespace says what the cluster is like (see ``infra/ray/kuberay``); a run
is a copy of it with a name and a command. Kubernetes is reached through its own client (the extra
``k8s``), from inside the cluster with the pod's service account, from outside with the usual
configuration.
"""

from __future__ import annotations

import copy
import importlib
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.errors import InfrastructureError

__all__ = ["Jobs", "KubernetesJobs", "follow", "run_of"]

_GROUP, _VERSION, _PLURAL = "ray.io", "v1", "rayjobs"
_ENDED = ("Complete", "Failed")
_GONE = 404
_EXISTS = 409
_MAX_SILENCE_S = 300.0


class Jobs(Protocol):
    """The RayJobs of a namespace."""

    def read(self, name: str) -> Mapping[str, Any]:
        """The whole of one."""
        ...

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Start one; the one of that name that is there already is left to go on."""
        ...

    def status(self, name: str) -> Mapping[str, Any]:
        """What the operator says of it; empty as long as it says nothing."""
        ...

    def delete(self, name: str) -> None:
        """End it, with its cluster; no matter if it is gone."""
        ...


def run_of(
    template: Mapping[str, Any], *, name: str, namespace: str, command: Sequence[str]
) -> dict[str, Any]:
    """The manifest of one run.

    Args:
        template: a RayJob, as a rule a suspended one that waits in the namespace to be copied; it
            is left as it is.
        name: of the new RayJob, at most 47 letters, since KubeRay adds its own to it.
        namespace: where it goes.
        command: words of the command line that the run is.
    """
    spec = copy.deepcopy(dict(template["spec"]))
    for own in ("jobId", "suspend"):
        spec.pop(own, None)
    labels = dict(template.get("metadata", {}).get("labels") or {})
    return {
        "apiVersion": f"{_GROUP}/{_VERSION}",
        "kind": "RayJob",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec | {"entrypoint": shlex.join(command), "suspend": False},
    }


def follow(
    jobs: Jobs,
    name: str,
    *,
    log: Callable[[str], None],
    every_s: float = 10.0,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until a RayJob has ended well; an interrupt ends the RayJob too.

    Raises:
        InfrastructureError: ``kubernetes-failed``, it ended otherwise, or Kubernetes has not
            answered for five minutes.
    """
    said, silent_s = "", 0.0
    try:
        while True:
            try:
                status = jobs.status(name)
                silent_s = 0.0
            except InfrastructureError:
                if silent_s >= _MAX_SILENCE_S:
                    raise
                silent_s += every_s
                wait(every_s)
                continue
            state = status.get("jobDeploymentStatus", "")
            line = f"{state or 'New'} {status.get('jobStatus', '')}".strip()
            if line != said:
                log(f"RayJob {name}: {line}")
                said = line
            if state in _ENDED:
                if status.get("jobStatus") == "SUCCEEDED":
                    return
                raise InfrastructureError(
                    "kubernetes-failed",
                    f"RayJob {name} ended as {line}: {status.get('message') or 'no message'}. "
                    f"`kubectl logs job/{name}` has its output; the same run goes on where it was.",
                )
            wait(every_s)
    except BaseException as error:
        if not isinstance(error, Exception):  # an interrupt: its cluster costs money
            jobs.delete(name)
        raise


@dataclass(frozen=True)
class KubernetesJobs:
    """The RayJobs of a namespace, through the Kubernetes client.

    Raises:
        InfrastructureError: ``kubernetes-failed``.
    """

    namespace: str

    def create(self, manifest: Mapping[str, Any]) -> None:
        self._ask("create_namespaced_custom_object", dict(manifest), ignored=_EXISTS)

    def read(self, name: str) -> Mapping[str, Any]:
        found: dict[str, Any] = self._ask("get_namespaced_custom_object", name)
        return found

    def status(self, name: str) -> Mapping[str, Any]:
        return self.read(name).get("status") or {}

    def delete(self, name: str) -> None:
        self._ask("delete_namespaced_custom_object", name, ignored=_GONE)

    def _ask(self, verb: str, *what: Any, ignored: int | None = None) -> Any:
        try:
            client: Any = importlib.import_module("kubernetes.client")
            config: Any = importlib.import_module("kubernetes.config")
        except ImportError as error:
            raise InfrastructureError(
                "kubernetes-failed",
                "Kubernetes' client is not installed: pip install 'bracketflow[k8s]'.",
            ) from error
        try:
            config.load_config()
            api = client.CustomObjectsApi()
            return getattr(api, verb)(_GROUP, _VERSION, self.namespace, _PLURAL, *what)
        except Exception as error:  # of the client, its HTTP library or its configuration
            if ignored is not None and getattr(error, "status", None) == ignored:
                return None
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InfrastructureError(
                "kubernetes-failed",
                f"Kubernetes did not do what was asked for in namespace {self.namespace}: {first}. "
                "Look at `kubectl auth can-i create rayjobs.ray.io` and at KubeRay's operator.",
            ) from error
