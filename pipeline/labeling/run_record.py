"""The record of a labeling run: ``runs/<run_id>/run.json`` under the output root."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.labeling.planned_run import Run
from pipeline.labeling.unit_result import RowCounts
from schemas.labels import NOT_ASKED, Status


def run_record(
    run: Run,
    state: str,
    counts: RowCounts,
    canaries: RowCounts,
    seconds: float,
    rates: Mapping[str, Any],
) -> dict[str, Any]:
    """What is stored of a run.

    Args:
        run: the run.
        state: ``done`` or ``stopped``.
        counts: over the rows that it has judged.
        canaries: over its canaries.
        seconds: since it began to judge.
        rates: ``judging_s`` and ``pairs_per_s``, as its progress has them.
    """
    tokens = (counts.prompt_tokens, counts.cached_tokens, counts.output_tokens)
    return {
        "run_id": run.run_id,
        "state": state,
        "judge_id": run.card["judge_id"],
        "input": run.input_uri,
        "output": run.output.uri,
        "seconds": round(seconds, 1),
        "judging_s": rates["judging_s"],
        "pairs_per_s": rates["pairs_per_s"],
        "pairs": counts.pairs,
        **{status: counts.statuses[status] for status in Status},
        "reused": counts.reused,
        "by_gold": counts.by_gold,
        "quarantined_by_reason": dict(counts.reasons),
        "judgments": counts.judgments,
        "prompt_tokens": counts.prompt_tokens,
        "output_tokens": counts.output_tokens,
        "cached_tokens": counts.cached_tokens,
        "tokens_usd": run.request.budget.tokens_usd(*tokens),  # without those of canaries
        "canaries": canaries.pairs,
        "canary_judgments": canaries.judgments,
        **_price(run),
        "unreadable_shards": {shard.entry.key: shard.defect for shard in run.plan.bad_shards},
        "plan": run.plan.summary(),
        **run.place,
        **({NOT_ASKED: counts.statuses[NOT_ASKED]} if run.tier else {}),
    }


def store_record(run: Run, record: Mapping[str, Any]) -> None:
    """Stores a run's record under the output root."""
    data = json.dumps(record, indent=2, sort_keys=True).encode()
    folder = f"runs/{run.run_id}"
    if run.tier and not run.tier.last:  # the last one's is that of the run
        folder = f"{folder}/tier-{run.tier.number}"
    run.output.put(f"{folder}/run.json", data)


def _price(run: Run) -> dict[str, float]:
    """What a round of votes had to gain at least, where that stops the asking."""
    votes = run.config.judge.votes
    return {"vote_price": votes.least_gain} if votes.stop == "gain" else {}
