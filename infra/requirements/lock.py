"""Writes the hashed requirements files beside this one, from pyproject.toml and torch.in.

    make lock                      what changed in pyproject.toml; all other versions stay
    make lock UPGRADE=--upgrade    the newest versions that pyproject.toml allows

`cpu.txt` and `gpu.txt` are pairmill with its dependencies and one engine; `dev.txt` and `infra.txt`
go on top of either, so versions agree in all of them. `cpu.txt` leaves out torch: `torch.in` brings
its CPU builds from PyTorch's index, `torch.txt` the general ones. `build.txt` builds pairmill
itself, `uv.txt` is what installs.

Needs a package registry, pip's `index-url` or else PyPI. Only one: a lock must have the hashes of
all files of a release, and a second index may have a part of them. The locks are for CPython 3.11
and 3.12 on Linux, x86_64 and aarch64, and have no sources, which would run code of their own to be
installed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from pip_settings import configured, for_uv

FOLDER = Path(__file__).resolve().parent
UV = "uv==0.13.9"
# vLLM for CPUs wants exactly this one, vLLM for GPUs allows it, and the two are to agree.
AGREED = ["setuptools==78.1.1"]
# uv reads a release's dependencies from one of its files; i686's, which it takes here, lacks this.
UNDECLARED = ["intel-cmplr-lib-ur==2024.2.1; platform_machine == 'x86_64'"]
# What hatchling asks for at an editable build.
EDITABLE = ["editables~=0.3"]

_CPYTHON = "implementation_name == 'cpython' and platform_python_implementation == 'CPython'"
_PLATFORMS = [
    f"{_CPYTHON} and python_version < '3.13'"
    f" and platform_machine == '{machine}' and sys_platform == 'linux'"
    for machine in ("x86_64", "aarch64")
]
# The same as uv writes it at every package that is for all of them: said once, in the header.
_ALL_PLATFORMS = (
    " ; python_full_version < '3.13' and implementation_name == 'cpython'"
    " and ((platform_machine == 'aarch64' and platform_python_implementation == 'CPython'"
    " and sys_platform == 'linux') or (platform_machine == 'x86_64'"
    " and platform_python_implementation == 'CPython' and sys_platform == 'linux'))"
)
_HEADER = "# By `make lock`: CPython 3.11 and 3.12 on Linux, x86_64 and aarch64.\n"


class Resolver:
    """uv, in a folder of its own: it writes paths as it is given them."""

    def __init__(self, folder: Path) -> None:
        """Installs uv."""
        self._folder = folder
        self._environment = os.environ | for_uv(configured(), os.environ)
        self._environment.pop("UV_INDEX", None)
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        pip = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", UV]
        subprocess.run(pip, check=True)
        (folder / "pyproject.toml").write_text(
            "[project]\nname = 'locks'\nversion = '0'\nrequires-python = '>=3.11'\n"
            f"[tool.uv]\nenvironments = {_PLATFORMS!r}\n",
            encoding="utf-8",
        )

    def write(self, name: str, requirements: Iterable[str]) -> None:
        """Writes a file that options of `lock` name."""
        (self._folder / name).write_text("\n".join([*requirements, ""]), encoding="utf-8")

    def lock(self, name: str, requirements: Iterable[str], *options: str) -> list[str]:
        """Resolves requirements to `<name>.txt`, near the versions that are there already.

        Returns:
            The packages' names.
        """
        sys.stdout.write(f"  {name}.txt\n")
        sys.stdout.flush()
        self.write(f"{name}.in", requirements)
        lock = self._folder / f"{name}.txt"
        command = [
            "venv/bin/uv", "pip", "compile", "--quiet", "--universal", "--python-version=3.11",
            "--fork-strategy=fewest", "--generate-hashes", "--only-binary=:all:", "--no-header",
            f"--output-file={lock.name}", *options, f"{name}.in",
        ]  # fmt: skip
        subprocess.run(
            command, cwd=self._folder, env=self._environment, check=True, stdout=subprocess.DEVNULL
        )
        text = lock.read_text(encoding="utf-8")
        lock.write_text(_HEADER + text.replace(_ALL_PLATFORMS, ""), encoding="utf-8")
        return re.findall(r"^([a-z0-9-]+)==", text, flags=re.MULTILINE)


def main(arguments: list[str] | None = None) -> None:
    """Writes all locks, or none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        for lock in () if options.upgrade else FOLDER.glob("*.txt"):
            (folder / lock.name).write_bytes(lock.read_bytes())
        _lock_all(Resolver(folder))
        for lock in folder.glob("*.txt"):
            (FOLDER / lock.name).write_bytes(lock.read_bytes())


def _lock_all(resolver: Resolver) -> None:
    content = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    project, extras = content["project"], content["project"]["optional-dependencies"]
    torch = (FOLDER / "torch.in").read_text(encoding="utf-8").splitlines()
    torch = [line for line in torch if not line.startswith("#")]
    resolver.write("agreed.in", AGREED)
    resolver.lock("uv", [UV])
    resolver.lock("build", [*content["build-system"]["requires"], *EDITABLE])
    # GPUs first: their vLLM names more versions exactly than the one for CPUs.
    resolver.lock("gpu", [*project["dependencies"], *extras["gpu"]], "-c", "agreed.in")
    general = resolver.lock("torch", torch, "-c", "gpu.txt")
    resolver.write("cuda.in", [name for name in general if name.startswith(("cuda-", "nvidia-"))])
    resolver.lock(
        "cpu", [*project["dependencies"], *extras["cpu"], *UNDECLARED],
        "-c", "gpu.txt", "--overrides", "torch.in", "--excludes", "cuda.in",
        *(f"--no-emit-package={line.partition('==')[0]}" for line in torch),
    )  # fmt: skip
    resolver.lock("dev", extras["dev"], "-c", "gpu.txt", "-c", "cpu.txt")
    resolver.lock("infra", extras["infra"], "-c", "gpu.txt", "-c", "cpu.txt", "-c", "dev.txt")


if __name__ == "__main__":
    main()
