"""Checks before a run: ``pairmill doctor [--config FILE] [--input URI] [--output URI]``."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.text import Text

from pipeline.labeling.preflight.check import Check
from pipeline.labeling.preflight.preflight import preflight
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import run_command
from pipeline.runtime.config_file import load_config

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}
_FAILED = 2


def main(arguments: list[str] | None = None) -> int:
    """Runs the job; returns its exit code (0 nothing would stop a run, 2 something would)."""
    options = _parser().parse_args(arguments)
    return run_command(lambda: _run(options), "interrupted; run it again")


def _run(options: argparse.Namespace) -> int:
    config = load_config(PipelineConfig, options.config, options.set)
    checks = preflight(config, options.input, options.output, config.canary)
    console = Console(file=sys.stdout, soft_wrap=True, highlight=False)
    width = max(len(check.name) for check in checks)
    for check in checks:
        console.print(_line(check, width))
    failed = sum(check.state == "fail" for check in checks)
    console.print(_summary(failed, len(checks)))
    return _FAILED if failed else 0


def _line(check: Check, width: int) -> Text:
    line = Text.assemble(
        (f"{check.state:<8}", _STYLES[check.state]), f"{check.name:<{width}}  {check.found}"
    )
    if check.advice:
        line.append(f"\n{'':{8 + width}}  -> {check.advice}")
    return line


def _summary(failed: int, count: int) -> str:
    if failed:
        return f"\n{failed} of {count} checks failed: they would stop a run"
    return f"\n{count} checks, none failed"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pairmill doctor",
        description="Checks in a few seconds what would stop a run: software, memory, Ray, rights "
        "on the stores, weights. Starts no engine; writes two small objects under OUTPUT/doctor.",
        epilog="example: pairmill doctor --config jobs/configs/nightly.yaml --input "
        "s3://bucket/pairs --output s3://bucket/labels; exit codes: 0 nothing would stop a run; "
        "2 something would, or bad config",
    )
    add = parser.add_argument
    add("--config", metavar="FILE", help="YAML; built-in defaults without it")
    add("--input", metavar="URI", help="folder of pair shards; not checked without it")
    add("--output", metavar="URI", help="where labels go; not checked without it")
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one setting, as for the run",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
