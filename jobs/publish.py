"""Publishes labels: ``pairmill publish --input URI --output URI``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pipeline.labeling.known_judge import known_judge
from pipeline.nightly.gate_probes import gate_probes
from pipeline.nightly.judges_together import judges_together
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.retention.retain_snapshots import retain
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.errors import BLOCKED, ConfigError
from pipeline.runtime.printable import printable
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import new_run_id
from pipeline.snapshots.gate import gate_for
from pipeline.snapshots.gate_checks import gate_summary
from pipeline.snapshots.manifests import LATEST
from pipeline.snapshots.materialize import materialize
from pipeline.snapshots.publish_snapshot import Publication, publish
from pipeline.snapshots.quality.canary_agreement import Canary
from pipeline.snapshots.quality.measure_snapshot import measure_again, quality_fields
from pipeline.snapshots.rollback import roll_back
from pipeline.snapshots.snapshot_summary import listing, publication_fields
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "--input",
        metavar="URI",
        help="the pairs that were labelled; without it nothing is published",
    )
    add("--output", metavar="URI", required=True, help="the output of label")
    add(
        "--judge",
        metavar="ID",
        default="",
        help="whose labels: its id, or how that begins; by default the judge of --config, or the\n"
        "only one there",
    )
    add(
        "--calibration",
        metavar="FILE|card|none",
        default="card",
        help="a calibration's JSON, or a card or derivation.json that holds one; card (default):\n"
        "that of the judge's card, if it has one; none: no p_a",
    )
    add("--derivation", metavar="ID|FOLDER", help=argparse.SUPPRESS)  # of earlier versions
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
    add(
        "--materialize",
        metavar="FOLDER",
        help="then copy a snapshot into a folder of its own, for who must read a folder",
    )
    add(
        "--snapshot",
        metavar="ID",
        default=LATEST,
        help="which one --materialize copies; the live one by default",
    )
    add("--measure", metavar="ID", help="measure this snapshot again, into its quality.json")
    add("--list", action="store_true", help="list the snapshots, after everything else")


def _run(call: Call[PipelineConfig]) -> int:
    options, reporter = call.options, call.reporter
    config = call.config(*["publish.allow_missing=true"] * options.allow_missing)
    run_id, output = new_run_id(), Store(options.output)
    reporter = reporter.of_run(run_id)
    writes = (options.input, options.rollback, options.measure)
    if not any((*writes, options.list, options.materialize)) and options.keep is None:
        wanted = "--input to publish, --rollback, --measure, --materialize, --keep or --list"
        raise ConfigError(f"nothing to do: give {wanted}")
    if options.derivation:
        raise ConfigError(
            "--derivation is no more: give the policy that its derivation.json states as "
            "--policy.… or in --config, and --calibration derivation.json"
        )
    if options.input and options.rollback:
        raise ConfigError("--input publishes and --rollback goes back: give one of the two")
    done = None
    if any(writes) or options.keep is not None:
        ttl_s = config.publish.lease_s or config.lease_s
        with writer_lease(output, run_id, ttl_s, reporter) as lease:
            done = _write(options, config, output, reporter, lease)
    if options.materialize:
        copied = materialize(output, options.snapshot, Store(options.materialize))
        where = {"snapshot": copied.snapshot_id, "folder": options.materialize}
        reporter.event("materialized", {**where, "files": len(copied.files)})
    if options.list:
        for fields in listing(output):
            reporter.event("snapshot", fields)
    return 0 if done is None or done.live else BLOCKED


def _write(
    options: argparse.Namespace,
    config: PipelineConfig,
    output: Store,
    reporter: Reporter,
    lease: Lease,
) -> Publication | None:
    """Everything but the list; what was published, or gone back to."""
    done = None
    if options.input:
        done = _publish(options, config, output, reporter, lease)
    if options.rollback:
        done = roll_back(output, options.rollback, reporter, lease)
    if done is not None:
        _report(done, output, reporter)
    if options.measure:
        measured = measure_again(
            output, options.measure, config.quality, config.input, reporter, config.gold
        )
        reporter.event("measured", quality_fields(measured))
    if options.keep is not None:
        reporter.event("retention", retain(output, options.keep, lease))
    return done


def _publish(
    options: argparse.Namespace,
    config: PipelineConfig,
    output: Store,
    reporter: Reporter,
    lease: Lease,
) -> Publication:
    gold = config.canary.input
    canary = Canary(None, gold, config.canary.read_as(config.input)) if gold else None
    labels = _labels(options, config, output)
    probes = gate_probes(config, output, labels["judge"])
    known = probes.stored() if probes else None
    return publish(
        options.input,
        output,
        config=config.publish,
        reporter=reporter,
        lease=lease,
        **labels,
        max_bad_shards=config.quarantine.max_shards,
        read_seconds=config.input.read_seconds,
        gold=config.gold,
        gate=gate_for(
            config.gate,
            config.quality,
            config.input,
            canary,
            reporter,
            gold=config.gold,
            probes=known.probes if known else None,
        ),
    )


def _labels(options: argparse.Namespace, config: PipelineConfig, output: Store) -> dict[str, Any]:
    """Whose votes are published, and by what they are decided: arguments of ``publish``."""
    by = {"policy": config.policy, "calibration": options.calibration}
    if (config.cascade.judges or config.aggregation.panel) and not options.judge:
        if options.calibration != "card":
            raise ConfigError("--calibration is of one judge: several have those of their cards")
        several = judges_together(config, output)
        # The probes of a cascade are of the judge that is asked last.
        judge = several.members[-1].judge_id if several and config.cascade.judges else ""
        return {"judge": judge, "composition": several, **by}
    if options.judge or "judge" not in config.model_fields_set:
        return {"judge": options.judge, **by}
    _, known = known_judge(config, output)
    return {"judge": known.judge_id, "votes": config.judge.votes, **by}


def _report(done: Publication, output: Store, reporter: Reporter) -> None:
    reporter.event("published" if done.live else "blocked", publication_fields(done, output))
    if (summary := gate_summary(done.manifest)) and done.live:
        reporter.note(summary)
    elif summary:
        sys.stderr.write(printable(f"{summary}\n"))


COMMAND = Command(
    name="publish",
    text="Publishes the labels of the input as it is now: derives each from one judge's votes, or\n"
    "those of several (aggregation.panel), by the section policy, writes an immutable snapshot,\n"
    "measures it, and swaps snapshots/LATEST.json, which readers follow, unless a threshold of\n"
    "the gate forbids it. Safe to run again at any point: readers see the snapshot before or the\n"
    "new one.",
    example="--input s3://bucket/pairs --output s3://bucket/labels",
    settings=PipelineConfig,
    example_setting="--publish.file_mb 512",
    add_options=_options,
    run=_run,
    exits=(0, 1, 2, 3, 4, 5),
    left="readers see what they saw; run the same command again",
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
