"""The manifests of infra/kuberay against the schemas of Kubernetes and KubeRay, strictly."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path

import pytest
import yaml

from jobs import clean
from tests.infra.crd_check import Schemas, problems, read_schemas
from tests.infra.manifests import (
    KUBERAY,
    OVERLAYS,
    ROOT,
    Manifest,
    build_with,
    one,
    rendered,
    run,
    tool,
)

_LINT = (
    "{extends: default, rules: {document-start: disable, line-length: {max: 120}, "
    "comments: {min-spaces-from-content: 2}, quoted-strings: disable}}"
)
_POLICIES = ["Namespace", *["NetworkPolicy"] * 7]
_KINDS = {
    "base": ["ConfigMap"] * 3 + [*_POLICIES, "PodDisruptionBudget", "RayJob"],
    "overlays/one-node": ["ConfigMap"] * 4
    + ["CronJob", *_POLICIES, "PersistentVolumeClaim", "PodDisruptionBudget", "RayJob"]
    + ["Role", "RoleBinding"],
    "overlays/fleet": ["ConfigMap"] * 3
    + [*_POLICIES, "PodDisruptionBudget", "RayCronJob", "RayJob"],
}


# KubeRay's definitions are its own files and not part of this repository.
_CRD_VERSION = "v1.7.0"
_CRD_VARIABLE = "KUBERAY_CRDS"
_CRD_FILES = ("ray.io_rayclusters.yaml", "ray.io_raycronjobs.yaml", "ray.io_rayjobs.yaml")
_BESIDE = ROOT.parent / "shared" / "kuberay-crds" / _CRD_VERSION


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    """KubeRay's schemas, read once: they take seconds."""
    named = os.environ.get(_CRD_VARIABLE)
    folder = Path(named) if named else _BESIDE
    missing = [name for name in _CRD_FILES if not (folder / name).is_file()]
    if missing and named is None:
        pytest.skip(
            f"no KubeRay CRDs: set {_CRD_VARIABLE} to a folder with {', '.join(_CRD_FILES)} of "
            f"KubeRay {_CRD_VERSION} (its repository has them in "
            f"helm-chart/kuberay-operator/crds), or put them into ../shared/kuberay-crds/"
            f"{_CRD_VERSION} beside this repository"
        )
    assert missing == [], f"{_CRD_VARIABLE}={named}: {', '.join(missing)} not found there"
    return read_schemas(folder / name for name in _CRD_FILES)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    """Every way to put the manifests together, as someone would apply them."""
    line = "  - ../../schedule/raycronjob"
    swaps = {
        "fleet-cronjob": "  - ../../schedule/cronjob",
        "standing": f"{line}\n  - ../../cluster",
        "fleet-clean": f"{line}\n  - ../../schedule/clean",
    }
    made = {name: rendered(name) for name in OVERLAYS}
    for name, swap in swaps.items():
        made[name] = build_with(tmp_path_factory.mktemp(name), "overlays/fleet", line, swap)
    return made


CASES = [*OVERLAYS, "fleet-cronjob", "standing", "fleet-clean"]


@pytest.mark.parametrize("name", CASES)
def test_rays_kinds_are_valid(
    schemas: Schemas, built: dict[str, list[Manifest]], name: str
) -> None:
    ray = [item for item in built[name] if item["apiVersion"] == "ray.io/v1"]
    assert len(ray) >= 1
    assert [problems(schemas, item) for item in ray] == [[]] * len(ray)


def test_a_field_that_kuberay_does_not_have_is_found(schemas: Schemas) -> None:
    job = copy.deepcopy(one(rendered("base"), "RayJob"))
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["nodeSelectors"] = {}
    (problem,) = problems(schemas, job)
    assert problem.startswith("/spec/rayClusterSpec/headGroupSpec/template/spec: ")
    assert "nodeSelectors" in problem


@pytest.mark.parametrize("name", CASES)
def test_kubernetes_kinds_are_valid(
    tmp_path: Path, built: dict[str, list[Manifest]], name: str
) -> None:
    core = [item for item in built[name] if item["apiVersion"] != "ray.io/v1"]
    path = tmp_path / "core.yaml"
    path.write_text(yaml.safe_dump_all(core), encoding="utf-8")
    done = run(tool("kubernetes-validate"), "--strict", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count(" passed ") == len(core)


def test_a_field_that_kubernetes_does_not_have_is_found(tmp_path: Path) -> None:
    budget = copy.deepcopy(one(rendered("base"), "PodDisruptionBudget"))
    budget["spec"]["minimumAvailable"] = budget["spec"].pop("minAvailable")
    path = tmp_path / "core.yaml"
    path.write_text(yaml.safe_dump(budget), encoding="utf-8")
    done = run(tool("kubernetes-validate"), "--strict", path)
    assert done.returncode != 0
    assert "minimumAvailable" in done.stdout + done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_made_of(overlay: str) -> None:
    manifests = rendered(overlay)
    kinds = sorted(item["kind"] for item in manifests if item["kind"] != "ServiceAccount")
    assert kinds == _KINDS[overlay]
    for item in manifests:
        if item["kind"] != "Namespace":
            assert item["metadata"]["namespace"] == "pairmill"


def test_the_other_schedule_is_one_line_away(built: dict[str, list[Manifest]]) -> None:
    kinds = {item["kind"] for item in built["fleet-cronjob"]}
    assert "CronJob" in kinds
    assert "RayCronJob" not in kinds


def test_clean_is_one_line_more_with_an_account_of_its_own(
    built: dict[str, list[Manifest]],
) -> None:
    (job,) = (item for item in built["fleet-clean"] if item["kind"] == "CronJob")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    values = {"PAIRMILL_INPUT": "s3://b/in", "PAIRMILL_OUTPUT": "s3://b/out"}
    words = [re.sub(r"\$\((\w+)\)", lambda n: values[n[1]], word) for word in container["args"]]
    options, _ = clean.COMMAND.parse(words)
    assert (options.input, options.output, options.apply) == ("s3://b/in", "s3://b/out", True)
    assert container["command"] == ["python3", "-m", "jobs.clean"]
    maps, accounts = (
        {item["metadata"]["name"]: item for item in built["fleet-clean"] if item["kind"] == kind}
        for kind in ("ConfigMap", "ServiceAccount")
    )
    (source,) = container["envFrom"]
    assert source["configMapRef"]["name"] in maps
    (config,) = (volume["configMap"] for volume in pod["volumes"] if "configMap" in volume)
    assert Path(options.config).name in maps[config["name"]]["data"]
    assert pod["serviceAccountName"] == "pairmill-clean"
    assert "pairmill-clean" in accounts


def test_a_standing_cluster_is_the_jobs_cluster(built: dict[str, list[Manifest]]) -> None:
    job = one(built["standing"], "RayJob")
    assert one(built["standing"], "RayCluster")["spec"] == job["spec"]["rayClusterSpec"]


def test_yaml_is_tidy() -> None:
    files = [*sorted(KUBERAY.rglob("*.yaml")), ROOT / "jobs" / "configs" / "Kustomization"]
    done = run(tool("yamllint"), "--strict", "-d", _LINT, *files)
    assert done.returncode == 0, done.stdout
