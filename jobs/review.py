"""The page to browse labels: ``pairmill review --output URI``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.gold.gold_sets import checked_name
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.review.new_set import NewSet, make_set
from pipeline.review.review_server import serve
from pipeline.review.reviewed_output import Reviewed
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import new_run_id
from pipeline.store.object_store import Store


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--output", metavar="URI", required=True, help="the output of label or nightly")
    add("--input", metavar="URI", help="the pairs, if they are not where the run found them")
    add("--snapshot", metavar="ID", help="the snapshot to browse; by default the live one")
    add("--port", metavar="N", type=int, default=8765, help="0 takes any that is free")
    add("--host", metavar="ADDRESS", default="127.0.0.1", help="default: this machine alone")
    add(
        "--allow-network",
        action="store_true",
        help="allow a --host that others on the network can reach",
    )
    add("--new-set", metavar="NAME", help="first make a gold set of pairs that are labelled\n"
        "otherwise by --against, drawn at random among these")  # fmt: skip
    add("--against", metavar="LABELS", help="a snapshot's id, or judge-ID; by default the snapshot"
        "\nbefore, or else the other judge")  # fmt: skip
    add("--size", metavar="N", type=int, default=200, help="pairs of the set (%(default)s)")
    add("--seed", metavar="N", type=int, default=0, help="another one draws other pairs")
    add("--guideline", metavar="FILE", help="Markdown that annotators read on top of the page")
    add("--twice", metavar="SHARE", type=float, default=0.2,
        help="how many pairs two people answer (%(default)s)")  # fmt: skip
    add("--adjudicator", metavar="NAME", action="append", default=[],
        help="who is asked about pairs on which others differ")  # fmt: skip
    add(
        "--memory-mb",
        metavar="N",
        type=int,
        default=1_024,
        help="what the columns that are filtered by may take; of more rows they are read again\n"
        "for each page",
    )


def _run(call: Call[PipelineConfig]) -> int:
    options, config = call.options, call.config()
    how = (options.input, config.input, options.memory_mb * 2**20, options.snapshot, config.gold)
    reviewed = Reviewed(Store(options.output), *how)
    if options.new_set:
        gold = make_set(reviewed, _new_set(options), new_run_id())
        call.reporter.event("gold set", {"name": gold.name, "pairs": len(gold.pairs)})
    serve(
        reviewed,
        options.host,
        options.port,
        lambda address: _tell(call.reporter, reviewed, address),
        network=options.allow_network,
    )
    return 0


def _new_set(options: argparse.Namespace) -> NewSet:
    guideline = ""
    if options.guideline:
        try:
            guideline = Path(options.guideline).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--guideline {options.guideline}: {error}") from error
    return NewSet(
        checked_name(options.new_set, "--new-set"),
        options.size,
        options.seed,
        guideline,
        options.twice,
        options.against,
        tuple(checked_name(who, "--adjudicator") for who in options.adjudicator),
    )


def _tell(reporter: Reporter, reviewed: Reviewed, address: str) -> None:
    first = reviewed.first
    reporter.event("serving", {"labels": first.title, "rows": first.columns.rows})
    sys.stdout.write(f"{address}\n")  # not by the reporter, which shows no tokens
    sys.stdout.flush()


COMMAND = Command(
    name="review",
    text="Serves a page on which to browse every label of an output in a browser: rows by filters\n"
    "that combine, a pair with its pictures, both responses and every vote, text search, and\n"
    "where two judges or two snapshots differ; and on which annotators answer gold sets. Reads\n"
    "snapshot, parts and pairs as they are, and writes under gold/ alone. Open the address that\n"
    "it prints, which holds a token; with PAIRMILL_REVIEW_TOKEN in the environment addresses\n"
    "outlive a restart. Ctrl-C ends it.",
    example="--output s3://bucket/labels",
    settings=PipelineConfig,
    example_setting="--input.layout trl",
    add_options=_options,
    run=_run,
    exits=(0, 2),
    left="the server has ended",
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
