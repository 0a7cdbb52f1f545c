"""The shape of the code: who may import whom, and how long a file may be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("pipeline", "jobs", "schemas", "tests", "infra")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
MAX_LINES = 300
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc"}


def test_imports_point_one_way() -> None:
    run = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    done = subprocess.run(
        [*run, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_the_linter_sees_a_wrong_import(tmp_path: Path) -> None:
    for package in ("upper", "lower"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "lower" / "wrong.py").write_text("import upper\n")
    (tmp_path / ".importlinter").write_text(
        "[importlinter]\nroot_packages =\n    upper\n    lower\n"
        "[importlinter:contract:1]\nname = layers\ntype = layers\nlayers =\n    upper\n    lower\n"
    )
    run = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    done = subprocess.run(
        [*run, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert " 1 broken" in done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_and_named_for_what_they_do(path: Path) -> None:
    with path.open(encoding="utf-8") as file:
        assert sum(1 for _ in file) <= MAX_LINES
    assert path.stem not in DRAWERS
    assert path.parent.name not in DRAWERS
