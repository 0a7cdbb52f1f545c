"""The nightly run: ``python -m jobs.nightly --config FILE --input URI --output URI``."""

from __future__ import annotations

import argparse
import sys

from pipeline.labeling.label_run import label
from pipeline.labeling.retries import parse_reasons
from pipeline.nightly.exit_metrics import exit_reported
from pipeline.nightly.night import night_report, run_night
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import run_command
from pipeline.runtime.config_file import load_config
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.stop import stop_on_sigterm
from pipeline.snapshots.live_shards import live_shards


def main(arguments: list[str] | None = None) -> int:
    """Runs the job; returns its exit code (see ``--help``)."""
    options = _parser().parse_args(arguments)
    return run_command(
        lambda: _run(options), "interrupted; the same command goes on where this night stopped"
    )


def _run(options: argparse.Namespace) -> int:
    config = load_config(PipelineConfig, options.config, options.set)
    where, retries = (options.input, options.output), parse_reasons(options.retry_quarantined)
    if options.dry_run:
        label(
            config,
            *where,
            Reporter(),
            dry_run=True,
            retries=retries,
            canary=config.canary,
            read_published=live_shards,
        )
        return 0
    with stop_on_sigterm() as stop, exit_reported(config.metrics) as outcome:
        reporter = Reporter()
        report = night_report(config, options.input, reporter)
        outcome.exit_code = run_night(
            config, *where, reporter, retries=retries, stop=stop, report=report
        )
    return outcome.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.nightly",
        description="Brings labels and snapshot up to the input: judges what is new, changed or "
        "stale, publishes a snapshot unless the gate forbids it, runs exports and hooks, and "
        "reports. Safe to run again at any point: it goes on where it was ended.",
        epilog="exit codes: 0 done, also if there was nothing to do; 1 a hook failed, or rows do "
        "not reconcile; 2 bad config, input or storage; 3 the gate has refused the snapshot; 4 too "
        "many rows quarantined, nothing published; 5 another night holds the lease; 143 stopped by "
        "SIGTERM",
    )
    add = parser.add_argument
    add("--config", metavar="FILE", help="YAML of all steps; built-in defaults without it")
    add("--input", metavar="URI", required=True, help="folder of pair shards")
    add("--output", metavar="URI", required=True, help="where labels and snapshots go")
    add(
        "--retry-quarantined",
        metavar="REASON",
        nargs="*",
        help="judge quarantined rows again: those of these reasons, or all of them",
    )
    add("--dry-run", action="store_true", help="print the plan and stop")
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one setting, such as --set gate.at_most.tie=0.3",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
