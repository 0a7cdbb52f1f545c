"""Jobs one after the other on one private Ray, whose workers have this process's environment.

Reads and answers lines of JSON as ``jobs_in_process``, with the same waits between tries as ever.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, TextIO

from pipeline.labeling.cluster.ray_session import ray_session
from pipeline.labeling.label_config import WorkersConfig
from pipeline.store.s3_objects import Objects

_SIZE = WorkersConfig(local_cpus=2, local_object_store_mb=100, max=2)


def serve(answers: TextIO) -> None:
    """Serves requests until there are none."""
    with ray_session(_SIZE):
        for line in sys.stdin:
            answers.write(json.dumps(run(json.loads(line))) + "\n")
            answers.flush()


def run(request: dict[str, Any]) -> dict[str, Any]:
    """A job in this process."""
    Objects.clear_instance_cache()  # a process of its own remembers no listing of the run before
    error = io.StringIO()
    with redirect_stderr(error), redirect_stdout(io.StringIO()):
        try:
            code = importlib.import_module(f"jobs.{request['job']}").main(request["arguments"])
        except Exception:  # noqa: BLE001  as an interpreter does
            traceback.print_exc()
            code = 1
    return {"exit": code, "error": error.getvalue()}


if __name__ == "__main__":
    serve(sys.stdout)
