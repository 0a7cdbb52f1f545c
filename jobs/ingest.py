"""Turns a public preference set, or any foreign files, into pair shards.

python -m jobs.ingest --config jobs/configs/ingest-vl-rewardbench.yaml --output s3://bucket/pairs
"""

from __future__ import annotations

import argparse
import sys

from pipeline.ingest.ingest import (
    IngestConfig,
    check_report,
    column_problems,
    describe_columns,
    ingest,
)
from pipeline.ingest.source_files import open_source
from pipeline.runtime.command import run_command
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m jobs.ingest", description=__doc__)
    parser.add_argument("--config", help="YAML file, such as jobs/configs/ingest-rlaif-v.yaml")
    parser.add_argument("--source", help="hub id, file, glob or folder (source.path)")
    parser.add_argument("--output", help="folder or s3://bucket/prefix for the shards")
    parser.add_argument("--inline-media", action="store_true", help="read media files into shards")
    parser.add_argument("--dry-run", action="store_true", help="show columns, write nothing")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    given = parser.parse_args(arguments)
    overrides = [
        *given.overrides,
        *([f"source.path={given.source}"] if given.source else []),
        *([f"output={given.output}"] if given.output else []),
        *(["inline_media=true"] if given.inline_media else []),
    ]
    return run_command(
        lambda: _run(given, overrides), "interrupted; to begin anew, add overwrite=true"
    )


def _run(given: argparse.Namespace, overrides: list[str]) -> int:
    config = load_config(IngestConfig, given.config, overrides)
    _show_columns(config) if given.dry_run else _ingest(config)
    return 0


def _show_columns(config: IngestConfig) -> None:
    source = open_source(config.source)
    _say(f"{source.name}: columns found -> pairs v1")
    for line in describe_columns(config, source.schema):
        _say(f"  {line}")
    if problems := column_problems(config, source):
        raise InputError("\n  ".join(["the columns do not fit pairs v1:", *problems]))


def _ingest(config: IngestConfig) -> None:
    report = ingest(config, lambda key, size: _say(f"wrote {key} ({size / 1e6:.1f} MB)"))
    _say(
        f"{report.rows} rows in {len(report.shards)} shards ({report.bytes / 1e6:.1f} MB) "
        f"at {config.output}; {report.bad_rows} cannot be judged"
    )
    for reason, count in report.problems.most_common():
        _say(f"  {count} x {reason}: {', '.join(report.examples[reason])}")
    for cause, count in report.media_problems.most_common():
        _say(f"  {count} media not read: {cause}")
    check_report(config, report)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
