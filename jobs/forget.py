"""Takes pairs down: ``pairmill forget --output URI --pairs FILE``."""

from __future__ import annotations

import sys

from pipeline.aggregation.composition import Composition
from pipeline.aggregation.policy import PolicyConfig
from pipeline.nightly.judges_together import judges_together
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.retention.forget import Forgetting, NewStates, forgotten_fields
from pipeline.retention.forget_file import read_named
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.steps import new_run_id
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("--output", metavar="URI", required=True, help="the output of label and publish")
    add(
        "--pairs",
        metavar="FILE",
        required=True,
        help="which: one pair_id or pair_hash a line; or .csv or .jsonl with pair_id, pair_hash,\n"
        "or shard and row",
    )
    add("--apply", action="store_true", help="forget them; without, only say where they are")


def _run(call: Call[PipelineConfig]) -> int:
    options, config, run_id = call.options, call.config(), new_run_id()
    output, reporter = Store(options.output), call.reporter.of_run(run_id)
    named = read_named(options.pairs)
    if not options.apply:
        forgetting = Forgetting(output, named, config.input)
        for removal in forgetting.plan():
            fields = {"kind": removal.kind, "name": removal.thing.name, "why": removal.why}
            reporter.event("would remove", fields)
        reporter.event("found", {"rows": forgetting.rows})
        for note in forgetting.notes():
            reporter.note(note)
        reporter.note("nothing was changed; --apply forgets them")
        return 0
    with writer_lease(output, run_id, config.lease_s, reporter) as lease:
        forgetting = Forgetting(output, named, config.input)

        def composition(policy: PolicyConfig) -> Composition | None:
            # The policy of a cascade is of its last judge; the live bound is of all labels.
            own = {} if config.cascade.judges else {"policy": policy}
            return judges_together(config.model_copy(update=own), output)

        states = (config.policy, config.publish, config.input)
        how = NewStates(*states, composition=composition)
        removed = forgetting.apply(how, reporter, lease)
    reporter.event("forgotten", {"rows": forgetting.rows, **forgotten_fields(removed)})
    for note in forgetting.notes():
        reporter.note(note)
    return 0


COMMAND = Command(
    name="forget",
    text="Takes named pairs down: their votes, labels, snapshots, exports, and reports that show\n"
    "them. New states without them come first, then the old ones are removed; a record of salted\n"
    "hashes keeps later nightly runs from judging them again. Needs the right to delete, and\n"
    "the --config of these runs. Safe to run again at any point: it goes on where it was ended.",
    example="--output s3://bucket/labels --pairs pairs.txt --config jobs/configs/nightly.yaml "
    "--apply",
    settings=PipelineConfig,
    example_setting="--policy.threshold 0.9",
    add_options=_options,
    run=_run,
    exits=(0, 1, 2, 5),
)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code (see ``--help``)."""
    return COMMAND.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
