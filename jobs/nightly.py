"""The nightly run: ``pairmill nightly --config FILE --input URI --output URI``."""

from __future__ import annotations

import sys

from pipeline.labeling.cascade.cascade_run import label_tiers
from pipeline.labeling.planning.reopening import (
    add_rerender_option,
    add_retry_option,
    parse_kinds,
    parse_reasons,
)
from pipeline.labeling.preview.show_preview import note_first_pair
from pipeline.labeling.run_budget import add_budget_options, budget_settings
from pipeline.labeling.run_request import RunRequest
from pipeline.nightly.exit_metrics import exit_reported
from pipeline.nightly.night import night_report, run_night
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.report.cascade_estimate import estimates
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.stop import stop_on_sigterm
from pipeline.snapshots.live_shards import live_shards
from pipeline.store.object_store import Store


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--input", metavar="URI", required=True, help="folder of pair shards")
    add("--output", metavar="URI", required=True, help="where labels and snapshots go")
    add_retry_option(parser)
    add_rerender_option(parser)
    add("--dry-run", action="store_true", help="print the plan and what it will cost, and stop")
    add_budget_options(parser)


def _run(call: Call[PipelineConfig]) -> int:
    options, reporter = call.options, call.reporter
    config = call.config(*budget_settings(options))
    where = (options.input, options.output)
    retries, rerender = parse_reasons(options.retry_quarantined), parse_kinds(options.rerender)
    if options.dry_run:
        request = RunRequest(
            dry_run=True,
            retries=retries,
            rerender=rerender,
            canary=config.canary,
            read_published=live_shards,
        )
        explained_from = config.exported_from
        done = label_tiers(config, *where, reporter, request, explained_from=explained_from)
        for text in estimates(done, Store(options.output), config.report):
            reporter.note(text)
        note_first_pair(config, options.input, reporter)
        return 0
    with stop_on_sigterm() as stop, exit_reported(config.metrics) as outcome:
        report = night_report(config, options.input, reporter)
        outcome.exit_code = run_night(
            config,
            *where,
            reporter,
            retries=retries,
            rerender=rerender,
            stop=stop,
            report=report,
        )
    return outcome.exit_code


COMMAND = Command(
    name="nightly",
    text="Brings labels and snapshot up to the input: judges what is new, changed or stale,\n"
    "publishes a snapshot unless the gate forbids it, runs exports and hooks, and reports.\n"
    "Safe to run again at any point: it goes on where it was ended.",
    example="--config jobs/configs/nightly.yaml --input s3://bucket/pairs "
    "--output s3://bucket/labels",
    settings=PipelineConfig,
    example_setting="--gate.at_most.tie 0.25",
    add_options=_options,
    run=_run,
    exits=(0, 1, 2, 3, 4, 5, 6),
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
