"""``metrics.json``: one flat object of a run, which dashboards and the trends of reports read.

Every value is a number, a text, a truth value or null (not known, or nothing to measure it on).
``MEANINGS`` explains each key; names in angle brackets stand for any name of that kind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipeline.report.report_config import ReportConfig
from pipeline.report.run_outcome import State
from pipeline.report.run_records import METRICS_VERSION, Record, Records
from pipeline.stats.intervals import NOTHING
from schemas.labels import Status
from schemas.manifest import MISSING, OUTCOMES
from schemas.quality import Drift, Quality, Rate

MEANINGS = {
    "version": METRICS_VERSION,
    "run_id": "the run",
    "started_at": "when it began, UTC in ISO 8601",
    "state": "published, nothing_to_do, labeled, not_live, withdrawn, blocked, failed, stopped "
    "or unfinished",
    "exit_code": "of the nightly job",
    "input": "URI of the pairs",
    "judge_id": "fingerprint of the judge",
    "snapshot_id": "the snapshot that was made or found",
    "live_snapshot_id": "the snapshot that readers got when this was written",
    "scope": "what the counts are about: the snapshot, or (nothing published) the run",
    "rows": "input rows; the sum of rows_labeled, _tie, _abstained, _quarantined and _missing",
    "rows_<outcome>": "rows by outcome",
    "quarantined_<reason>": "rows in quarantine by reason",
    "plan_<name>": "shards, units and pairs that the run found and planned",
    "run_pairs": "rows committed by this run; the sum of run_<status>",
    "run_<status>": "of these, by outcome",
    "run_reused": "of these, rows whose votes an earlier run gave",
    "run_seconds": "of the labeling run, engine start included",
    "run_judging_seconds": "from its first unit to its last commit",
    "run_pairs_per_s": "rows a second of judging",
    "run_output_tokens_per_s": "tokens written a second of judging",
    "run_judgments": "votes asked for, unparseable ones included",
    "run_<kind>_tokens": "prompt, output and cached (prefix cache) tokens",
    "run_votes_per_pair": "votes a row that was judged",
    "run_canaries": "canaries that it judged",
    "run_canary_judgments": "votes asked for about them",
    "step_<name>_seconds": "of each step of the nightly job",
    "votes": "of the snapshot",
    "votes_<outcome>": "of these, by outcome",
    "tokens_<kind>": "of these: prompt, output and cached ones",
    "rate_<name>": "a share of quality.json, 0 to 1",
    "rate_<name>_low": "lower end of its 95 % interval",
    "rate_<name>_high": "upper end",
    "rate_<name>_n": "what it was measured on",
    "drift_against": "the snapshot that drift is measured against",
    "drift_judge_changed": "whether that is another judge's",
    "drift_<name>": "the drift's figure, and with _low, _high and _n as a rate has them",
    "bound_max_error": "share of preferences that are wrong at most; null if not promised",
    "bound_min_confidence": "from which confidence on; of a cascade's last judge less by "
    "bound_ahead, so that it may be above 1",
    "bound_path": "in which order a cascade's labels are given: A, B or C",
    "bound_ahead": "how much more the confidence of its last judge counts",
    "bound_outside": "preferences that came later, of which nothing is promised",
    "gate_passed": "whether the gate let the snapshot go live; null without a gate",
    "gate_checks": "how many checks it made",
    "gate_failed": "how many of them failed",
    "cost_gpu_hours": "GPUs times hours of the labeling run",
    "cost_usd": "at report.gpu_usd_per_hour and usd_per_million_tokens; null without prices",
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
        "exit_code": None if nightly is None else nightly["exit_code"],
        "input": records.input_uri,
        "judge_id": records.judge_id,
        "snapshot_id": None if manifest is None else manifest.snapshot_id,
        "live_snapshot_id": None if records.latest is None else records.latest.snapshot_id,
        **_counts(records),
        **_of_run(records.run),
        **_of_steps(nightly),
        **_of_quality(records.quality),
        **_of_gate(records),
        **_cost(records.run, config),
    }


def metrics_json(metrics: Mapping[str, Any]) -> bytes:
    """Metrics as they are stored."""
    return json.dumps(metrics, indent=1, allow_nan=False).encode()


def _counts(records: Records) -> dict[str, Any]:
    """Rows by outcome: of the snapshot, or of the run where none is published."""
    if records.manifest is not None:
        counts: Mapping[str, int] = records.manifest.counts
        scope, rows = "snapshot", records.manifest.rows
        reasons = records.quality.quarantined_by_reason if records.quality else {}
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
        **{f"plan_{name}": count for name, count in run["plan"].items()},
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
        "run_canaries": run["canaries"],
        "run_canary_judgments": run["canary_judgments"],
    }


def _of_steps(nightly: Record | None) -> dict[str, Any]:
    steps = (nightly or {}).get("steps", ())
    return {f"step_{step['name']}_seconds": step["seconds"] for step in steps}


def _of_quality(quality: Quality | None) -> dict[str, Any]:
    if quality is None:
        return {}
    found: dict[str, Any] = {"votes": quality.votes}
    found |= {f"votes_{outcome}": count for outcome, count in quality.votes_by_outcome.items()}
    found |= {f"tokens_{kind}": count for kind, count in quality.tokens.items()}
    for name, rate in quality.rates.items():
        found |= _rate(f"rate_{name}", rate)
    bound = quality.bound
    found |= {
        "bound_max_error": bound.max_error if bound else None,
        "bound_min_confidence": bound.min_confidence if bound else None,
        "bound_path": bound.path if bound else None,
        "bound_ahead": bound.ahead if bound else None,
        "bound_outside": bound.outside if bound else None,
        **_rate("rate_audited_accuracy", quality.audit or NOTHING),
    }
    return found | _drift(quality.drift)


def _drift(drift: Drift) -> dict[str, Any]:
    return {
        "drift_against": drift.against,
        "drift_judge_changed": drift.judge_changed,
        **_rate("drift_p_a_psi", drift.p_a_psi),
        **_rate("drift_preference_a_change", drift.preference_a_change),
    }


def _rate(name: str, rate: Rate) -> dict[str, Any]:
    parts = asdict(rate)
    return {name: parts.pop("value")} | {f"{name}_{part}": value for part, value in parts.items()}


def _of_gate(records: Records) -> dict[str, Any]:
    gate = records.manifest.gate if records.manifest else None
    checks = (gate or {}).get("checks", ())
    if gate is None or not checks:
        return {"gate_passed": None}
    failed = sum(not check["passed"] for check in checks)
    return {"gate_passed": gate["passed"], "gate_checks": len(checks), "gate_failed": failed}


def _cost(run: Record | None, config: ReportConfig) -> dict[str, Any]:
    if run is None:
        return {}
    hours = config.gpus * run["seconds"] / 3_600 if run["pairs"] else 0.0
    price, tokens = config.gpu_usd_per_hour, config.usd_per_million_tokens
    costs = [] if price is None else [price * hours]
    if tokens is not None:
        counts = (run[name] for name in ("prompt_tokens", "cached_tokens", "output_tokens"))
        costs.append(tokens.usd(*counts))
    usd = sum(costs) if costs else None
    # Nearly all rows whose votes were reused are labels: the price errs, if at all, upwards.
    labels = run["pairs"] - run[Status.QUARANTINED] - run["reused"]
    each = None if usd is None else _ratio(1_000 * usd, max(0, labels))
    return {"cost_gpu_hours": hours, "cost_usd": usd, "cost_usd_per_1000_labels": each}


def _ratio(value: float, by: float) -> float | None:
    return value / by if by else None
