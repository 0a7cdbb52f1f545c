"""Compares what is stored at the end of a run with the plan, and with the limits of quarantine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.labeling.label_config import QuarantineConfig
from pipeline.labeling.planning.plan import Plan
from pipeline.labeling.planning.shard_planner import ShardPlan
from pipeline.parts.commit import shard_parts
from pipeline.parts.units import subtract
from pipeline.runtime.errors import QuarantineError, ReconcileError
from pipeline.runtime.fault_blocks import fault_blocks
from pipeline.runtime.stop import Stop
from pipeline.store.object_store import Store
from schemas.labels import NOT_ASKED, Reason

_THREADS = 16
_LOOKS_AGAIN_S = (0.2, 0.5, 1, 1, 2, 2, 3)  # for parts that a listing does not have yet


def check_coverage(plan: Plan, output: Store, judge_id: str, stop: Stop) -> None:
    """Checks that every row of every shard is in exactly one part, or each that was to be judged.

    The latter where the plan leaves rows to another run. What is missing is looked for again: a
    store may list what has just been written a little later.

    Args:
        plan: what was to be judged.
        output: where the parts are.
        judge_id: whose.
        stop: knows whether the run has lost its lease: what others have done since, such as to
            remove parts of a shard that was rewritten, is then why they do not reconcile.

    Raises:
        ReconcileError: a row that was judged is in no part, or a row of any shard is in two, which
            two runs at once can cause.
        LeaseLostError: the same, of a run that has lost its lease.
    """

    def gaps(shard: ShardPlan) -> list[str]:
        ranges = shard_parts(output, judge_id, shard.units[0].shard_key).ranges
        units = [(unit.start, unit.stop) for unit in shard.units]
        return [
            f"{shard.entry.key}: rows {start} to {stop} are in no part"
            for start, stop in subtract(units if plan.left_out else [(0, shard.rows)], ranges)
        ]

    with output.host.pool(_THREADS) as pool:
        missing = [shard for shard in plan.shards if shard.units]
        for pause_s in (0, *_LOOKS_AGAIN_S):
            if missing and pause_s:
                output.host.sleep(pause_s)
            found = list(zip(missing, pool.map(gaps, missing), strict=True))
            missing = [shard for shard, lines in found if lines]
    wrong = [line for _, lines in found for line in lines]
    wrong += [f"{key}: its rows are in other parts too; it does not count" for key in plan.doubled]
    if wrong:
        stop.check_fault()
        shown = "\n  ".join(wrong[:20])
        raise ReconcileError(
            f"parts under {output.uri} do not reconcile:\n  {shown}\n"
            "was another run writing to the same output? of parts that overlap, the one counts "
            "that starts first, or else is longer: remove those named, and run again"
        )


def check_quarantine(output: Store, record: Mapping[str, Any], limits: QuarantineConfig) -> None:
    """Compares a run with the limits; for a run that judged nothing, the last one that judged.

    Args:
        output: where the records of earlier runs are.
        record: this run's record.
        limits: the configured limits.

    Raises:
        QuarantineError: too many rows or shards are quarantined.
    """
    bad_shards = record["unreadable_shards"]
    if len(bad_shards) > limits.max_shards:
        faults = ((defect, shard) for shard, defect in bad_shards.items())
        raise QuarantineError(
            f"{len(bad_shards)} shards are unreadable, quarantine.max_shards allows "
            f"{limits.max_shards}: rewrite them or raise the limit; the rest is labelled:\n"
            f"{fault_blocks(faults)}"
        )
    if record["pairs"] == 0:
        record = _newest_that_judged(output, record) or record
    pairs = record["pairs"] - record.get(NOT_ASKED, 0)
    reasons = dict(record["quarantined_by_reason"])
    quarantined = record["quarantined"] - reasons.pop(Reason.FORGOTTEN, 0)  # as was asked for
    if quarantined > limits.max_fraction * pairs:
        listed = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
        raise QuarantineError(
            f"run {record['run_id']}: {quarantined} of {pairs} rows are quarantined ({listed}), "
            f"quarantine.max_fraction allows {limits.max_fraction:g}; the rest is labelled. "
            "infra/OPS.md says by reason what to do; fix those rows, or have them judged again by "
            "--retry-quarantined, or raise the limit, and run again"
        )


def _newest_that_judged(output: Store, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    keys = [entry.key for entry in output.list("runs") if entry.key.endswith("/run.json")]
    for key in reversed(keys):  # run ids begin with their time
        earlier: dict[str, Any] = json.loads(output.read(key))
        same = all(earlier[name] == record[name] for name in ("judge_id", "input"))
        if same and earlier["pairs"]:
            return earlier
    return None
