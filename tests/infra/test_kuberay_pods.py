"""What must hold for every pod of infra/kuberay, whatever the overlay."""

from __future__ import annotations

import re

import pytest

from tests.infra.manifests import OVERLAYS, Pod, one, pods, project, rendered, size

ALL = {
    f"{overlay}-{number}-{pod.name}": pod
    for overlay in OVERLAYS
    for number, pod in enumerate(pods(rendered(overlay)))
}
RAY = {name: pod for name, pod in ALL.items() if pod.role in ("head", "worker")}
every_pod = pytest.mark.parametrize("pod", ALL.values(), ids=ALL.keys())
GPU = "nvidia.com/gpu"


@every_pod
def test_each_kind_of_pod_has_its_own_account(pod: Pod) -> None:
    assert pod.spec["serviceAccountName"] == f"pairmill-{pod.role}"
    # Only the autoscaler, beside the head, and the CronJob's script talk to Kubernetes.
    assert pod.spec.get("automountServiceAccountToken", True) == (pod.role in ("head", "start"))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_accounts_exist_and_no_key_does(overlay: str) -> None:
    manifests = rendered(overlay)
    accounts = {m["metadata"]["name"] for m in manifests if m["kind"] == "ServiceAccount"}
    assert {pod.spec["serviceAccountName"] for pod in pods(manifests)} == accounts
    assert not [m for m in manifests if m["kind"] == "Secret"]
    text = repr(manifests).upper()
    for word in ("ACCESS_KEY", "SECRET_KEY", "PASSWORD", "AKIA", "HF_TOKEN"):
        assert word not in text


def test_the_fleet_gets_its_role_from_the_cloud() -> None:
    annotated = {
        item["metadata"]["name"]
        for item in rendered("overlays/fleet")
        if "eks.amazonaws.com/role-arn" in item["metadata"].get("annotations", {})
    }
    assert annotated == {"pairmill-head", "pairmill-worker"}


@pytest.mark.parametrize("name", ALL)
def test_images_are_pinned(name: str) -> None:
    pod = ALL[name]
    images = {container["image"] for container in pod.containers()}
    if pod.role == "start":
        assert [re.fullmatch(r"docker\.io/library/python:\d+\.\d+\.\d+[\w-]*", i) for i in images]
        return
    # One image in a Ray cluster, named by its digest in what is applied.
    ours = "registry.example.com/pairmill-gpu"
    version = f":{project()['version']}" if name.startswith("base") else f"@sha256:{'0' * 64}"
    assert images == {ours + version}


@every_pod
def test_pods_keep_to_the_restricted_standard(pod: Pod) -> None:
    security = pod.spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == 10001  # the images' user
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod.containers():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
        assert forbidden not in pod.spec
    assert not [volume for volume in pod.spec["volumes"] if "hostPath" in volume]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_autoscaler_keeps_to_it_too(overlay: str) -> None:
    options = one(rendered(overlay), "RayJob")["spec"]["rayClusterSpec"]["autoscalerOptions"]
    assert options["securityContext"]["readOnlyRootFilesystem"] is True
    assert options["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert options["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


@every_pod
def test_what_is_mounted_is_there_and_what_is_written_is_a_volume(pod: Pod) -> None:
    volumes = {volume["name"] for volume in pod.spec["volumes"]}
    for container in pod.containers():
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert set(mounts.values()) <= volumes
        if pod.role != "start":
            assert {"/tmp", "/home/pairmill"} <= mounts.keys()


@every_pod
def test_resources_are_bounded(pod: Pod) -> None:
    for container in pod.containers():
        resources = container["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        assert "cpu" in resources["requests"]
    for volume in pod.spec["volumes"]:
        if "emptyDir" in volume:
            assert "sizeLimit" in volume["emptyDir"]


@pytest.mark.parametrize("pod", RAY.values(), ids=RAY.keys())
def test_the_object_store_fits_into_shared_memory_and_that_into_the_limit(pod: Pod) -> None:
    (shared,) = (v for v in pod.spec["volumes"] if v["name"] == "dshm")
    assert shared["emptyDir"]["medium"] == "Memory"
    assert {"name": "dshm", "mountPath": "/dev/shm"} in pod.main["volumeMounts"]
    store = int(pod.group["rayStartParams"]["object-store-memory"])
    room = size(shared["emptyDir"]["sizeLimit"])
    assert store < room
    # What is left to processes: a judge needs 24 GiB, driver or readers 4.
    needed = 24 if GPU in pod.main["resources"]["limits"] else 4
    assert size(pod.main["resources"]["limits"]["memory"]) - room >= needed * 2**30


@every_pod
def test_the_image_is_checked_before_ray_starts(pod: Pod) -> None:
    if pod.name not in ("head", "gpu"):
        assert "initContainers" not in pod.spec
        return
    (check,) = pod.spec["initContainers"]
    assert check["command"] == ["python3", "/opt/pairmill/check_image.py"]
    assert check["terminationMessagePolicy"] == "FallbackToLogsOnError"
    gpus = pod.main["resources"]["limits"].get(GPU, "0")
    assert check["resources"]["limits"].get(GPU, "0") == gpus
    assert check.get("args", []) == ([] if gpus == "0" else ["--gpus=1", "--gpu-memory-gib=38"])
