"""Exports in forked processes, each ended by SIGKILL at one of its steps.

As ``publish_and_die``; a request has ``output``, ``format`` and ``die_at``.
"""

from __future__ import annotations

from typing import Any

from pipeline.export import export_flow
from pipeline.export.export_config import ExportConfig
from pipeline.export.export_run import export_snapshot
from pipeline.runtime.reporter import Reporter
from pipeline.store.host import Host
from pipeline.store.object_store import Store
from tests.chaos.publish_and_die import Steps, serve, watch_writes
from tests.simulator.simulated_store import Inline


def run(request: dict[str, Any], steps: Steps) -> None:
    """Exports the live snapshot in this process."""
    output = Store(request["output"])
    watch_writes(steps, output)
    setattr(Host, "pool", lambda host, threads: Inline())  # noqa: B010 - in one order
    setattr(export_flow, "map_in_threads", lambda tasks, act: map(act, tasks))  # noqa: B010
    config = ExportConfig.model_validate({"format": request["format"]})
    export_snapshot(output, None, "LATEST", config, Reporter())
    steps.step("end")


if __name__ == "__main__":
    serve(run)
