"""Calibrates a judge on gold pairs that it has labelled: ``python -m jobs.calibrate``."""

from __future__ import annotations

import argparse
import sys

from pipeline.aggregation.calibrate import calibrate
from pipeline.engines.model_version import model_version
from pipeline.judging.judge_cards import judge_card
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import run_command
from pipeline.runtime.config_file import load_config
from pipeline.runtime.reporter import Reporter


def main(arguments: list[str] | None = None) -> int:
    """Runs the job; returns its exit code (0 done, 2 bad config, gold or storage)."""
    options = _parser().parse_args(arguments)
    return run_command(lambda: _run(options), "interrupted; nothing is stored; run it again")


def _run(options: argparse.Namespace) -> int:
    config = load_config(PipelineConfig, options.config, options.set)
    card = judge_card(config.judge, model_version(config.judge.model), config.engine.kind)
    calibrate(
        config.judge,
        card["judge_id"],
        config.input,
        options.input,
        options.output,
        Reporter(),
        method=options.method,
        folds=options.folds,
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.calibrate",
        description="Fits the probability that a human prefers response_a to a judge's votes "
        "about gold pairs, and stores it in the judge's card. Label the gold pairs with jobs.label "
        "first, with the same configuration; this reads the stored votes and starts no engine.",
        epilog="exit codes: 0 done; 2 bad config, gold or storage",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="YAML of the labeling job; built-in defaults without it"
    )
    parser.add_argument(
        "--input", metavar="URI", required=True, help="the gold pairs, as they were labelled"
    )
    parser.add_argument("--output", metavar="URI", required=True, help="where their labels are")
    parser.add_argument(
        "--method",
        choices=("auto", "platt", "isotonic"),
        default="auto",
        help="platt: a logistic of score gap and vote counts; isotonic: corrected by a monotone "
        "step function; auto (default): isotonic from 1,000 gold pairs on",
    )
    parser.add_argument(
        "--folds",
        type=int,
        default=5,
        help="the figures are of pairs that a fit to the other folds has not seen (default: 5)",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one setting, as for jobs.label",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
