"""Derives labels again from stored votes: ``pairmill derive --output URI --judge ID``."""

from __future__ import annotations

import sys

from pipeline.aggregation.derive import derive
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.steps import new_run_id
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--output", metavar="URI", required=True, help="the output of label")
    add("--judge", metavar="ID", required=True, help="the judge's id, or how it begins")
    add("--to", metavar="URI", help="another root for what is derived")
    add(
        "--calibration",
        metavar="FILE|card|none",
        default="card",
        help="a calibration's JSON or a card that holds one; card (default): that of the judge's\n"
        "card, if it has one; none: no p_a",
    )
    add("--pairs", action="store_true", help="make the groups of a ranking judge into their pairs")


def _run(call: Call[PipelineConfig]) -> int:
    options = call.options
    if wrong := [text for text in call.overrides if not text.startswith("policy.")]:
        raise ConfigError(f"--set {wrong[0]}: no vote is changed here; expected policy.key=value")
    config, target = call.config(), Store(options.to or options.output)
    with writer_lease(target, new_run_id(), config.lease_s, call.reporter) as lease:
        derive(
            options.output,
            options.judge,
            config.policy,
            call.reporter,
            lease,
            calibration=options.calibration,
            to_uri=options.to,
            pairs=options.pairs,
        )
    return 0


COMMAND = Command(
    name="derive",
    text="Derives a judge's labels again from its stored votes, under another policy, threshold\n"
    "or calibration. Needs no engine, and leaves the labels there as they are: what is derived\n"
    "goes to derived/judge=…/policy=…/, with derivation.json beside it. Safe to run again:\n"
    "parts that are there are kept.",
    example="--output s3://bucket/labels --judge 8edf5a70 --policy.min_confidence 0.8",
    settings=PipelineConfig,
    example_setting="--policy.threshold 0.8",
    add_options=_options,
    run=_run,
    exits=(0, 1, 2, 5),
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
