"""Draws pairs of a snapshot for people: ``pairmill audit --output URI --name NAME``."""

from __future__ import annotations

import sys
from typing import get_args

from pipeline.evaluation.audit import AuditRequest, By, draw_audit
from pipeline.gold.gold_sets import checked_name
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.steps import new_run_id
from pipeline.snapshots.manifests import LATEST, find_snapshot
from pipeline.snapshots.snapshot_reader import open_manifest
from pipeline.store.object_store import Store


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--output", metavar="URI", required=True, help="the output of label and publish")
    add("--name", metavar="NAME", required=True, help="of the gold set that is made")
    add("--snapshot", metavar="ID", default=LATEST, help="drawn from; by default the live one")
    add("--size", metavar="N", type=int, default=200, help="how many pairs (default 200)")
    add(
        "--by",
        choices=get_args(By),
        default="random",
        help="random (default): all with the same chance\n"
        "uncertainty: more often where a label is less sure; about as many as --size",
    )
    add("--seed", metavar="N", type=int, default=0, help="another one draws others (default 0)")
    add("--top-up", action="store_true", help="add pairs of shards that came since the last draw")
    add("--guideline", metavar="FILE", help="Markdown: what people are asked to decide by")


def _run(call: Call[PipelineConfig]) -> int:
    options, output = call.options, Store(call.options.output)
    call.config()
    if options.size < 1:
        raise ConfigError(f"--size: got {options.size}, expected at least 1")
    which = options.snapshot
    which = which if which == LATEST else find_snapshot(output, which)
    guideline = ""
    if options.guideline is not None:
        folder, _, file = options.guideline.rpartition("/")
        guideline = Store(folder or ".").read(file).decode("utf-8", "replace")
    name = checked_name(options.name, "--name")
    request = AuditRequest(name, options.size, options.by, options.seed, options.top_up, guideline)
    now, manifest = output.host.now().isoformat(timespec="seconds"), open_manifest(output, which)
    draw = draw_audit(output, manifest, request, now, new_run_id())
    assert draw.frame is not None
    fields = {"set": name, "pairs": len(draw.pairs), "of": draw.frame.pairs, "how": draw.how}
    call.reporter.event("drawn", {**fields, "snapshot": draw.frame.snapshot_id})
    call.reporter.note(
        f"pairmill gold export --output {output.uri} --name {name} --format label-studio --to FILE "
        f"has the tasks; then gold.set={name} measures audited_accuracy, and policy.max_error "
        "tests a bound"
    )
    return 0


COMMAND = Command(
    name="audit",
    text="Draws judged pairs of a snapshot to ask people about, with the probability of each, as\n"
    "a gold set. By their answers the gate measures audited_accuracy of the whole snapshot, and\n"
    "publish finds what keeps to policy.max_error. The same seed draws the same pairs.",
    example="--output s3://bucket/labels --name audit-1 --size 500",
    settings=PipelineConfig,
    example_setting="--input.layout trl",
    add_options=_options,
    run=_run,
    exits=(0, 2),
    left="nothing was stored, or the whole draw",
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
