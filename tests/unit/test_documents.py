"""What documents say is so: links lead somewhere, lists are current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.__main__ import reference

ROOT = Path(__file__).parents[2]
FOLDERS = ("infra", "jobs", "pipeline", "schemas", "tests")  # not an environment's 100,000 files
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(p for each in FOLDERS for p in (ROOT / each).rglob("*.md"))]
)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_reference_of_commands_is_current() -> None:
    assert text_of("jobs/README.md") == reference(), "run: pairmill --markdown > jobs/README.md"


def test_every_room_is_in_the_table_of_rooms() -> None:
    rooms = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}
    listed = set(re.findall(r"^\| \[`(\w+)/`\]", text_of("pipeline/README.md"), re.M))
    assert listed - {"schemas"} == rooms


def test_every_promise_of_security_names_tests_that_exist() -> None:
    promises = [line for line in text_of("SECURITY.md").splitlines() if line.startswith("| **")]
    for line in promises:
        named = re.findall(r"`((?:\w+/)?(?:test_\w+|simulator))`", line.rpartition(" | ")[2])
        assert named, line
        for name in named:
            path = ROOT / "tests" / name
            assert path.is_dir() or path.with_suffix(".py").is_file(), name
    assert len(promises) > 10
