"""What each judge of a planned cascade will be asked, how long it will take, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.labeling.label_run import RunResult
from pipeline.report.report_config import ReportConfig
from pipeline.report.run_estimate import measured_rate, run_estimate
from pipeline.store.object_store import Store
from schemas.labels import NOT_ASKED


@dataclass(frozen=True)
class Share:
    """Of the rows of a run, which share its judge was asked about."""

    of_rows: float
    run_id: str


def asked_last_time(output: Store, judge_id: str) -> Share | None:
    """The share of rows that a judge of a cascade was asked about in its last run that had some.

    A run of a sample counts as any other.
    """
    keys = [entry.key for entry in output.list("runs") if entry.key.endswith("/run.json")]
    for key in reversed(keys):  # run ids begin with their time
        run: dict[str, Any] = json.loads(output.read(key))
        if run["judge_id"] == judge_id and NOT_ASKED in run and run["pairs"]:
            return Share(1 - run[NOT_ASKED] / run["pairs"], run["run_id"])
    return None


def estimates(
    done: Sequence[RunResult], output: Store, config: ReportConfig, *, rest: bool = False
) -> list[str]:
    """A sentence for each judge of a run.

    Args:
        done: what each judge is to do, in order of cost.
        output: has the records of earlier runs.
        config: has prices.
        rest: whether it is about the pairs that a sample has left out.
    """
    said = []
    for number, each in enumerate(done, 1):
        plan = rest_of(each.plan) if rest else dict(each.plan)
        # The configured rate is that of the judge of the configuration: the last.
        own = config if number == len(done) else config.model_copy(update={"judgments_per_s": None})
        rate = measured_rate(output, each.judge_id, own)
        if len(done) == 1:
            return [run_estimate(plan, rate, config)]
        asked, why = (plan["pairs_to_do"], "") if number == 1 else _asked(plan, output, each)
        text = run_estimate(_of(plan, asked), rate, own)
        said.append(
            f"judge {number} of {len(done)} ({each.judge_id[:12]}), {asked:,} of "
            f"{plan['pairs_to_do']:,} pairs{why}: {text}"
        )
    return said


def rest_of(plan: Mapping[str, int]) -> dict[str, int]:
    """The numbers of a plan for the pairs that it leaves out."""
    return _of(plan, plan["pairs_left_out"]) | {"pairs_again": 0, "pairs_of_revised_parts": 0}


def _of(plan: Mapping[str, int], pairs: int) -> dict[str, int]:
    """The numbers of a plan for so many pairs of it."""
    counts = {
        name: plan[name] * pairs // max(1, plan["pairs_to_do"])
        for name in ("judgments_at_least", "judgments_at_most")
    }
    return {"pairs_to_do": pairs, **counts}


def _asked(plan: Mapping[str, int], output: Store, each: RunResult) -> tuple[int, str]:
    """How many pairs of its plan a judge after others is asked about, and how that is known."""
    again, revised = plan["pairs_again"], plan["pairs_of_revised_parts"]
    new = plan["pairs_to_do"] - revised
    if not new:
        return again, " (those that are open now)"
    share = asked_last_time(output, each.judge_id)
    if share is None:
        return again + new, (
            " at most (no run has measured which share the judges before leave open: judge a "
            "sample first, label --sample 500)"
        )
    return again + round(
        share.of_rows * new
    ), f" ({share.of_rows:.1%} of new ones: run {share.run_id})"
