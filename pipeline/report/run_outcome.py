"""How a run ended: a state, a sentence for people, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.report.run_records import Records

StateName = Literal[
    "published",
    "nothing_to_do",
    "labeled",
    "not_live",
    "withdrawn",
    "blocked",
    "failed",
    "stopped",
    "unfinished",
]
Tone = Literal["good", "bad", "plain"]


@dataclass(frozen=True)
class State:
    """How a run ended.

    Attributes:
        title: the report's headline.
        text: what happened, and what readers of the labels get.
        to_do: what the operator is to do; empty where there is nothing.
        error: the message of the step that failed.
    """

    name: StateName
    tone: Tone
    title: str
    text: str
    to_do: str = ""
    error: str = ""


def state_of(records: Records) -> State:
    """How a run ended, by the nightly run's record or else by what the run has stored."""
    return _ended_early(records) or _of_snapshot(records)


def _ended_early(records: Records) -> State | None:
    """The state of a run that failed, was stopped or has not finished; None of others."""
    nightly, live = records.nightly or {}, _live_text(records, still=True)
    again = "Run the same command again: it continues where this run ended."
    failed = _failed_step(nightly)
    if failed is not None:
        why = str((failed.get("detail") or {}).get("error") or "Its log says why.")
        title = f"Failed: step {failed['name']}"
        to_do = f"Fix what the message names. {again}"
        return State("failed", "bad", title, live, to_do, why)
    if nightly.get("state") == "failed":
        return State("failed", "bad", "Failed", live, f"Its log says why. {again}")
    run_state = (records.run or {}).get("state")
    if nightly.get("state") == "stopped" or run_state == "stopped":
        text = f"It was stopped; {records.judged:,} rows were committed before. {live}"
        return State("stopped", "plain", "Stopped before its end", text, again)
    if nightly.get("state") == "running":
        text = f"It is still running, or was killed before its end. {live}"
        to_do = "If it was killed, run the same command again: it continues where it ended."
        return State("unfinished", "plain", "Not finished", text, to_do)
    return None


def _of_snapshot(records: Records) -> State:
    manifest, live = records.manifest, _live_text(records)
    if manifest is not None and manifest.blocked and not records.is_live:
        checks = (manifest.gate or {}).get("checks", ())
        failed = [check["metric"] for check in checks if not check["passed"]]
        text = (
            f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}. Snapshot "
            f"{manifest.snapshot_id} is kept as a candidate. {_live_text(records, still=True)}"
        )
        to_do = (
            "Look at the checks and at the sample below. If the labels are right nevertheless, "
            "change the thresholds (gate.at_least, gate.at_most) and run the same command again."
        )
        return State("blocked", "bad", "Blocked by the gate", text, to_do)
    made = manifest is not None and records.run_id in (manifest.created_by, *manifest.run_ids)
    if records.judged == 0 and not made and (manifest is None or records.is_live):
        text = f"Every row is labelled by this judge already: no engine was started. {live}"
        return State("nothing_to_do", "plain", "Nothing to do", text)
    if manifest is None:
        text = f"The labels are under {records.output.path('parts')}. {live}"
        to_do = "pairmill publish does it."
        return State("labeled", "plain", "Labelled, not published", text, to_do)
    if records.is_live:
        return State("published", "good", "Published", live)
    if records.latest is not None and records.latest.withdrew(manifest.snapshot_id):
        text = f"Somebody has rolled back from snapshot {manifest.snapshot_id}. {live}"
        to_do = "It stays so until labels or input change, or until pairmill publish is run."
        return State("withdrawn", "plain", "Withdrawn", text, to_do)
    text = f"Snapshot {manifest.snapshot_id} is complete, and another one is live. {live}"
    return State("not_live", "plain", "Not live", text)


def _failed_step(nightly: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The step that ended the nightly run; an earlier failure to write the report is ignored."""
    steps = nightly.get("steps", ())
    failed = (step for step in steps if step["state"] == "failed" and step["name"] != "report")
    return next(failed, None)


def _live_text(records: Records, still: bool = False) -> str:
    if records.latest is None:
        return "Nothing is published yet."
    return f"Readers {'still ' * still}get snapshot {records.latest.snapshot_id}."
