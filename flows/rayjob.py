# SPDX-License-Identifier: Apache-2.0
"""The main job on a Ray cluster of its own, which KubeRay starts for the run and removes after it.

This flow needs next to nothing itself: it hands in the command, waits, and reads the manifest that
the run left at the destination.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from flows.ends import ended
from pipeline import storage
from pipeline.errors import InfrastructureError, UsageError
from pipeline.ledger import read_manifests
from pipeline.rayjob import KubernetesJobs, follow, run_of
from pipeline.runs import Counts, FailureBudget, Outcome
from pipeline.segments import MANIFEST, run_folder

__all__ = ["fuse_on_kuberay"]

_OWN = ("--max-failures", "--dry-run")


@task(name="rayjob", cache_policy=NO_CACHE, persist_result=False)
def rayjob_step(name: str, namespace: str, template: str, command: tuple[str, ...]) -> None:
    """Hand the command in as a RayJob, and wait until it has ended."""
    jobs = KubernetesJobs(namespace)
    jobs.create(run_of(jobs.read(template), name=name, namespace=namespace, command=command))
    follow(jobs, name, log=get_run_logger().info)


@flow(name="fuse-on-kuberay", flow_run_name="kuberay-{destination}", persist_result=False)
def fuse_on_kuberay(
    source: str,
    destination: str,
    arguments: tuple[str, ...] = ("--workers", "8", "--grow"),
    template: str = "bracketflow",
    namespace: str = "bracketflow",
    max_failures: str = "10%",
) -> Outcome:
    """Fuse every bracket of an archive on a cluster that exists for this run alone.

    Args:
        source: URI of the archive, or a catalog or list of brackets, as the cluster's pods see it.
        destination: URI for ``results/``, ``report/``, ``previews/`` and ``catalog/``, likewise.
        arguments: further options of ``bracketflow fuse``, a word each.
        template: name of the suspended RayJob that says what the cluster is like; it is copied.
        namespace: of Kubernetes, where that RayJob is and the new one goes.
        max_failures: share of brackets that may fail before the run is Failed, as ``10%``.

    Raises:
        UsageError: bad options, or no template.
        InfrastructureError: ``kubernetes-failed``, or the run left no manifest.
    """
    budget = FailureBudget.parse(max_failures)
    if taken := [word for word in arguments if word.partition("=")[0] in _OWN]:
        raise UsageError(
            "option-invalid", f"Leave {', '.join(taken)} out of the arguments: the flow sees to it."
        )
    source, destination = storage.absolute(source), storage.absolute(destination)
    before = {manifest["run_id"] for manifest in read_manifests(destination)}
    name = f"bracketflow-{str(flow_run.id)[:13]}"  # the same run again follows the same RayJob
    command = ("bracketflow", "fuse", source, destination, *arguments, "--max-failures", "100%")
    rayjob_step(name, namespace, template, command)
    made = [m for m in read_manifests(destination) if m["run_id"] not in before]
    if not made:
        raise InfrastructureError(
            "counts-mismatch",
            f"RayJob {name} ended well, but left no manifest at {destination}: do its pods and "
            "this one see the same storage?",
        )
    return ended(_outcome(made[-1]), budget)


def _outcome(manifest: Mapping[str, Any]) -> Outcome:
    """What a run's manifest says of it."""
    counts = dict(manifest["counts"])
    return Outcome(
        run_id=manifest["run_id"],
        destination=manifest["destination"],
        counts=Counts(**counts | {"codes": Counter(counts["codes"])}),
        mean_mef_ssim=manifest["mean_mef_ssim"],
        manifest_uri=storage.join(
            run_folder(manifest["destination"], manifest["run_id"]), MANIFEST
        ),
    )
