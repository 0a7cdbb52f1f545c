"""The manifests of infra/kuberay against the schemas of Kubernetes and KubeRay, strictly."""

from __future__ import annotations

import copy
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.infra.manifests import (
    KUBERAY,
    OVERLAYS,
    ROOT,
    SHARED,
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
_KINDS = {
    "base": ["ConfigMap"] * 3 + ["Namespace", "PodDisruptionBudget", "RayJob"],
    "overlays/one-node": ["ConfigMap"] * 4
    + ["CronJob", "Namespace", "PersistentVolumeClaim", "PodDisruptionBudget", "RayJob"]
    + ["Role", "RoleBinding"],
    "overlays/fleet": ["ConfigMap"] * 3
    + ["Namespace", "PodDisruptionBudget", "RayCronJob", "RayJob"],
}


@dataclass(frozen=True)
class Case:
    """Manifests as someone would apply them, and what KubeRay's schemas say to them."""

    manifests: list[Manifest]
    report: str

    def of(self, api: str) -> list[Manifest]:
        return [item for item in self.manifests if item["apiVersion"].startswith(api)]


def misspelt() -> list[Manifest]:
    """A RayJob with a field that there is not, deep in a pod's template."""
    job = copy.deepcopy(one(rendered("base"), "RayJob"))
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["nodeSelectors"] = {}
    return [job]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Every way to put the manifests together, checked at once: the CRDs take seconds to read."""
    crds = sorted((SHARED / "kuberay-crds" / "v1.7.0").glob("*.yaml"))
    checker = SHARED / "tools" / "crdcheck.py"
    assert checker.exists(), f"KubeRay's CRDs and their checker are expected in {SHARED}"
    line = "  - ../../schedule/raycronjob"
    swaps = {
        "fleet-cronjob": "  - ../../schedule/cronjob",
        "standing": f"{line}\n  - ../../cluster",
    }
    built = {name: rendered(name) for name in OVERLAYS}
    for name, swap in swaps.items():
        folder = tmp_path_factory.mktemp(name)
        built[name] = build_with(folder, "overlays/fleet", line, swap)
    built["misspelt"] = misspelt()
    folder = tmp_path_factory.mktemp("ray")
    paths = {name: folder / f"{number}.yaml" for number, name in enumerate(built)}
    for name, path in paths.items():
        ray = [item for item in built[name] if item["apiVersion"] == "ray.io/v1"]
        path.write_text(yaml.safe_dump_all(ray), encoding="utf-8")
    done = run(sys.executable, checker, *crds, "--", *paths.values())
    assert done.returncode == 1, done.stderr  # of the one that is wrong
    reports = re.split(rf"^{re.escape(str(folder))}/", done.stdout, flags=re.MULTILINE)
    return {
        name: Case(
            manifests, "".join(part for part in reports if part.startswith(f"{number}.yaml "))
        )
        for number, (name, manifests) in enumerate(built.items())
    }


CASES = [*OVERLAYS, "fleet-cronjob", "standing"]


@pytest.mark.parametrize("name", CASES)
def test_rays_kinds_are_valid(cases: dict[str, Case], name: str) -> None:
    ray = cases[name].of("ray.io/v1")
    assert cases[name].report.count(" OK\n") == len(ray) >= 1
    assert len(cases[name].report.splitlines()) == len(ray), cases[name].report


@pytest.mark.parametrize("name", CASES)
def test_kubernetes_kinds_are_valid(tmp_path: Path, cases: dict[str, Case], name: str) -> None:
    core = [item for item in cases[name].manifests if item["apiVersion"] != "ray.io/v1"]
    path = tmp_path / "core.yaml"
    path.write_text(yaml.safe_dump_all(core), encoding="utf-8")
    done = run(tool("kubernetes-validate"), "--strict", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count(" passed ") == len(core)


def test_the_checks_see_a_wrong_field(tmp_path: Path, cases: dict[str, Case]) -> None:
    assert "RayJob INVALID" in cases["misspelt"].report
    assert "nodeSelectors" in cases["misspelt"].report
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


def test_the_other_schedule_is_one_line_away(cases: dict[str, Case]) -> None:
    kinds = {item["kind"] for item in cases["fleet-cronjob"].manifests}
    assert "CronJob" in kinds
    assert "RayCronJob" not in kinds


def test_a_standing_cluster_is_the_jobs_cluster(cases: dict[str, Case]) -> None:
    job = one(cases["standing"].manifests, "RayJob")
    assert one(cases["standing"].manifests, "RayCluster")["spec"] == job["spec"]["rayClusterSpec"]


def test_yaml_is_tidy() -> None:
    files = [*sorted(KUBERAY.rglob("*.yaml")), ROOT / "jobs" / "configs" / "Kustomization"]
    done = run(tool("yamllint"), "--strict", "-d", _LINT, *files)
    assert done.returncode == 0, done.stdout
