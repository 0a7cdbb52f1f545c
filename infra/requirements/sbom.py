"""Prints the bill of materials of a lock: CycloneDX 1.6, from the lock alone.

    python infra/requirements/sbom.py gpu > pairmill-gpu.cdx.json

The same lock makes the same bytes. A package's files are its external references, each with its
hash: any of them may be the one that was installed. Licences are not in a lock, and so not here.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
import uuid
from collections.abc import Sequence
from typing import Any

from lock_files import FOLDER, Locked, locked

_SPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # of URLs, RFC 9562


def main(arguments: list[str] | None = None) -> int:
    """Prints it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock", nargs="+", help="names of locks, such as gpu, or cpu and torch")
    options = parser.parse_args(arguments)
    packages = locked(FOLDER / f"{name}.txt" for name in options.lock)
    sys.stdout.write(json.dumps(bill(packages), indent=1) + "\n")
    return 0


def bill(packages: Sequence[Locked]) -> dict[str, Any]:
    """The bill of pairmill with these packages."""
    project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    name, version = project["project"]["name"], project["project"]["version"]
    root = _purl(name, version)
    refs: dict[str, list[str]] = {}
    for package in packages:
        refs.setdefault(package.name, []).append(_purl(package.name, package.version))
    needs: dict[str, set[str]] = {root: set()}
    for package in packages:
        users = [ref for user in package.needed_by for ref in refs.get(user, [])]
        if package.asked or not users:
            users.append(root)
        ref = _purl(package.name, package.version)
        needs.setdefault(ref, set())
        for user in users:
            needs.setdefault(user, set()).add(ref)
    components = [_component(package) for package in packages]
    dependencies = [{"ref": ref, "dependsOn": sorted(needs[ref])} for ref in sorted(needs)]
    body = {"components": components, "dependencies": dependencies}
    serial = uuid.uuid5(_SPACE, json.dumps([root, body]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": name,
                "version": version,
                "purl": root,
                "licenses": [{"license": {"id": project["project"]["license"]}}],
            }
        },
        **body,
    }


def _component(package: Locked) -> dict[str, Any]:
    purl = _purl(package.name, package.version)
    url = f"https://pypi.org/project/{package.name}/{package.version}/"
    files = [
        {"type": "distribution", "url": url, "hashes": [{"alg": "SHA-256", "content": sha256}]}
        for sha256 in package.hashes
    ]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "externalReferences": files,
    }


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}".replace("+", "%2B")


if __name__ == "__main__":
    sys.exit(main())
