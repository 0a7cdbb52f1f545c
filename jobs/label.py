"""Labels preference pairs: ``pairmill label --config FILE --input URI --output URI``."""

from __future__ import annotations

import sys

from pipeline.engines.engine_registry import layout_of
from pipeline.labeling.cascade.cascade_run import label_tiers
from pipeline.labeling.planning.reopening import (
    add_rerender_option,
    add_retry_option,
    parse_kinds,
    parse_reasons,
)
from pipeline.labeling.planning.sample_plan import add_sample_options, sample_of
from pipeline.labeling.preview.preview_pairs import preview
from pipeline.labeling.preview.show_preview import (
    add_preview_option,
    note_first_pair,
    show_preview,
)
from pipeline.labeling.run_budget import add_budget_options, budget_settings
from pipeline.labeling.run_request import RunRequest
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.report.cascade_estimate import estimates
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.stop import stop_on_sigterm
from pipeline.snapshots.live_shards import live_shards
from pipeline.store.object_store import Store


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--input", metavar="URI", required=True, help="folder of pair shards, or one shard")
    add("--output", metavar="URI", required=True, help="where labels go")
    add_retry_option(parser)
    add_rerender_option(parser)
    add("--dry-run", action="store_true", help="print the plan and what it will cost, and stop")
    add_preview_option(parser)
    add_sample_options(parser)
    add_budget_options(parser)


def _run(call: Call[PipelineConfig]) -> int:
    options, config = call.options, call.config(*budget_settings(call.options))
    if options.preview is not None:
        layout = layout_of(config.judge, config.engine)
        show_preview(preview(config, options.input, layout, options.preview), call.reporter)
        return 0
    sample = sample_of(options)
    with stop_on_sigterm() as stop:
        request = RunRequest(
            dry_run=options.dry_run,
            retries=parse_reasons(options.retry_quarantined),
            rerender=parse_kinds(options.rerender),
            stop=stop,
            read_published=live_shards,
            sample=sample,
            budget=config.run_budget(),
        )
        where = (options.input, options.output, call.reporter)
        done = label_tiers(config, *where, request, explained_from=config.exported_from)
    output = Store(options.output)
    if options.dry_run:
        for text in estimates(done, output, config.report):
            call.reporter.note(text)
        note_first_pair(config, options.input, call.reporter)
    elif sample is not None:
        left = f"{done[0].plan['pairs_left_out']:,} pairs are left"
        for text in estimates(done, output, config.report, rest=True):
            call.reporter.note(f"{left}: {text}")
    return 0


COMMAND = Command(
    name="label",
    text="Judges every pair that this judge has not judged yet; safe to run again.",
    example="--config jobs/configs/flex-vl-7b.yaml --input s3://bucket/pairs "
    "--output s3://bucket/labels",
    settings=PipelineConfig,
    example_setting="--judge.sampling.temperature 0",
    add_options=_options,
    run=_run,
    exits=(0, 1, 2, 4, 5, 6),
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
