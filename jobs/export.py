"""Exports a snapshot for trainers: ``pairmill export --output URI --format NAME``."""

from __future__ import annotations

import sys

from pipeline.export.export_run import export_snapshot
from pipeline.export.export_summary import export_fields, locate
from pipeline.export.formats.format_registry import TRAINER_FORMATS
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.errors import ConfigError


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--output", metavar="URI", help="the output of label and publish")
    add(
        "--snapshot",
        metavar="ID",
        default="LATEST",
        help="LATEST, an id or how it begins, or the URI of a snapshot's folder",
    )
    names = ", ".join(TRAINER_FORMATS)
    add("--format", metavar="NAME", nargs="+", help=f"for which trainers:\n{names}")
    add("--input", metavar="URI", help="the pairs, if they are not where the snapshot says")
    add(
        "--push-to-hub",
        metavar="REPO",
        help="then upload it to this dataset of the hub, in place of the push before",
    )
    add("--private", action="store_true", help="make that dataset private if it is new")


def _run(call: Call[PipelineConfig]) -> int:
    options, reporter = call.options, call.reporter
    output, snapshot = locate(options.output, options.snapshot)
    if options.push_to_hub and len(options.format or []) > 1:
        raise ConfigError("--push-to-hub takes one --format: a dataset of the hub has one card")
    for name in options.format or [None]:
        config = call.config(*[f"export.format={name}"] if name else [])
        result = export_snapshot(
            output,
            options.input,
            snapshot,
            config.export,
            reporter,
            columns=config.input,
            workers=config.workers,
        )
        reporter.event("exported", export_fields(result, output))
        if options.push_to_hub:
            from pipeline.export.hub_upload import push  # needs the hub's client alone

            pushed = push(output, result.record, options.push_to_hub, private=options.private)
            reporter.event("pushed", pushed)
    return 0


COMMAND = Command(
    name="export",
    text="Writes the labels of a snapshot, joined with their pairs, as a trainer reads them:\n"
    "under exports/<snapshot>/<format>/, with a dataset card. Safe to run again: what is there\n"
    "is not written twice, and export.json, written last, says that it is whole.",
    example="--output s3://bucket/labels --format trl-dpo --export.selection.min_confidence 0.8",
    settings=PipelineConfig,
    example_setting="--export.selection.min_confidence 0.9",
    add_options=_options,
    run=_run,
    exits=(0, 1, 2, 5),
    left="an unfinished export has no export.json; run the same command again",
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
