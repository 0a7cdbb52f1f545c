"""Rendered manifests of infra/kuberay, and the pod templates in them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
KUBERAY = ROOT / "infra" / "kuberay"
SHARED = ROOT.parent / "shared"
OVERLAYS = ("base", "overlays/one-node", "overlays/fleet")

Manifest = dict[str, Any]


def tool(name: str) -> str:
    """Path of a validator of the `infra` extra, which lies beside this Python."""
    path = Path(sys.executable).parent / name
    assert path.exists(), f"{path} is missing: `make test-infra` installs it"
    return str(path)


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, with its output as text."""
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )


def build(folder: Path) -> list[Manifest]:
    """Renders a kustomization, as `kubectl apply -k` does."""
    done = run(tool("kubectl"), "kustomize", folder)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@cache
def rendered(name: str) -> list[Manifest]:
    """The manifests of one of `OVERLAYS`; do not change them."""
    return build(KUBERAY / name)


def build_with(tmp_path: Path, overlay: str, old: str, new: str) -> list[Manifest]:
    """Renders an overlay with a line of its kustomization replaced, as a user would."""
    shutil.copytree(KUBERAY, tmp_path / "infra" / "kuberay")
    shutil.copytree(ROOT / "jobs" / "configs", tmp_path / "jobs" / "configs")
    folder = tmp_path / "infra" / "kuberay" / overlay
    text = (folder / "kustomization.yaml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    (folder / "kustomization.yaml").write_text(text.replace(old, new), encoding="utf-8")
    return build(folder)


def one(manifests: list[Manifest], kind: str, prefix: str = "") -> Manifest:
    """The only manifest of a kind (whose name begins so)."""
    (found,) = (
        item
        for item in manifests
        if item["kind"] == kind and item["metadata"]["name"].startswith(prefix)
    )
    return found


@dataclass(frozen=True)
class Pod:
    """A pod template and what it is part of.

    Attributes:
        role: head, worker, submitter or start.
        group: the Ray worker group's manifest, or the head's.
    """

    role: str
    name: str
    template: Manifest
    group: Manifest

    @property
    def spec(self) -> Manifest:
        spec: Manifest = self.template["spec"]
        return spec

    @property
    def main(self) -> Manifest:
        container: Manifest = self.spec["containers"][0]
        return container

    def containers(self) -> list[Manifest]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def ray_pods(cluster: Manifest) -> Iterator[Pod]:
    """The pod templates of a RayCluster's spec."""
    head = cluster["headGroupSpec"]
    yield Pod("head", "head", head["template"], head)
    for group in cluster["workerGroupSpecs"]:
        yield Pod("worker", group["groupName"], group["template"], group)


def pods(manifests: list[Manifest]) -> Iterator[Pod]:
    """Every pod template in the manifests."""
    for item in manifests:
        spec = item.get("spec", {})
        job = spec.get("jobTemplate") if item["kind"] == "RayCronJob" else spec
        if item["kind"] in ("RayJob", "RayCronJob"):
            yield from ray_pods(job["rayClusterSpec"])
            yield Pod("submitter", "submitter", job["submitterPodTemplate"], {})
        elif item["kind"] == "RayCluster":
            yield from ray_pods(spec)
        elif item["kind"] == "CronJob":
            yield Pod("start", "start", job["jobTemplate"]["spec"]["template"], {})


def project() -> dict[str, Any]:
    """The project table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


_UNITS = {"Mi": 2**20, "Gi": 2**30}


def size(quantity: str) -> int:
    """Bytes of a Kubernetes quantity in Mi or Gi."""
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]
