"""Shows pairs as the judge will see them: ``pairmill preview --input URI``."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.engines.engine_registry import layout_of
from pipeline.labeling.preview.preview_page import preview_page
from pipeline.labeling.preview.preview_pairs import Preview, preview
from pipeline.labeling.preview.show_preview import positive, show_preview
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.errors import InputError

_PAIRS = 3


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--input", metavar="URI", required=True, help="folder of pair shards, or one shard")
    add("-n", dest="count", metavar="N", type=positive, default=_PAIRS, help="how many rows (3)")
    add(
        "--row",
        dest="rows",
        metavar="SHARD:ROW",
        action="append",
        default=[],
        help="a row by its shard and its number from 0; may be given more than once",
    )
    add("--html", metavar="FILE", help="write a page with the pictures instead of text")


def _run(call: Call[PipelineConfig]) -> int:
    options, config = call.options, call.config()
    layout = layout_of(config.judge, config.engine)
    found = preview(config, options.input, layout, options.count, options.rows)
    if options.html:
        _write(found, options.html)
        call.reporter.note(f"{len(found.pairs)} rows in {options.html}")
    else:
        show_preview(found, call.reporter)
    return 0


def _write(found: Preview, file: str) -> None:
    try:
        Path(file).write_text(preview_page(found), encoding="utf-8")
    except OSError as error:
        raise InputError(f"--html {file}: cannot be written ({error})") from error


COMMAND = Command(
    name="preview",
    text="Shows pairs exactly as the judge will see them: turns, pictures, length and gold, and\n"
    "which columns nothing reads. Starts no engine and judges nothing.",
    example="--config jobs/configs/laptop.yaml --input pairs/ --html preview.html",
    settings=PipelineConfig,
    example_setting="--input.layout trl",
    add_options=_options,
    run=_run,
    exits=(0, 1, 2),
    left="run it again",
    log="text",
)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code (see ``--help``)."""
    return COMMAND.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
