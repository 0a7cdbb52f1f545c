"""Python and the installed packages, against what this distribution requires."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from importlib.util import cache_from_source, find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipeline.engines.engine_config import EngineConfig
from pipeline.labeling.preflight.check import Check
from pipeline.labeling.preflight.gpus import Gpu

_PROJECT = "pairmill"
_SHOWN = 5
_INSTALL = "make env, or install pairmill with the extra gpu or cpu again"
_VLLM = SpecifierSet(">=0.26,<0.33")  # on which the code was run; the locks have one of them
_LARGE = ("torch", "transformers", "vllm")  # what an engine's two processes import, ~4,000 files


def software_checks(engine: EngineConfig, gpus: Sequence[Gpu]) -> list[Check]:
    """Checks Python, the packages that every run needs, and the engine's."""
    try:
        project = metadata.distribution(_PROJECT)
    except metadata.PackageNotFoundError:
        found = f"{_PROJECT} is not installed as a package: what it requires is not known here"
        return [Check("packages", "warn", found, "pip install --no-deps -e . in its folder")]
    requirements = [Requirement(text) for text in project.requires or ()]
    checks = [
        python_check(project.metadata["Requires-Python"], platform.python_version()),
        packages_check(_of_extra(requirements, "")),
    ]
    if engine.kind == "vllm":
        # Each of these extras is a build of vLLM, and nothing else.
        builds = {
            extra: [Requirement(f"{each.name}{_VLLM}") for each in _of_extra(requirements, extra)]
            for extra in ("gpu", "cpu")
        }
        # The driver of a cluster needs no GPU: its workers have them.
        here = None if os.environ.get("RAY_ADDRESS") else bool(gpus)
        checks.append(vllm_check(builds["gpu"], builds["cpu"], here))
        checks.append(bytecode_check(_LARGE, kept=not sys.dont_write_bytecode))
    return checks


def python_check(required: str, version: str) -> Check:
    """Whether a Python version is one of those required."""
    if SpecifierSet(required).contains(version, prereleases=True):
        return Check("Python", "ok", f"{version} (required: {required})")
    advice = "make the environment with one of these versions"
    return Check("Python", "fail", f"{version}, required is {required}", advice)


def packages_check(requirements: Sequence[Requirement]) -> Check:
    """Whether each of these packages is installed in a version that is required."""
    wrong = [text for each in requirements if (text := _problem(each))]
    if not wrong:
        return Check("packages", "ok", f"all {len(requirements)} are as required")
    found = f"{len(wrong)} of {len(requirements)} are not as required: {_listed(wrong)}"
    return Check("packages", "fail", found, _INSTALL)


def vllm_check(gpu: Sequence[Requirement], cpu: Sequence[Requirement], here: bool | None) -> Check:
    """Whether vLLM is installed, and in the build for this machine.

    Args:
        gpu: the build for GPUs, in the versions that are allowed.
        cpu: the one for CPUs.
        here: whether this machine has a GPU; None where it does not matter.
    """
    with_gpu, with_cpu = (not any(map(_problem, build)) for build in (gpu, cpu))
    if not with_gpu and not with_cpu:
        problems = [problem for each in (*gpu, *cpu) if (problem := _problem(each))]
        return Check("vLLM", "fail", f"neither build is installed: {_listed(problems)}", _INSTALL)
    names = [each.name for each in (gpu if with_gpu else cpu)]
    installed = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    if here and not with_gpu:
        found = f"{installed} is the build for CPUs, and this machine has a GPU"
        return Check("vLLM", "warn", found, "install pairmill[gpu], or the GPU stays unused")
    if here is False and not with_cpu:
        found = f"{installed} is the build for GPUs, and no GPU is visible"
        return Check("vLLM", "fail", found, "check nvidia-smi, or install pairmill[cpu]")
    return Check("vLLM", "ok", installed)


def bytecode_check(packages: Sequence[str], kept: bool) -> Check:
    """Whether engines find what they import compiled, or can keep what they compile.

    uv and some images install none, and a folder may not be the run's to write to. An engine on an
    H200 was then ready after 80 to 125 s in place of 50 to 63 (infra/benchmarks).

    Args:
        packages: names to import.
        kept: whether this Python writes bytecode at all.
    """
    inits = [Path(spec.origin) for name in packages if (spec := find_spec(name)) and spec.origin]
    bare = [each for each in inits if not Path(cache_from_source(each)).exists()]
    lost = [each.parent for each in bare if not kept or not os.access(each.parent, os.W_OK)]
    if not lost:
        return Check("bytecode", "ok", "kept beside " + ", ".join(packages))
    why = "their folders cannot be written to" if kept else "PYTHONDONTWRITEBYTECODE is set"
    names = ", ".join(folder.name for folder in lost)
    return Check(
        "bytecode",
        "warn",
        f"{names} are not compiled, and {why}: each process of an engine compiles them anew",
        f"python -m compileall -q -j 0 {lost[0].parent}, by its owner; or install with "
        "uv pip install --compile-bytecode",
    )


def _of_extra(requirements: Iterable[Requirement], extra: str) -> list[Requirement]:
    """What is required with an extra and not without it; the empty extra is no extra."""

    def applies(each: Requirement, name: str) -> bool:
        return each.marker is None or each.marker.evaluate({"extra": name})

    def wanted(each: Requirement) -> bool:
        return applies(each, extra) and (not extra or not applies(each, ""))

    return [each for each in requirements if wanted(each)]


def _problem(requirement: Requirement) -> str | None:
    expected = f"expected {requirement.specifier or 'any version'}"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is missing ({expected})"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{requirement.name} is {version} ({expected})"


def _listed(items: Sequence[str]) -> str:
    more = f", and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
