"""The images' Dockerfiles: linted, pinned, non-root, and of what the repository pins."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.infra.manifests import ROOT, project, run, tool

FILES = sorted((ROOT / "infra" / "docker").glob("*.Dockerfile"))
per_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def instructions(path: Path) -> list[tuple[str, str]]:
    """Instructions and their arguments, comments and line breaks taken out."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(line.split()[0], line.split(None, 1)[1].strip()) for line in lines if line.strip()]


def test_there_are_two() -> None:
    assert [path.name for path in FILES] == ["cpu.Dockerfile", "gpu.Dockerfile"]


@per_file
def test_hadolint_is_content(path: Path) -> None:
    assert "hadolint ignore" not in path.read_text(encoding="utf-8")
    done = run(tool("hadolint"), path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_sees_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM python:latest\nRUN pip install ray\n", encoding="utf-8")
    done = run(tool("hadolint"), path)
    assert done.returncode != 0
    assert "DL3007" in done.stdout


@per_file
def test_bases_are_pinned(path: Path) -> None:
    bases = [rest.split() for name, rest in instructions(path) if name == "FROM"]
    assert len(bases) == 2  # what builds is not shipped
    for base, _, _ in bases:
        assert re.fullmatch(r"docker\.io/[a-z-]+/[a-z-]+:v?\d+\.\d+\.\d+[a-z-]*", base)


@per_file
def test_the_image_runs_as_the_pods_do(path: Path) -> None:
    names = [name for name, _ in instructions(path)]
    last = len(names) - 1 - names[::-1].index("FROM")
    final = instructions(path)[last:]
    assert [rest for name, rest in final if name == "USER"] == ["10001:10001"]
    assert ("HEALTHCHECK", "NONE") in final
    # The build ends with the check that pods begin with, as the same user.
    check = ("RUN", '["python3", "/opt/pairmill/check_image.py"]')
    assert final.index(check) > final.index(("USER", "10001:10001"))
    labels = " ".join(rest for name, rest in final if name == "LABEL")
    for label in ("title", "description", "version", "licenses"):
        assert f"org.opencontainers.image.{label}=" in labels


@per_file
def test_versions_are_the_projects(path: Path) -> None:
    found = [rest for name, rest in instructions(path) if name == "ARG"]
    assert set(found) == {f"VERSION={project()['version']}"}


def test_what_engines_import_is_compiled_in_the_image() -> None:
    """Its user may not write to the packages' folders: each process would compile them anew."""
    (gpu,) = (
        text for _, text in instructions(ROOT / "infra/docker/gpu.Dockerfile") if "[gpu]" in text
    )
    assert "uv pip install --system --no-cache --compile-bytecode" in gpu
    cpu = instructions(ROOT / "infra/docker/cpu.Dockerfile")
    (compiles,) = (n for n, (_, text) in enumerate(cpu) if "UV_COMPILE_BYTECODE=1" in text)
    installs = [number for number, (_, text) in enumerate(cpu) if "uv pip install" in text]
    assert compiles < min(installs)


def test_engines_are_those_of_the_extras() -> None:
    extras = project()["optional-dependencies"]
    assert extras["gpu"] == ["vllm==0.32.0"]
    gpu = instructions(ROOT / "infra" / "docker" / "gpu.Dockerfile")
    assert ("FROM", "docker.io/vllm/vllm-openai:v0.32.0 AS judge") in gpu
    cpu = (ROOT / "infra" / "docker" / "cpu.Dockerfile").read_text(encoding="utf-8")
    for lock in ("torch.in", "cpu.txt"):
        assert f"--requirements /requirements/{lock}" in cpu


@per_file
def test_only_what_is_needed_goes_in(path: Path) -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {
        source
        for name, rest in instructions(path)
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert copied == let_in
    for source in copied:
        assert (ROOT / source).exists()
    assert "ADD" not in {name for name, _ in instructions(path)}
