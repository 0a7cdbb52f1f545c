"""The report of a run: ``pairmill report --output URI``."""

from __future__ import annotations

import sys

from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.report.run_records import newest_run
from pipeline.report.write_report import write_report
from pipeline.runtime.command import Call, Command, Parser
from pipeline.store.object_store import Store


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--output", metavar="URI", required=True, help="the output of label or nightly")
    add(
        "--run",
        metavar="ID",
        help="the run: the name of its folder under runs/; by default the newest",
    )
    add("--input", metavar="URI", help="the pairs, if they are not where the run found them")


def _run(call: Call[PipelineConfig]) -> int:
    options, config = call.options, call.config()
    output = Store(options.output)
    run_id = options.run or newest_run(output)
    reporter = call.reporter.of_run(run_id)
    write_report(output, options.input, run_id, None, config.report, reporter, columns=config.input)
    return 0


COMMAND = Command(
    name="report",
    text="Writes the report of a run: runs/<run>/report.html, one page that needs nothing else,\n"
    "and metrics.json, the same figures in one flat object. The nightly run does so by itself;\n"
    "this makes the report again, or that of a run of label or publish. Starts no engine and\n"
    "changes nothing else.",
    example="--output s3://bucket/labels",
    settings=PipelineConfig,
    example_setting="--report.gpu_usd_per_hour 2.5",
    add_options=_options,
    run=_run,
    exits=(0, 2),
    left="an earlier report may be still there",
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
