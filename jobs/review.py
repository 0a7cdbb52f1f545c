"""The page to browse labels: ``pairmill review --output URI``."""

from __future__ import annotations

import sys

from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.review.review_server import serve
from pipeline.review.reviewed_output import Reviewed
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.reporter import Reporter
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
    how = (options.input, config.input, options.memory_mb * 2**20, options.snapshot)
    reviewed = Reviewed(Store(options.output), *how)
    serve(
        reviewed,
        options.host,
        options.port,
        lambda address: _tell(call.reporter, reviewed, address),
        network=options.allow_network,
    )
    return 0


def _tell(reporter: Reporter, reviewed: Reviewed, address: str) -> None:
    first = reviewed.first
    reporter.event("serving", {"labels": first.title, "rows": first.columns.rows})
    sys.stdout.write(f"{address}\n")  # not by the reporter, which shows no tokens
    sys.stdout.flush()


COMMAND = Command(
    name="review",
    text="Serves a page on which to browse every label of an output in a browser: rows by filters\n"
    "that combine, a pair with its pictures, both responses and every vote, text search, and\n"
    "where two judges or two snapshots differ. Reads snapshot, parts and pairs as they are and\n"
    "changes nothing. Open the address that it prints, which holds a token; with\n"
    "PAIRMILL_REVIEW_TOKEN in the environment addresses outlive a restart. Ctrl-C ends it.",
    example="--output s3://bucket/labels",
    settings=PipelineConfig,
    example_setting="--input.media_roots '[/data/pictures]'",
    add_options=_options,
    run=_run,
    exits=(0, 2, 130),
    interrupted="the server has ended",
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
