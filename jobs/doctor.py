"""Checks before a run: ``pairmill doctor [--config FILE] [--input URI] [--output URI]``."""

from __future__ import annotations

import dataclasses
import sys

from rich.console import Console
from rich.text import Text

from pipeline.labeling.preflight.check import Check
from pipeline.labeling.preflight.preflight import preflight
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.printable import printable

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}
_FAILED = 2


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--input", metavar="URI", help="folder of pair shards; not checked without it")
    add("--output", metavar="URI", help="where labels go; not checked without it")


def _run(call: Call[PipelineConfig]) -> int:
    config = call.config()
    checks = preflight(config, call.options.input, call.options.output, config.canary)
    failed = sum(check.state == "fail" for check in checks)
    if call.reporter.style == "json":
        for check in checks:
            call.reporter.event("check", dataclasses.asdict(check))
    else:
        console = Console(file=sys.stdout, soft_wrap=True, highlight=False)
        width = max(len(check.name) for check in checks)
        for check in checks:
            console.print(_line(check, width))
        console.print(_summary(failed, len(checks)))
    return _FAILED if failed else 0


def _line(check: Check, width: int) -> Text:
    found = printable(check.found)
    line = Text.assemble(
        (f"{check.state:<8}", _STYLES[check.state]),
        f"{check.name:<{width}}  {found}",
    )
    if check.advice:
        line.append(f"\n{'':{8 + width}}  -> {printable(check.advice)}")
    return line


def _summary(failed: int, count: int) -> str:
    if failed:
        return f"\n{failed} of {count} checks failed: they would stop a run"
    return f"\n{count} checks, none failed"


COMMAND = Command(
    name="doctor",
    text="Checks in a few seconds what would stop a run: software, memory, Ray, rights on the\n"
    "stores, weights. Starts no engine; writes two small objects under OUTPUT/doctor.",
    example="--config jobs/configs/nightly.yaml --input s3://bucket/pairs "
    "--output s3://bucket/labels",
    settings=PipelineConfig,
    example_setting="--workers.max 4",
    add_options=_options,
    run=_run,
    exits=(0, 2),
    left="run it again",
    log="text",
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
