"""Removes what nothing needs: ``pairmill clean --output URI``."""

from __future__ import annotations

import sys

from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.retention.clean import CleanPlan, plan_clean
from pipeline.retention.ownership import others, shown
from pipeline.retention.stored import Stored
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import new_run_id
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--output", metavar="URI", required=True, help="the output to clean")
    add("--input", metavar="URI", help="the pairs; by default those that the snapshot names")
    add("--apply", action="store_true", help="remove it; without, only say what would go and why")


def _run(call: Call[PipelineConfig]) -> int:
    options, config, run_id = call.options, call.config(), new_run_id()
    output, reporter = Store(options.output), call.reporter.of_run(run_id)
    if not options.apply:
        plan = plan_clean(Stored(output, run_id, options.input), config.clean)
        _report(plan, reporter, "would remove")
        reporter.note("nothing was removed; --apply removes it")
        return 0
    with writer_lease(output, run_id, config.lease_s, reporter) as lease:
        plan = plan_clean(Stored(output, run_id, options.input), config.clean)
        plan.apply(lease)
    _report(plan, reporter, "removed")
    return 0


def _report(plan: CleanPlan, reporter: Reporter, what: str) -> None:
    for removal in plan.removals:
        fields = {"kind": removal.kind, "name": removal.thing.name, "why": removal.why}
        counts = {"objects": len(removal.thing.entries), "bytes": removal.thing.bytes}
        reporter.event(what, {**fields, **counts})
    for fields in plan.summary():
        reporter.event("clean", fields)
    if (left := shown(others(plan)))["objects"]:
        reporter.event("not ours, left", left)


COMMAND = Command(
    name="clean",
    text="Lists what nothing in an output needs any more, and with --apply removes it: snapshots,\n"
    "exports, derived labels, canaries, records of runs and marks of attempts beyond the limits\n"
    "of the section clean, and what was never finished. Never what is live, what was live\n"
    "before, a vote, or a file that pairmill did not write. Safe to run again at any point.",
    example="--output s3://bucket/labels --clean.snapshots.keep 14 --clean.runs.days 90",
    settings=PipelineConfig,
    example_setting="--clean.exports.keep 3",
    add_options=_options,
    run=_run,
    exits=(0, 1, 2, 5),
    left="what is live is whole; the same command goes on",
)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code (see ``--help``)."""
    return COMMAND.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
