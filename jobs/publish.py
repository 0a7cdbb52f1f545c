"""Publishes labels: ``python -m jobs.publish --input URI --output URI``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import run_command
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import new_run_id
from pipeline.snapshots.gate import gate_for
from pipeline.snapshots.gate_checks import gate_summary
from pipeline.snapshots.publish_snapshot import publish
from pipeline.snapshots.quality.canary_agreement import Canary
from pipeline.snapshots.quality.measure_snapshot import measure_again, quality_fields
from pipeline.snapshots.retention import retain
from pipeline.snapshots.rollback import roll_back
from pipeline.snapshots.snapshot_summary import listing, publication_fields
from pipeline.store.object_store import Store

_BLOCKED = 3


def main(arguments: list[str] | None = None) -> int:
    """Runs the job; returns its exit code (see ``--help``)."""
    options = _parser().parse_args(arguments)
    return run_command(
        lambda: _run(options, Reporter()),
        "interrupted; readers see what they saw; run the same command again",
    )


def _run(options: argparse.Namespace, reporter: Reporter) -> int:
    overrides = [*options.set, *["publish.allow_missing=true"] * options.allow_missing]
    whole = load_config(PipelineConfig, options.config, overrides)
    config, run_id, output = whole.publish, new_run_id(), Store(options.output)
    reporter = reporter.of_run(run_id)
    asked = (options.input, options.rollback, options.measure, options.list)
    if not any(asked) and options.keep is None:
        wanted = "--input to publish, --rollback, --measure, --keep or --list"
        raise ConfigError(f"nothing to do: give {wanted}")
    if options.input and options.rollback:
        raise ConfigError("--input publishes and --rollback goes back: give one of the two")
    done = None
    if options.input:
        gold = whole.canary.input
        canary = Canary(None, gold, whole.canary.read_as(whole.input)) if gold else None
        done = publish(
            options.input,
            output,
            options.judge,
            config,
            reporter,
            run_id,
            max_bad_shards=whole.quarantine.max_shards,
            gate=gate_for(whole.gate, whole.quality, whole.input, canary, reporter),
        )
    if options.rollback:
        done = roll_back(output, options.rollback, config, reporter, run_id)
    if done is not None:
        reporter.event("published" if done.live else "blocked", publication_fields(done, output))
        if (summary := gate_summary(done.manifest)) and done.live:
            reporter.note(summary)
        elif summary:
            sys.stderr.write(f"{summary}\n")
    if options.measure:
        measured = measure_again(output, options.measure, whole.quality, whole.input, reporter)
        reporter.event("measured", quality_fields(measured))
    if options.keep is not None:
        kept = retain(output, options.keep, config, reporter, run_id)
        reporter.event("retention", asdict(kept))
    if options.list:
        for fields in listing(output):
            reporter.event("snapshot", fields)
    return 0 if done is None or done.live else _BLOCKED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.publish",
        description="Publishes the labels of the input as it is now: compacts one judge's parts "
        "into an immutable snapshot, measures it, and swaps snapshots/LATEST.json, which readers "
        "follow, unless a threshold of the gate forbids it. Safe to run again at any point: "
        "readers see the snapshot before or the new one.",
        epilog="exit codes: 0 done; 1 rows do not reconcile; 2 bad config, input or storage; "
        "3 the gate has refused this snapshot; 4 too many unreadable shards; 5 another run "
        "publishes, or was faster",
    )
    add = parser.add_argument
    add("--input", metavar="URI", help="the pairs, as they were labelled; publishes")
    add("--output", metavar="URI", required=True, help="the output of jobs.label")
    add(
        "--judge",
        metavar="ID",
        default="",
        help="whose labels: its id, or how that begins; of one judge, its own",
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
        help="then remove all but the newest N, the live one and "
        "the one before it; needs the right to delete",
    )
    add("--measure", metavar="ID", help="measure this snapshot again, into its quality.json")
    add("--list", action="store_true", help="list the snapshots, when all else is done")
    add(
        "--config",
        metavar="FILE",
        help="YAML of a labeling job, with sections publish, quality and gate",
    )
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one setting, such as --set publish.file_mb=512",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
