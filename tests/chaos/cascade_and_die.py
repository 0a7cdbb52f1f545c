"""Runs cascades in forked processes without Ray, each ended by SIGKILL at one of its steps.

Reads a line of JSON for each process: ``arguments`` of ``jobs.nightly``, and ``die_at``, the number
of the step (from 0) before which it kills itself, or null. Answers as ``publish_and_die`` does. A
step is the commit of a part, the beginning of a step of the night, or the end. Of judges that work
side by side, which one comes to a step first is anybody's guess. There is no report, which nothing
here looks at, and which is most of a night's CPU.
"""

from __future__ import annotations

from typing import Any

from jobs import nightly
from pipeline.labeling import dataflow, unit_runner
from pipeline.labeling.cascade import cascade_run
from pipeline.labeling.cluster import ray_session
from pipeline.nightly import night
from pipeline.nightly.night_record import NightRecord
from tests.chaos.publish_and_die import Steps, serve
from tests.without_ray import judge_here, no_session, they_fit


def run(request: dict[str, Any], steps: Steps) -> None:
    """A nightly run in this process."""
    replaced: dict[Any, dict[str, Any]] = {
        dataflow: {"judge_shards": judge_here},
        ray_session: {"ray_session": no_session},
        cascade_run: {"pools_fit": they_fit},
        night: {"write_report": lambda *of, **options: None},
    }
    for owner, others in replaced.items():
        for name, other in others.items():
            setattr(owner, name, other)
    steps.everywhere = True
    for name in ("commit_part", "revise_part"):
        steps.watch(unit_runner, name, lambda store, judge, unit, *_, n=name: f"{n} {judge[:8]}")
    steps.watch(NightRecord, "step", lambda record, name: f"begin {name}")
    code = nightly.main(request["arguments"])
    steps.step(f"exit {code}")


if __name__ == "__main__":
    serve(run)
