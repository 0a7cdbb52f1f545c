"""Derives labels again from stored votes: ``python -m jobs.derive --output URI --judge ID``."""

from __future__ import annotations

import argparse
import sys

from pipeline.aggregation.derive import derive
from pipeline.aggregation.policy import PolicyConfig
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import run_command
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.reporter import Reporter


def main(arguments: list[str] | None = None) -> int:
    """Runs the job; returns its exit code (0 done, 1 does not reconcile, 2 bad config or input)."""
    options = _parser().parse_args(arguments)
    return run_command(
        lambda: _run(options), "interrupted; the same command goes on where this run stopped"
    )


def _run(options: argparse.Namespace) -> int:
    derive(
        options.output,
        options.judge,
        _policy(options.config, options.set),
        Reporter(),
        calibration=options.calibration,
        to_uri=options.to,
        pairs=options.pairs,
    )
    return 0


def _policy(path: str | None, overrides: list[str]) -> PolicyConfig:
    if wrong := [text for text in overrides if not text.startswith("policy.")]:
        raise ConfigError(f"--set {wrong[0]}: no vote is changed here; expected policy.key=value")
    return load_config(PipelineConfig, path, overrides).policy


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.derive",
        description="Derives a judge's labels again from its stored votes, under another policy, "
        "threshold or calibration. Needs no engine, and leaves the labels there as they are: what "
        "is derived goes to derived/judge=…/policy=…/, with derivation.json beside it. Safe to "
        "run again: parts that are there are kept.",
        epilog="exit codes: 0 done; 1 rows do not reconcile; 2 bad config, input or storage",
    )
    add = parser.add_argument
    add("--output", metavar="URI", required=True, help="the output of jobs.label")
    add("--judge", metavar="ID", required=True, help="the judge's id, or how it begins")
    add("--to", metavar="URI", help="another root for what is derived")
    add("--config", metavar="FILE", help="YAML of a labeling job, for its policy section")
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="one setting of the policy, such as --set policy.threshold=0.95",
    )
    add(
        "--calibration",
        metavar="FILE|card|none",
        default="card",
        help="a calibration's JSON or a card that holds one; card (default): that of the judge's "
        "card, if it has one; none: no p_a",
    )
    add("--pairs", action="store_true", help="make the groups of a ranking judge into their pairs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
