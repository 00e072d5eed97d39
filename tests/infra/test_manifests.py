# SPDX-License-Identifier: Apache-2.0
"""The manifests for Kubernetes and `ray up`: schemas, versions, and what keeps them safe."""

from __future__ import annotations

import json
from importlib import resources

import jsonschema
import kubernetes_validate
import pytest
import yaml

KUBERNETES = "1.33"

# The fields of KubeRay 1.6's API that the manifests use or might use (its reference,
# docs.ray.io/en/latest/cluster/kubernetes/references/api.html); pod templates are Kubernetes' own
# and are held against its schemas.
_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
_COUNT = {"type": "integer", "minimum": 0}
CLUSTER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rayVersion", "headGroupSpec", "workerGroupSpecs"],
    "properties": {
        "rayVersion": {"type": "string"},
        "suspend": {"type": "boolean"},
        "authOptions": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "mode": {"enum": ["disabled", "token"]},
                "secretName": {"type": "string"},
            },
        },
        "enableInTreeAutoscaling": {"type": "boolean"},
        "autoscalerOptions": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "version": {"enum": ["v1", "v2"]},
                "idleTimeoutSeconds": _COUNT,
                "upscalingMode": {"enum": ["Default", "Aggressive", "Conservative"]},
                "resources": {"type": "object"},
                "securityContext": {"type": "object"},
            },
        },
        "headGroupSpec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["rayStartParams", "template"],
            "properties": {
                "serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
                "rayStartParams": _STRINGS,
                "template": {"type": "object"},
            },
        },
        "workerGroupSpecs": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["groupName", "rayStartParams", "template"],
                "properties": {
                    "groupName": {"type": "string"},
                    "replicas": _COUNT,
                    "minReplicas": _COUNT,
                    "maxReplicas": _COUNT,
                    "idleTimeoutSeconds": _COUNT,
                    "rayStartParams": _STRINGS,
                    "template": {"type": "object"},
                },
            },
        },
    },
}
JOB = {
    "type": "object",
    "additionalProperties": False,
    "required": ["entrypoint"],
    "properties": {
        "suspend": {"type": "boolean"},
        "entrypoint": {"type": "string"},
        "entrypointNumCpus": {"type": "number"},
        "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        "backoffLimit": _COUNT,
        "activeDeadlineSeconds": {"type": "integer", "minimum": 1},
        "shutdownAfterJobFinishes": {"type": "boolean"},
        "ttlSecondsAfterFinished": _COUNT,
        "submitterPodTemplate": {"type": "object"},
        "rayClusterSpec": CLUSTER,
    },
}


@pytest.fixture(scope="module")
def base(infra):
    """All documents of the base, by kind and name."""
    found = {}
    folder = infra / "ray" / "kuberay" / "base"
    names = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))["resources"]
    for name in names:
        for document in yaml.safe_load_all((folder / name).read_text("utf-8")):
            found[document["kind"], document["metadata"]["name"]] = document
    return found


@pytest.fixture(scope="module")
def cluster(base):
    return base["RayCluster", "bracketflow"]["spec"]


