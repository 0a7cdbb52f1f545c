"""Calibrates a judge on gold pairs: ``pairmill calibrate --input URI --output URI``."""

from __future__ import annotations

import argparse
import math
import sys

from pipeline.aggregation.calibrate import calibrate
from pipeline.aggregation.cascade_choice import Prices
from pipeline.gold.people import read_people
from pipeline.labeling.cascade.propose_accepts import propose_accepts
from pipeline.labeling.known_judge import known_judge
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.steps import new_run_id
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease

_PEOPLE = 50  # times what the dearest judge costs


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--input", metavar="URI", required=True, help="the gold pairs, as they were labelled")
    add("--output", metavar="URI", required=True, help="the output of label on them")
    add(
        "--method",
        choices=("auto", "platt", "isotonic"),
        default="auto",
        help="auto (default): isotonic from about 1,000 gold pairs on, Platt below",
    )
    add("--folds", type=int, default=5, metavar="N", help="for cross-fitted figures (default 5)")
    add(
        "--cascade",
        action="store_true",
        help="fit nothing: propose each judge's policy.min_confidence in a cascade that is\n"
        "calibrated, by which judges and people cost least at policy.max_error",
    )
    add(
        "--prices",
        type=_prices,
        metavar="P,…",
        help="with --cascade: what each judge costs a pair, the last one last, in any unit",
    )
    add(
        "--people-price",
        type=float,
        metavar="P",
        help="what people cost who label a pair that no judge does (default 50 times the\n"
        "dearest judge)",
    )


def _prices(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(each) for each in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 <= each < math.inf for each in found):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a price of each judge, as 1,40")
    return found


def _run(call: Call[PipelineConfig]) -> int:
    options, config = call.options, call.config()
    output = Store(options.output)
    if options.cascade:
        return _propose(call, config, output)
    _, known = known_judge(config, output, call.reporter.note)
    with writer_lease(output, new_run_id(), config.lease_s, call.reporter) as lease:
        calibrate(
            config.judge,
            known.judge_id,
            config.input,
            options.input,
            options.output,
            call.reporter,
            lease,
            method=options.method,
            folds=options.folds,
            people=read_people(output, config.gold),
        )
    return 0


def _propose(call: Call[PipelineConfig], config: PipelineConfig, output: Store) -> int:
    options = call.options
    judges = options.prices or ()
    dear = _PEOPLE * max(judges, default=0.0)
    prices = Prices(judges, dear if options.people_price is None else options.people_price)
    with writer_lease(output, new_run_id(), config.lease_s, call.reporter):
        people = read_people(output, config.gold)
        propose_accepts(config, options.input, output, people, prices, call.reporter)
    return 0


COMMAND = Command(
    name="calibrate",
    text="Fits the probability that a human prefers response_a to a judge's votes about gold\n"
    "pairs, and stores it in the judge's card. Label the gold pairs first, with the same\n"
    "configuration; this reads the stored votes and starts no engine. With --cascade it proposes\n"
    "least confidences of a cascade's judges, and changes nothing.",
    example="--config jobs/configs/flex-vl-7b.yaml --input s3://bucket/gold "
    "--output s3://bucket/labels",
    settings=PipelineConfig,
    example_setting="--judge.candidates image",
    add_options=_options,
    run=_run,
    exits=(0, 2, 5),
    left="the card is as it was",
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
