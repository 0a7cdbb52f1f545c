"""Labels preference pairs: ``python -m jobs.label --config FILE --input URI --output URI``."""

from __future__ import annotations

import argparse
import sys

from pipeline.labeling.label_run import label
from pipeline.labeling.retries import parse_reasons
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import run_command
from pipeline.runtime.config_file import load_config
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.stop import stop_on_sigterm
from pipeline.snapshots.live_shards import live_shards


def main(arguments: list[str] | None = None) -> int:
    """Runs the job; returns its exit code (0 done, 2 bad config or input, 4 quarantined)."""
    options = _parser().parse_args(arguments)
    return run_command(
        lambda: _run(options), "interrupted; the same command goes on where this run stopped"
    )


def _run(options: argparse.Namespace) -> int:
    config = load_config(PipelineConfig, options.config, options.set)
    with stop_on_sigterm() as stop:
        label(
            config,
            options.input,
            options.output,
            Reporter(),
            dry_run=options.dry_run,
            retries=parse_reasons(options.retry_quarantined),
            read_published=live_shards,
            stop=stop,
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.label",
        description="Judges every pair that this judge has not judged yet; safe to run again.",
        epilog="exit codes: 0 done; 2 bad config, input or storage; 4 too many quarantined; "
        "143 stopped by SIGTERM: run it again, and it goes on",
    )
    parser.add_argument("--config", metavar="FILE", help="YAML; built-in defaults without it")
    parser.add_argument("--input", metavar="URI", required=True, help="folder of pair shards")
    parser.add_argument("--output", metavar="URI", required=True, help="where labels go")
    parser.add_argument(
        "--retry-quarantined",
        metavar="REASON",
        nargs="*",
        help="judge quarantined rows again: those of these reasons, or all of them",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one setting, such as --set judge.sampling.temperature=0",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
