"""``metrics.json``: one flat object of a run, which dashboards and the trends of reports read.

Every value is a number, a text, a truth value or null (not known, or nothing to measure it on).
``MEANINGS`` says what each key holds; names in angle brackets stand for what there is of a kind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.assembly.report.config import ReportConfig
from pipeline.assembly.report.outcome import State
from pipeline.assembly.report.records import METRICS_VERSION, Record, Records
from schemas.labels import Status
from schemas.manifest import MISSING, OUTCOMES

MEANINGS = {
    "version": METRICS_VERSION,
    "run_id": "the run",
    "started_at": "when it began, UTC in ISO 8601",
    "state": "published, blocked, nothing_to_do, labeled, not_live or failed",
    "exit_code": "of the nightly job",
    "input": "URI of the pairs",
    "judge_id": "fingerprint of the judge",
    "snapshot_id": "the snapshot that was made or found",
    "scope": "what the counts are about: the snapshot, or (nothing published) the run",
    "rows": "input rows; the sum of rows_labeled, _tie, _abstained, _quarantined and _missing",
    "rows_<outcome>": "rows by what became of them",
    "quarantined_<reason>": "rows in quarantine by reason",
    "run_pairs": "rows committed by this run; the sum of run_<status>",
    "run_<status>": "of these, by what became of them",
    "run_reused": "of these, rows whose votes an earlier run gave",
    "run_seconds": "of the labeling run, engine start included",
    "run_judging_seconds": "from its first unit to its last commit",
    "run_pairs_per_s": "rows a second of judging",
    "run_output_tokens_per_s": "tokens written a second of judging",
    "run_judgments": "votes asked for, unreadable ones included",
    "run_<kind>_tokens": "prompt, output and cached (prefix cache) tokens",
    "run_votes_per_pair": "votes a row that was judged",
    "step_<name>_seconds": "of each step of the nightly job",
    "rate_<name>": "a share of quality.json, 0 to 1",
    "rate_<name>_low": "lower end of its 95 % interval",
    "rate_<name>_high": "upper end",
    "rate_<name>_n": "what it was measured on",
    "drift_<name>": "change against the parent snapshot, from quality.json",
    "gate_passed": "whether the gate let the snapshot go live; null without a gate",
    "gate_checks": "how many checks it made",
    "gate_failed": "how many of them failed",
    "cost_gpu_hours": "GPUs times hours of the labeling run",
    "cost_usd": "what these cost at report.gpu_usd_per_hour",
    "cost_usd_per_1000_labels": "for labels, ties and abstentions that this run judged itself",
}


def make_metrics(records: Records, state: State, config: ReportConfig) -> dict[str, Any]:
    """The metrics of a run.

    Args:
        records: what is known of it.
        state: what it came to.
        config: for its cost.
    """
    manifest, nightly = records.manifest, records.nightly
    return {
        "version": METRICS_VERSION,
        "run_id": records.run_id,
        "started_at": records.started_at,
        "state": state.name,
        "exit_code": None if nightly is None else nightly.get("exit_code"),
        "input": records.input_uri,
        "judge_id": records.judge_id,
        "snapshot_id": None if manifest is None else manifest.snapshot_id,
        **_counts(records),
        **_of_run(records.run),
        **_of_steps(nightly),
        **_of_quality(records.quality or {}),
        **_of_gate(records),
        **_cost(records.run, config),
    }


def metrics_json(metrics: Mapping[str, Any]) -> bytes:
    """Metrics as they are stored."""
    return json.dumps(metrics, indent=1).encode()


def _counts(records: Records) -> dict[str, Any]:
    """Rows by outcome: of the snapshot, or of the run where none is published."""
    if records.manifest is not None:
        counts: Mapping[str, int] = records.manifest.counts
        scope, rows = "snapshot", records.manifest.rows
        reasons = (records.quality or {}).get("quarantined_by_reason", {})
    elif records.run is not None:
        counts = {name: records.run.get(name, 0) for name in OUTCOMES} | {MISSING: 0}
        scope, rows = "run", records.run["pairs"]
        reasons = records.run["quarantined_by_reason"]
    else:
        return {"scope": None, "rows": None}
    return {
        "scope": scope,
        "rows": rows,
        **{f"rows_{name}": counts[name] for name in OUTCOMES},
        **{f"quarantined_{reason}": count for reason, count in sorted(reasons.items())},
    }


def _of_run(run: Record | None) -> dict[str, Any]:
    if run is None:
        return {}
    judging, judged = run["judging_s"], run["pairs"] - run["reused"]
    return {
        "run_pairs": run["pairs"],
        **{f"run_{status}": run[status] for status in Status},
        "run_reused": run["reused"],
        "run_seconds": run["seconds"],
        "run_judging_seconds": judging,
        "run_pairs_per_s": run["pairs_per_s"] if run["pairs"] else None,
        "run_output_tokens_per_s": _ratio(run["output_tokens"], judging),
        "run_judgments": run["judgments"],
        **{f"run_{kind}_tokens": run[f"{kind}_tokens"] for kind in ("prompt", "output", "cached")},
        "run_votes_per_pair": _ratio(run["judgments"], judged),
    }


def _of_steps(nightly: Record | None) -> dict[str, Any]:
    steps = (nightly or {}).get("steps", ())
    return {f"step_{step['name']}_seconds": step.get("seconds") for step in steps}


def _of_quality(quality: Record) -> dict[str, Any]:
    found = {}
    for name, rate in quality.get("rates", {}).items():
        found[f"rate_{name}"] = rate["value"]
        found |= {f"rate_{name}_{part}": rate[part] for part in ("low", "high", "n")}
    return found | _flat("drift", quality.get("drift") or {})


def _flat(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of nested objects, their names joined."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(f"{prefix}_{name}", value)
        elif value is None or isinstance(value, int | float):
            found[f"{prefix}_{name}"] = value
    return found


def _of_gate(records: Records) -> dict[str, Any]:
    gate = records.manifest.gate if records.manifest else None
    if gate is None:
        return {"gate_passed": None}
    checks = gate.get("checks", ())
    failed = sum(not check["passed"] for check in checks)
    return {"gate_passed": gate["passed"], "gate_checks": len(checks), "gate_failed": failed}


def _cost(run: Record | None, config: ReportConfig) -> dict[str, Any]:
    if run is None:
        return {}
    hours = config.gpus * run["seconds"] / 3_600 if run["pairs"] else 0.0
    price = config.gpu_usd_per_hour
    usd = None if price is None else price * hours
    # Rows taken over are nearly all labels: the price errs, if at all, to the high side.
    labels = run["pairs"] - run[Status.QUARANTINED] - run["reused"]
    each = None if usd is None else _ratio(1_000 * usd, max(0, labels))
    return {"cost_gpu_hours": hours, "cost_usd": usd, "cost_usd_per_1000_labels": each}


def _ratio(value: float, by: float) -> float | None:
    return value / by if by else None
