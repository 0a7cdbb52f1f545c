"""Starts a copy of a suspended RayJob: what the plain CronJob runs, with the standard library only.

Needs the rights to get that one RayJob and to create RayJobs. Run again for the same tick it finds
the RayJob there and is content.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_S = 30
_CONFLICT = 409


def main(arguments: list[str] | None = None) -> int:
    """Creates the RayJob; returns 0 if it is there, 1 if not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--template", required=True, help="the suspended RayJob to copy")
    parser.add_argument("--name", required=True, help="prefix of the new RayJob's name")
    parser.add_argument("--server", default="https://kubernetes.default.svc")
    parser.add_argument("--account", type=Path, default=_ACCOUNT, help="folder with the token")
    options = parser.parse_args(arguments)
    api = f"/apis/ray.io/v1/namespaces/{os.environ['NAMESPACE']}/rayjobs"
    name = new_name(options.name, os.environ["JOB_NAME"])
    try:
        template = _call(options, "GET", f"{api}/{options.template}")
        _call(options, "POST", api, new_job(template, name))
    except urllib.error.HTTPError as error:
        if error.code == _CONFLICT:
            sys.stdout.write(f"RayJob {name} exists: this run is started already\n")
            return 0
        body = error.read().decode(errors="replace")
        sys.stderr.write(f"error: {error.url}: HTTP {error.code}: {body}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"error: {options.server}: {error}\n")
        return 1
    sys.stdout.write(f"started RayJob {name}\n")
    return 0


def new_name(prefix: str, job: str) -> str:
    """Names the RayJob for its tick: Job ``<prefix>-start-<minutes>`` to ``<prefix>-<minutes>``.

    KubeRay names those of a RayCronJob in the same way. Any other Job (one made by hand) gives its
    whole name. A RayJob must not be named like a Job: its submitter's Job would be taken for it.
    """
    return f"{prefix}-{job.removeprefix(prefix + '-start-')}"


def new_job(template: dict[str, Any], name: str) -> dict[str, Any]:
    """Returns a RayJob that runs what the template describes."""
    metadata = template["metadata"]
    return {
        "apiVersion": template["apiVersion"],
        "kind": template["kind"],
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": metadata.get("labels", {}),
        },
        "spec": {**template["spec"], "suspend": False},
    }


def _call(
    options: argparse.Namespace, method: str, path: str, body: dict[str, Any] | None = None
) -> Any:
    request = urllib.request.Request(
        options.server + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {(options.account / 'token').read_text().strip()}",
            "Content-Type": "application/json",
        },
    )
    trusted = None
    if options.server.startswith("https:"):
        trusted = ssl.create_default_context(cafile=str(options.account / "ca.crt"))
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=trusted) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
