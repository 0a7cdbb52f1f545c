"""Jobs in forked processes without Ray: units are read and judged one after the other.

Reads a line of JSON for each process: the name of a ``job`` and its ``arguments``. Answers with a
line of JSON: its ``exit`` code, 1 where it raised, and the ``error``, what it wrote to standard
error.

Everything else is as ever, but that waiting between tries takes a fiftieth of its time, and that
reports have no charts, which ask nothing of the store.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import traceback
from typing import Any

import scipy.special  # noqa: F401  (once here, not in every process: it takes half a second)

from jobs import export, label, nightly, publish
from pipeline.labeling import dataflow
from pipeline.labeling.cluster import ray_session
from pipeline.report import report_page
from pipeline.store import s3_objects  # noqa: F401  (the same: 1 s)
from pipeline.store.host import Host
from tests.without_charts import REPLACED
from tests.without_ray import judge_here, no_session

JOBS = {"export": export, "label": label, "nightly": nightly, "publish": publish}
_SHORTER = 50
_sleep, _host_sleep = asyncio.sleep, Host.sleep


async def shorter_sleep(seconds: float, result: Any = None) -> Any:
    return await _sleep(seconds / _SHORTER, result)


def serve() -> None:
    """Serves requests until there are none."""
    replaced: list[tuple[Any, str, Any]] = [
        (dataflow, "judge_shards", judge_here),
        (ray_session, "ray_session", no_session),
        (asyncio, "sleep", shorter_sleep),
        (Host, "sleep", lambda host, seconds: _host_sleep(host, seconds / _SHORTER)),
        *REPLACED,
    ]
    for owner, name, other in replaced:
        setattr(owner, name, other)
    report_page._templates().get_template("report.html.j2")  # compiled once: the same
    for line in sys.stdin:
        with tempfile.TemporaryFile() as log, tempfile.TemporaryFile() as said:
            child = os.fork()
            if child == 0:
                os.dup2(log.fileno(), 2)
                os.dup2(said.fileno(), 1)
                os._exit(run(**json.loads(line)))
            _, status = os.waitpid(child, 0)
            log.seek(0)
            answer = {"exit": os.waitstatus_to_exitcode(status), "error": log.read().decode()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def run(job: str, arguments: list[str]) -> int:
    """A job in this process."""
    try:
        return int(JOBS[job].main(arguments))
    except Exception:  # noqa: BLE001  as an interpreter does
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    serve()