@pytest.fixture(scope="module")
def pods(base, cluster):
    """All pod templates by what they are."""
    workers = {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    job = base["RayJob", "bracketflow"]["spec"]["submitterPodTemplate"]
    return workers | {"head": cluster["headGroupSpec"]["template"], "submitter": job}


def test_kubernetes_own_kinds_follow_its_schemas(base):
    own = [document for (kind, _), document in base.items() if not kind.startswith("Ray")]
    assert len(own) > 5
    for document in own:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_rays_kinds_follow_kuberays_api(base, cluster):
    jsonschema.validate(cluster, CLUSTER)
    jsonschema.validate(base["RayJob", "bracketflow"]["spec"], JOB)


def test_pods_follow_kubernetes_schemas(pods):
    for name, template in pods.items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
        pod["metadata"] |= template.get("metadata", {})
        kubernetes_validate.validate(pod | {"spec": template["spec"]}, KUBERNETES, strict=True)


def test_versions_are_the_constraints(cluster, pods, pins, project):
    assert cluster["rayVersion"] == pins["ray"]
    for template in pods.values():
        for container in template["spec"]["containers"]:
            assert container["image"] == f"bracketflow:{project['version']}-cpu"


def test_requests_equal_limits_and_shared_memory_fits(cluster, pods):
    assert (
        cluster["autoscalerOptions"]["resources"]["requests"]
        == (cluster["autoscalerOptions"]["resources"]["limits"])
    )
    for name, template in pods.items():
        (container,) = template["spec"]["containers"]
        limits = container["resources"]["limits"]
        assert container["resources"]["requests"] == limits, name
        if name == "submitter":
            continue
        volumes = {volume["name"]: volume["emptyDir"] for volume in template["spec"]["volumes"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert volumes[mounts["/spill"]]["sizeLimit"]
        shm = volumes[mounts["/dev/shm"]]
        assert shm["medium"] == "Memory"
        assert gib(volumes["spill"]["sizeLimit"]) < gib(limits["ephemeral-storage"])
        assert gib(shm["sizeLimit"]) < gib(limits["memory"]) / 4
        store = int(start_params(cluster, name)["object-store-memory"]) / 2**30
        assert store <= gib(shm["sizeLimit"]), "Ray refuses to start, or falls back to the disk"


def test_workers_come_from_zero(cluster):
    assert cluster["enableInTreeAutoscaling"]
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] == group["replicas"] == 0 < group["maxReplicas"]
    head = cluster["headGroupSpec"]["rayStartParams"]
    assert head["num-cpus"] == head["num-gpus"] == "0"


def test_nothing_runs_as_root_or_without_a_token(cluster, pods):
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    for template in pods.values():
        assert template["spec"]["securityContext"]["runAsNonRoot"]
        assert template["spec"]["securityContext"]["runAsUser"] > 0
        for container in template["spec"]["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]


def test_who_hands_in_runs_may_do_that_and_no_more(base):
    (rule,) = base["Role", "bracketflow-flows"]["rules"]
    assert rule == {
        "apiGroups": ["ray.io"],
        "resources": ["rayjobs"],
        "verbs": ["get", "create", "delete"],
    }
    assert base["ServiceAccount", "bracketflow-ray"]["automountServiceAccountToken"] is False


def test_pods_get_the_time_that_a_bracket_takes_to_finish(pods):
    for name in ("head", "cpu", "gpu"):
        assert pods[name]["spec"]["terminationGracePeriodSeconds"] >= 30


def test_the_template_starts_nothing(base):
    assert base["RayJob", "bracketflow"]["spec"]["suspend"] is True


@pytest.mark.parametrize(("overlay", "tag"), [("cpu", "cpu"), ("gpu", "cuda")])
def test_overlays_take_the_image_and_fill_in_the_cluster(infra, project, overlay, tag):
    folder = infra / "ray" / "kuberay" / "overlays" / overlay
    found = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    (image,) = found["images"]
    assert image["newTag"] == f"{project['version']}-{tag}"
    (target,) = found["replacements"][0]["targets"]
    assert target["fieldPaths"] == ["spec.rayClusterSpec"]


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_configurations_of_ray_up_follow_rays_schema(infra, project, cloud):
    schema = json.loads(resources.files("ray.autoscaler").joinpath("ray-schema.json").read_text())
    config = yaml.safe_load((infra / "ray" / f"{cloud}.yaml").read_text("utf-8"))
    jsonschema.validate(config, schema)
    assert config["docker"]["image"] == f"REGISTRY/bracketflow:{project['version']}-cuda"
    kinds = config["available_node_types"]
    assert config["head_node_type"] in kinds
    assert all(kinds[name]["min_workers"] == 0 for name in ("cpu", "gpu"))
    started = "\n".join(config["head_start_ray_commands"] + config["worker_start_ray_commands"])
    assert started.count("RAY_AUTH_MODE=token") == 2
    assert "--dashboard-host=127.0.0.1" in started


def gib(text: str) -> float:
    assert text.endswith("Gi")
    return float(text.removesuffix("Gi"))


def start_params(cluster, name):
    if name == "head":
        return cluster["headGroupSpec"]["rayStartParams"]
    (group,) = [g for g in cluster["workerGroupSpecs"] if g["groupName"] == name]
    return group["rayStartParams"]
