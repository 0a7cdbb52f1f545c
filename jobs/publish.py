"""Publishes labels: ``pairmill publish --input URI --output URI``."""

from __future__ import annotations

import sys
from dataclasses import asdict

from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.errors import BLOCKED, ConfigError
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import new_run_id
from pipeline.snapshots.gate import gate_for
from pipeline.snapshots.gate_checks import gate_summary
from pipeline.snapshots.publish_snapshot import Publication, publish
from pipeline.snapshots.quality.canary_agreement import Canary
from pipeline.snapshots.quality.measure_snapshot import measure_again, quality_fields
from pipeline.snapshots.retention import retain
from pipeline.snapshots.rollback import roll_back
from pipeline.snapshots.snapshot_summary import listing, publication_fields
from pipeline.store.object_store import Store


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--input", metavar="URI", help="the pairs, as they were labelled; publishes")
    add("--output", metavar="URI", required=True, help="the output of label")
    add(
        "--judge",
        metavar="ID",
        default="",
        help="whose labels: its id, or how that begins; not needed where there is one judge",
    )
    add("--allow-missing", action="store_true", help="publish though rows have no label yet")
    add(
        "--rollback",
        metavar="ID",
        help="make this snapshot live again, once its files are verified",
    )
    add(
        "--keep",
        metavar="N",
        type=int,
        help="then remove all but the newest N, the live one and the one before it;\n"
        "needs the right to delete",
    )
    add("--measure", metavar="ID", help="measure this snapshot again, into its quality.json")
    add("--list", action="store_true", help="list the snapshots, when all else is done")


def _run(call: Call[PipelineConfig]) -> int:
    options, reporter = call.options, call.reporter
    config = call.config(*["publish.allow_missing=true"] * options.allow_missing)
    run_id, output = new_run_id(), Store(options.output)
    reporter = reporter.of_run(run_id)
    asked = (options.input, options.rollback, options.measure, options.list)
    if not any(asked) and options.keep is None:
        wanted = "--input to publish, --rollback, --measure, --keep or --list"
        raise ConfigError(f"nothing to do: give {wanted}")
    if options.input and options.rollback:
        raise ConfigError("--input publishes and --rollback goes back: give one of the two")
    done = None
    if options.input:
        done = _publish(config, options.input, output, options.judge, reporter, run_id)
    if options.rollback:
        done = roll_back(output, options.rollback, config.publish, reporter, run_id)
    if done is not None:
        _report(done, output, reporter)
    if options.measure:
        measured = measure_again(output, options.measure, config.quality, config.input, reporter)
        reporter.event("measured", quality_fields(measured))
    if options.keep is not None:
        kept = retain(output, options.keep, config.publish, reporter, run_id)
        reporter.event("retention", asdict(kept))
    if options.list:
        for fields in listing(output):
            reporter.event("snapshot", fields)
    return 0 if done is None or done.live else BLOCKED


def _publish(
    config: PipelineConfig,
    input_uri: str,
    output: Store,
    judge: str,
    reporter: Reporter,
    run_id: str,
) -> Publication:
    gold = config.canary.input
    canary = Canary(None, gold, config.canary.read_as(config.input)) if gold else None
    return publish(
        input_uri,
        output,
        judge,
        config.publish,
        reporter,
        run_id,
        max_bad_shards=config.quarantine.max_shards,
        gate=gate_for(config.gate, config.quality, config.input, canary, reporter),
    )


def _report(done: Publication, output: Store, reporter: Reporter) -> None:
    reporter.event("published" if done.live else "blocked", publication_fields(done, output))
    if (summary := gate_summary(done.manifest)) and done.live:
        reporter.note(summary)
    elif summary:
        sys.stderr.write(f"{summary}\n")


COMMAND = Command(
    name="publish",
    text="Publishes the labels of the input as it is now: compacts one judge's parts into an\n"
    "immutable snapshot, measures it, and swaps snapshots/LATEST.json, which readers follow,\n"
    "unless a threshold of the gate forbids it. Safe to run again at any point: readers see\n"
    "the snapshot before or the new one.",
    example="--input s3://bucket/pairs --output s3://bucket/labels",
    settings=PipelineConfig,
    example_setting="--publish.file_mb 512",
    add_options=_options,
    run=_run,
    exits=(0, 1, 2, 3, 4, 5, 130),
    interrupted="interrupted; readers see what they saw; run the same command again",
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
