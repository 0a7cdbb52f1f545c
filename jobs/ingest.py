"""Turns a public preference set, or any foreign files, into pair shards: ``pairmill ingest``."""

from __future__ import annotations

import sys

from pipeline.engines.engine_registry import layout_of
from pipeline.ingest.ingest import (
    IngestConfig,
    check_report,
    column_problems,
    describe_columns,
    ingest,
)
from pipeline.ingest.preview_source import preview_source
from pipeline.ingest.source_files import open_source
from pipeline.labeling.preview.show_preview import add_preview_option, show_preview
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.pairs.known_layouts import AUTO
from pipeline.pairs.layout_proposal import proposal
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import ConfigError, InputError
from pipeline.runtime.printable import printable
from pipeline.runtime.stop import stop_on_sigterm


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--source", metavar="SOURCE", help="hub id, file, glob or folder (source.path)")
    add("--output", metavar="URI", help="folder or s3://bucket/prefix for the shards")
    add("--inline-media", action="store_true", help="read media files into shards")
    add("--group-by", choices=("prompt",), help="rows of one prompt side by side (group_by)")
    add("--dry-run", action="store_true", help="show columns, write nothing")
    add_preview_option(parser)
    add(
        "--label-config",
        metavar="FILE",
        help="the judge that --preview shows pairs for, as label takes it\n"
        "(its defaults, and words in place of tokens)",
    )
    add("settings", nargs="*", metavar="KEY=VALUE", help="settings, as --set has them")


def _run(call: Call[IngestConfig]) -> int:
    options = call.options
    config = call.config(
        *(["output=none"] if options.preview else []),  # nothing is written
        *options.settings,
        *([f"source.path={options.source}"] if options.source else []),
        *([f"output={options.output}"] if options.output else []),
        *(["inline_media=true"] if options.inline_media else []),
        *([f"group_by={options.group_by}"] if options.group_by else []),
    )
    if options.preview:
        _preview(call, config)
    else:
        _show_columns(config) if options.dry_run else _ingest(config)
    return 0


def _preview(call: Call[IngestConfig], config: IngestConfig) -> None:
    file: str | None = call.options.label_config
    label = load_config(PipelineConfig, file, [] if file else ["engine.kind=scripted"])
    layout = layout_of(label.judge, label.engine)
    show_preview(preview_source(config, label, layout, call.options.preview), call.reporter)


def _show_columns(config: IngestConfig) -> None:
    source = open_source(config.source)
    if config.layout == AUTO:
        raise ConfigError(proposal(next(source.tables(), source.schema.empty_table()), source.name))
    _print(f"{source.name}: columns found -> fields of a pair")
    for line in describe_columns(config, source.schema):
        _print(f"  {line}")
    if problems := column_problems(config, source):
        raise InputError("\n  ".join(["the columns do not fit:", *problems]))


def _ingest(config: IngestConfig) -> None:
    if expressions := config.translated():
        _print(f"columns is read as this map: {expressions}")
    source = open_source(config.source)
    for column in config.mapping().unread(source.schema) if config.layout != AUTO else ():
        _print(f"note: column {column!r} is not read; if a judge is meant to see it, map it")

    def wrote(key: str, size: int) -> None:
        _print(f"wrote {key} ({size / 1e6:.1f} MB)")

    with stop_on_sigterm() as stop:
        report = ingest(config, wrote, source, stop)
    _print(
        f"{report.rows} rows in {len(report.shards)} shards ({report.bytes / 1e6:.1f} MB) "
        f"at {config.output}; {report.bad_rows} cannot be judged"
    )
    for reason, count in report.problems.most_common():
        _print(f"  {count} x {reason}: {', '.join(report.examples[reason])}")
    for cause, count in report.media_problems.most_common():
        _print(f"  {count} media not read: {cause}")
    check_report(config, report)


def _print(line: str) -> None:
    sys.stdout.write(printable(line) + "\n")


COMMAND = Command(
    name="ingest",
    text="Turns a public preference set, or any foreign files, into pair shards.",
    example="--config jobs/configs/ingest-vl-rewardbench.yaml --output s3://bucket/pairs",
    settings=IngestConfig,
    example_setting="--source.split validation",
    add_options=_options,
    run=_run,
    exits=(0, 2, 4),
    left="to start over, add --overwrite true",
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
