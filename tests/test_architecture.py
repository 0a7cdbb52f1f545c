"""The shape of the code: who may import whom, and no file that is named for nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("pipeline", "jobs", "schemas", "tests", "infra")
# Names that say nothing of what is inside, so that anything ends up there.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}


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


def test_names_say_what_is_inside() -> None:
    paths = [path for folder in FOLDERS for path in [ROOT / folder, *(ROOT / folder).rglob("*")]]
    assert [str(path.relative_to(ROOT)) for path in paths if path.stem in EMPTY_NAMES] == []


def test_one_file_deletes() -> None:
    """Objects of a store: `Store.delete` is called in one place, which clean and exports call."""
    files = [path for folder in FOLDERS[:2] for path in (ROOT / folder).rglob("*.py")]
    callers = {
        path.relative_to(ROOT).as_posix()
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("delete", "rm_file", "rm")
        and ast.unparse(node.value) != "np"
    }
    assert callers == {"pipeline/store/object_store.py", "pipeline/store/removal.py"}


def test_one_file_asks_for_the_time_of_day() -> None:
    """But for benchmarks: what is stored and shown has one clock, and stores simulate theirs."""
    files = [path for folder in FOLDERS[:2] for path in (ROOT / folder).rglob("*.py")]
    askers = {
        path.relative_to(ROOT).as_posix()
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in ("time.time", "datetime.datetime.now", "datetime.now")
    }
    askers = {path for path in askers if not path.startswith("pipeline/lab/")}
    assert askers == {"pipeline/runtime/clock.py"}
