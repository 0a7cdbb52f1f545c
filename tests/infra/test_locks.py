"""The locks in `infra/requirements` are what pyproject.toml asks for, file by file with hashes."""

from __future__ import annotations

import importlib.metadata
import itertools
import re
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.infra.manifests import ROOT, project

LOCKS = ROOT / "infra" / "requirements"
NAMES = ("uv", "build", "gpu", "torch", "cpu", "dev", "infra")
HERE = {name: str(value) for name, value in default_environment().items()} | {"extra": ""}
ENVIRONMENTS = {
    f"{python}-{machine}": HERE
    | {"python_version": python, "python_full_version": f"{python}.9", "platform_machine": machine}
    for python, machine in itertools.product(("3.11", "3.12"), ("x86_64", "aarch64"))
}
per_environment = pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)


def locked(path: Path) -> list[Requirement]:
    """A lock's pins."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    return [
        Requirement(re.split(r" --hash=|#", line)[0])
        for line in text.splitlines()
        if line and not line.lstrip().startswith("#")
    ]


def pins(path: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Versions that a lock has for an environment."""
    found: dict[str, str] = {}
    for pin in locked(path):
        if pin.marker is None or pin.marker.evaluate(dict(environment)):
            assert canonicalize_name(pin.name) not in found, f"{pin.name} twice in {path.name}"
            (specifier,) = pin.specifier
            found[canonicalize_name(pin.name)] = specifier.version
    return found


def unmet(
    wanted: Iterable[str], versions: Mapping[str, str], environment: Mapping[str, str]
) -> list[str]:
    """The requirements that versions do not meet."""
    problems = []
    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate(dict(environment)):
            continue
        version = versions.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{requirement}: got {version}")
    return problems


def wanted_of(lock: str) -> list[str]:
    """What pyproject.toml and torch.in want of a lock."""
    torch = (LOCKS / "torch.in").read_text(encoding="utf-8").splitlines()
    extras = project()["optional-dependencies"]
    if lock == "build":
        path = ROOT / "pyproject.toml"
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return list(content["build-system"]["requires"])
    if lock == "torch":
        return [line for line in torch if not line.startswith("#")]
    return [*(project()["dependencies"] if lock in ("cpu", "gpu") else []), *extras[lock]]


@pytest.mark.parametrize("lock", [name for name in NAMES if name != "uv"])
@per_environment
def test_a_lock_is_what_was_asked_for(lock: str, environment: dict[str, str]) -> None:
    versions = pins(LOCKS / f"{lock}.txt", environment)
    assert unmet(wanted_of(lock), versions, environment) == [], "make lock"


def test_a_drift_is_seen(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lines = ["ray==2.60.0 \\", "    --hash=sha256:00", "    # via", "Pillow==10.0 --hash=sha256:00"]
    lock.write_text("\n".join(lines), encoding="utf-8")
    wanted = ["ray[data]>=2.60", "pillow>=10.3", "av", "tomli; python_version < '3.11'"]
    assert unmet(wanted, pins(lock, HERE), HERE) == ["pillow>=10.3: got 10.0", "av: got None"]


@pytest.mark.parametrize("lock", NAMES)
def test_every_pin_is_exact_and_hashed_and_from_anywhere(lock: str) -> None:
    text = (LOCKS / f"{lock}.txt").read_text(encoding="utf-8")
    pin = re.compile(r"[a-z0-9-]+==[\w.]+( ; [^\\]+)?( --hash=sha256:[0-9a-f]{64})+")
    unfolded = text.replace(" \\\n    ", " ").splitlines()
    lines = [line for line in unfolded if line and not line.lstrip().startswith("#")]
    assert lines
    assert [line for line in lines if not pin.fullmatch(line)] == []
    assert "://" not in text


@per_environment
@pytest.mark.parametrize("engine", ["cpu", "gpu"])
def test_locks_that_are_installed_together_agree(engine: str, environment: dict[str, str]) -> None:
    together = [engine, "dev", "infra", *(["torch"] if engine == "cpu" else [])]
    versions: dict[str, str] = {}
    for lock in together:
        for name, version in pins(LOCKS / f"{lock}.txt", environment).items():
            assert versions.setdefault(name, version) == version, f"{name} in {lock}.txt"


def test_the_cpu_lock_brings_no_gpu_libraries() -> None:
    names = {pin.name for pin in locked(LOCKS / "cpu.txt")}
    kin = {Requirement(line).name for line in wanted_of("torch")}
    assert {name for name in names if name in kin or name.startswith(("nvidia-", "cuda-"))} == set()
    assert any(pin.name.startswith("nvidia-") for pin in locked(LOCKS / "torch.txt"))


@pytest.mark.skipif(
    not (Path(sys.prefix) / "stamp").exists(),
    reason=f"{sys.prefix} was not made by infra/setup_env.sh",
)
def test_what_is_installed_fits_together() -> None:
    installed = {
        canonicalize_name(distribution.name): distribution
        # Of this environment alone: pkg_resources puts what setuptools vendors on the path, too.
        for distribution in importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
    }
    versions = {str(name): distribution.version for name, distribution in installed.items()}
    problems = {
        f"{name} wants {problem}"
        for name, distribution in installed.items()
        for problem in unmet(distribution.requires or (), versions, HERE)
    }
    # The general build of torch in place of the CPU one, where PyTorch's index is out of reach.
    assert {problem for problem in problems if "wants torch==2.13.0+cpu" not in problem} == set()
