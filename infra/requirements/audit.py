"""Compares what the locks have with known vulnerabilities, offline.

    python infra/requirements/audit.py --advisories all.zip

The advisories are OSV's of PyPI: a folder of their JSON files, or the archive that
https://storage.googleapis.com/osv-vulnerabilities/PyPI/all.zip serves. How new they are is how much
this says: an archive older than --days fails. What is accepted is named, with --accept ID.
Exit code 0: nothing found; 1: something; 2: the advisories cannot be used.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lock_files import LOCKS, Locked, locked
from packaging.version import InvalidVersion, Version

_DAYS = 14


@dataclass(frozen=True, order=True)
class Finding:
    """A locked package that an advisory names."""

    package: str
    version: str
    advisory: str
    fixed: str
    summary: str


def main(arguments: list[str] | None = None) -> int:
    """Prints what is found; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--advisories", type=Path, required=True, metavar="ZIP_OR_FOLDER")
    parser.add_argument("--accept", action="append", default=[], metavar="ID")
    parser.add_argument("--days", type=float, default=_DAYS, help="most days since the newest (14)")
    parser.add_argument("lock", nargs="*", type=Path, help="files; by default all of ours")
    options = parser.parse_args(arguments)
    try:
        advisories = list(read(options.advisories))
        age = _age_days(advisories)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"error: {options.advisories}: no advisories of OSV ({error})\n")
        return 2
    if age > options.days:
        sys.stderr.write(
            f"error: {options.advisories}: the newest advisory is {age:.0f} days old, expected at "
            f"most {options.days:g}; download them again\n"
        )
        return 2
    packages = locked(options.lock or LOCKS)
    known = findings(packages, advisories)
    found = sorted(each for each in known if each.advisory not in options.accept)
    for each in found:
        fixed = each.fixed or "no version"
        sys.stdout.write(
            f"{each.package} {each.version}: {each.advisory}, fixed in {fixed}: {each.summary}\n"
        )
    sys.stdout.write(
        f"{len(packages)} packages, {len(advisories)} advisories, the newest {age:.0f} days old: "
        f"{len(found)} found\n"
    )
    return 1 if found else 0


def read(place: Path) -> Iterator[dict[str, Any]]:
    """Every advisory of a folder or archive that was not withdrawn.

    Raises:
        ValueError: there is none, or one is not JSON.
    """
    count = 0
    for data in _files(place):
        count += 1
        advisory = json.loads(data)
        if "withdrawn" not in advisory:
            yield advisory
    if not count:
        raise ValueError("no JSON file there")


def findings(packages: Iterable[Locked], advisories: Iterable[dict[str, Any]]) -> Iterator[Finding]:
    """Every locked package that an advisory says is affected."""
    by_name: dict[str, list[Locked]] = {}
    for package in packages:
        by_name.setdefault(_normal(package.name), []).append(package)
    for advisory in advisories:
        for affected in advisory.get("affected", []):
            named = affected.get("package", {})
            if named.get("ecosystem") != "PyPI":
                continue
            for package in by_name.get(_normal(named["name"]), []):
                if is_affected(package.version, affected):
                    fixed = sorted(set(_events(affected, "fixed")), key=Version)
                    text = " ".join(str(advisory.get("summary", "")).split())[:100]
                    yield Finding(
                        package.name, package.version, advisory["id"], ", ".join(fixed), text
                    )


def is_affected(version: str, affected: dict[str, Any]) -> bool:
    """Whether an advisory's list of versions or one of its ranges has a version."""
    if version in affected.get("versions", []):
        return True
    ranges = [each for each in affected.get("ranges", []) if each.get("type") == "ECOSYSTEM"]
    return any(_in_range(Version(version), each["events"]) for each in ranges)


def _in_range(version: Version, events: list[dict[str, str]]) -> bool:
    """OSV's rule: of the events by version, the last one at or before this version counts."""
    inside = False
    for kind, at in sorted(_ordered(events), key=lambda each: (each[1], each[0] != "introduced")):
        if at > version or (kind == "last_affected" and at == version):
            break
        inside = kind == "introduced"
    return inside


def _ordered(events: list[dict[str, str]]) -> Iterator[tuple[str, Version]]:
    for event in events:
        for kind, text in event.items():
            try:
                yield kind, Version("0.dev0" if text == "0" else text)
            except InvalidVersion:
                continue  # no version of PyPI is compared with it


def _events(affected: dict[str, Any], kind: str) -> Iterator[str]:
    for each in affected.get("ranges", []):
        if each.get("type") == "ECOSYSTEM":
            yield from (event[kind] for event in each["events"] if kind in event)


def _files(place: Path) -> Iterator[bytes]:
    if place.is_dir():
        yield from (path.read_bytes() for path in sorted(place.glob("*.json")))
        return
    with zipfile.ZipFile(place) as archive:
        yield from (archive.read(name) for name in archive.namelist() if name.endswith(".json"))


def _age_days(advisories: list[dict[str, Any]]) -> float:
    newest = max(datetime.datetime.fromisoformat(each["modified"]) for each in advisories)
    now = datetime.datetime.now(datetime.UTC)
    return (now - newest.replace(tzinfo=newest.tzinfo or datetime.UTC)).total_seconds() / 86_400


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
