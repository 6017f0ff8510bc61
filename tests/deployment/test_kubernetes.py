"""The manifests of deploy/kubernetes, as kustomize builds them, against the published schemas."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from executor.service.settings import ServiceSettings
from tests.deployment.test_files import exported_names

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
KUBECTL = Path(sysconfig.get_path("scripts"), "kubectl")
BUILT = ("base", "overlays/production", "overlays/gvisor", "node-profile", "kuberay")
VERSIONS = ("1.33", "1.34")
OPERATORS = ("keda.sh/", "monitoring.coreos.com/", "ray.io/")
"""Their schemas are not among the published ones of Kubernetes."""

type Resource = dict[str, Any]


@cache
def built(name: str) -> list[Resource]:
    command = [str(KUBECTL), "kustomize", str(FOLDER / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def only(resources: list[Resource], kind: str, name: str = "executor") -> Resource:
    (found,) = [r for r in resources if r["kind"] == kind and r["metadata"]["name"] == name]
    return found


def pod_of(resource: Resource) -> Resource:
    pod: Resource = resource["spec"]["template"]["spec"]
    return pod


def pods(resources: list[Resource]) -> list[Resource]:
    """All specifications of pods, those of Ray's clusters too."""
    found = [pod_of(one) for one in resources if one["kind"] in ("Deployment", "DaemonSet")]
    for one in resources:
        if one["kind"] == "RayJob":
            cluster = one["spec"]["rayClusterSpec"]
            groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
            found += [group["template"]["spec"] for group in groups]
    return found


def is_operators(resource: Resource) -> bool:
    return str(resource["apiVersion"]).startswith(OPERATORS)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", BUILT)
def test_every_manifest_meets_the_published_schema(name: str, version: str) -> None:
    resources = built(name)
    assert resources
    for resource in resources:
        if not is_operators(resource):
            kubernetes_validate.validate(resource, version, strict=True)
    for number, pod in enumerate(pods(resources)):
        alone = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number}"}, "spec": pod}
        kubernetes_validate.validate(alone, version, strict=True)


def test_a_wrong_manifest_would_be_noticed() -> None:
    wrong = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"pods": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", ["base", "overlays/production", "overlays/gvisor", "kuberay"])
def test_pods_meet_the_restricted_standard(name: str) -> None:
    """Kubernetes' Pod Security Standards, level "restricted", which the namespace enforces."""
    for pod in pods(built(name)):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost")
        kinds = {kind for volume in pod.get("volumes", ()) for kind in volume if kind != "name"}
        assert kinds <= {"emptyDir", "secret", "configMap", "persistentVolumeClaim"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "privileged" not in context
    namespace = only(built(name), "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_profile_of_the_nodes_is_that_of_the_service() -> None:
    copied = (FOLDER / "node-profile/seccomp.json").read_text()
    assert copied == (ROOT / "sandbox_images/service/seccomp.json").read_text()
    daemon = pod_of(only(built("node-profile"), "DaemonSet", "executor-seccomp"))
    (path,) = [v["hostPath"]["path"] for v in daemon["volumes"] if "hostPath" in v]
    service = pod_of(only(built("base"), "Deployment"))
    profile = service["securityContext"]["seccompProfile"]["localhostProfile"]
    assert f"/var/lib/kubelet/seccomp/{profile}" == f"{path}/seccomp.json"


def test_selectors_find_the_service_and_clients_are_told_by_their_label_alone() -> None:
    for name in ("base", "overlays/production"):
        resources = built(name)
        labels = only(resources, "Deployment")["spec"]["template"]["metadata"]["labels"]
        assert only(resources, "Service")["spec"]["selector"].items() <= labels.items()
        budget = only(resources, "PodDisruptionBudget")
        assert budget["spec"]["selector"]["matchLabels"] == labels
        policy = only(resources, "NetworkPolicy")["spec"]
        assert policy["podSelector"]["matchLabels"] == labels
        clients = policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
        assert clients == {"executor-client": "true"}


def test_one_autoscaler_has_the_replicas() -> None:
    for name, kind in (
        ("base", "HorizontalPodAutoscaler"),
        ("overlays/production", "ScaledObject"),
    ):
        resources = built(name)
        scalers = [r for r in resources if r["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
        assert [r["kind"] for r in scalers] == [kind]
        assert scalers[0]["spec"]["scaleTargetRef"]["name"] == "executor"
        assert "replicas" not in only(resources, "Deployment")["spec"]


def test_it_scales_by_a_metric_that_the_service_has() -> None:
    (trigger,) = only(built("overlays/production"), "ScaledObject")["spec"]["triggers"]
    used = set(re.findall(r"\bexecutor_[a-z_]+", trigger["metadata"]["query"]))
    assert used == {"executor_queue_oldest_seconds"}
    assert used <= exported_names()


def test_a_pod_has_time_to_drain() -> None:
    pod = pod_of(only(built("base"), "Deployment"))
    (container,) = pod["containers"]
    (drain,) = [a.partition("=")[2] for a in container["args"] if a.startswith("--drain-s")]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    last_answers = 5
    assert pause + float(drain) + last_answers < pod["terminationGracePeriodSeconds"]


def test_the_options_of_the_service_are_there() -> None:
    known = {name.replace("_", "-") for name in ServiceSettings.model_fields} | {"token-file"}
    (container,) = pod_of(only(built("base"), "Deployment"))["containers"]
    command, *options = container["args"]
    assert command == "serve"
    assert {option.lstrip("-").partition("=")[0] for option in options} <= known


def test_the_container_starts_as_compose_starts_it() -> None:
    """tests/deployment/test_compose.py runs the image with these settings."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["executor"]
    pod = pod_of(only(built("base"), "Deployment"))
    (container,) = pod["containers"]
    user, group = (pod["securityContext"][name] for name in ("runAsUser", "runAsGroup"))
    assert compose["user"] == f"{user}:{group}"
    assert compose["cap_drop"] == container["securityContext"]["capabilities"]["drop"]
    assert compose["read_only"] is container["securityContext"]["readOnlyRootFilesystem"]
    assert "no-new-privileges:true" in compose["security_opt"]
    assert "seccomp:./sandbox_images/service/seccomp.json" in compose["security_opt"]
