"""Exports a snapshot for trainers: ``python -m jobs.export --output URI --format NAME``."""

from __future__ import annotations

import argparse
import sys

from pipeline.export.export_run import export_snapshot
from pipeline.export.export_summary import export_fields, locate
from pipeline.export.format_registry import TRAINER_FORMATS
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import run_command
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.reporter import Reporter


def main(arguments: list[str] | None = None) -> int:
    """Runs the job; returns its exit code (see ``--help``)."""
    options = _parser().parse_args(arguments)
    return run_command(
        lambda: _run(options, Reporter()),
        "interrupted; no half export can be taken for a whole one; run the same command again",
    )


def _run(options: argparse.Namespace, reporter: Reporter) -> int:
    output, snapshot = locate(options.output, options.snapshot)
    if options.push_to_hub and len(options.format or []) > 1:
        raise ConfigError("--push-to-hub takes one --format: a dataset of the hub has one card")
    for name in options.format or [None]:
        chosen = [f"export.format={name}"] if name else []
        whole = load_config(PipelineConfig, options.config, [*options.set, *chosen])
        result = export_snapshot(
            output,
            options.input,
            snapshot,
            whole.export,
            reporter,
            columns=whole.input,
            workers=whole.workers,
        )
        reporter.event("exported", export_fields(result, output))
        if options.push_to_hub:
            from pipeline.export.hub_upload import push  # needs the hub's client alone

            pushed = push(output, result.record, options.push_to_hub, private=options.private)
            reporter.event("pushed", pushed)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.export",
        description="Writes the labels of a snapshot, joined with their pairs, as a trainer reads "
        "them: under exports/<snapshot>/<format>/, with a dataset card. Safe to run again: what is "
        "there is not written twice, and export.json, written last, says that it is whole.",
        epilog="exit codes: 0 done; 1 rows do not reconcile; 2 bad config, input or storage, or "
        "no row is left to export",
    )
    add = parser.add_argument
    add(
        "--snapshot",
        metavar="ID",
        default="LATEST",
        help="LATEST, an id or how it begins, or the URI of a snapshot's folder",
    )
    add("--output", metavar="URI", help="the output of jobs.label and jobs.publish")
    add(
        "--format",
        metavar="NAME",
        nargs="+",
        help=f"for which trainers: {', '.join(TRAINER_FORMATS)}",
    )
    add("--input", metavar="URI", help="the pairs, if they are not where the snapshot says")
    add("--config", metavar="FILE", help="YAML of a labeling job, with a section export")
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one setting, such as --set export.selection.min_confidence=0.9",
    )
    add("--push-to-hub", metavar="REPO", help="then upload it to this dataset of the hub")
    add("--private", action="store_true", help="make that dataset private if it is new")
    return parser


if __name__ == "__main__":
    sys.exit(main())
