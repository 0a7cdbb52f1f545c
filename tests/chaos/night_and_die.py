"""Executes nightly runs in forked processes, each ended by SIGKILL at one of its steps.

Reads a line of JSON for each process: ``config`` (a file), ``source``, ``output``, and ``die_at``,
the number of the step (from 0) before which it kills itself, or null. Answers as
``publish_and_die`` does. A step is the beginning of a step of the nightly run, its work being done
but not recorded, and the end of the run before and after it is recorded.
"""

from __future__ import annotations

from typing import Any

import ray.data  # noqa: F401  (once, not in every process)

from pipeline.nightly.night import run_night
from pipeline.nightly.night_record import NightRecord
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.config_file import load_config
from pipeline.runtime.reporter import Reporter
from tests.chaos.publish_and_die import Steps, serve


def run(request: dict[str, Any], steps: Steps) -> None:
    """A nightly run in this process."""
    steps.watch(NightRecord, "step", lambda record, name: f"begin {name}")
    steps.watch(NightRecord, "_add", lambda record, name, *rest: f"did {name}")
    steps.watch(NightRecord, "end", lambda record, state, code: f"end {state}")
    config = load_config(PipelineConfig, request["config"], [])
    assert run_night(config, request["source"], request["output"], Reporter()) == 0
    steps.step("over")


if __name__ == "__main__":
    serve(run)
