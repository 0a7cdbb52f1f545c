"""How a run ended, in one word and one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.assembly.report.records import Record, Records

StateName = Literal["failed", "blocked", "nothing_to_do", "published", "not_live", "labeled"]
Tone = Literal["good", "bad", "plain"]


@dataclass(frozen=True)
class State:
    """What a run came to.

    Attributes:
        title: for the head of the report.
        text: what it means for readers of the labels, and what to do.
        failed_checks: of the gate, where it refused the snapshot.
    """

    name: StateName
    tone: Tone
    title: str
    text: str
    failed_checks: Sequence[Mapping[str, Any]] = ()


def state_of(records: Records) -> State:
    """What a run came to; the first that applies of failed, blocked, and how far it came."""
    manifest = records.manifest
    if (failed := _failed_step(records.nightly)) is not None:
        return State("failed", "bad", f"Step {failed['name']} failed", _why(failed, records))
    if manifest is not None and manifest.gate is not None and manifest.blocked:
        checks = [check for check in manifest.gate.get("checks", ()) if not check["passed"]]
        text = (
            f"Snapshot {manifest.snapshot_id} is kept as a candidate. {_live_text(records)} "
            "Look into what the checks name, then publish again or change their thresholds."
        )
        return State("blocked", "bad", "Blocked by the gate", text, checks)
    judged_nothing = records.run is None or records.run["pairs"] == 0
    made = manifest is not None and records.run_id in (manifest.created_by, *manifest.run_ids)
    if judged_nothing and not made:
        text = f"Every row is labelled by this judge; no engine was started. {_live_text(records)}"
        return State("nothing_to_do", "plain", "Nothing to do", text)
    if manifest is None:
        text = f"The labels are parts under {records.output.uri}; nothing is published yet."
        return State("labeled", "plain", "Labelled, not published", text)
    if records.is_live:
        text = f"Readers get snapshot {manifest.snapshot_id}."
        return State("published", "good", "Published", text)
    text = f"Snapshot {manifest.snapshot_id} is complete. {_live_text(records)}"
    return State("not_live", "plain", "Not live", text)


def _failed_step(nightly: Record | None) -> Mapping[str, Any] | None:
    steps = (nightly or {}).get("steps", ())
    return next((step for step in steps if step["state"] == "failed"), None)


def _why(step: Mapping[str, Any], records: Records) -> str:
    detail = step.get("detail") or {}
    why = str(detail.get("error") or "Its log says why.")
    return f"{why} {_live_text(records)} The same command goes on where this run stopped."


def _live_text(records: Records) -> str:
    if records.latest is None:
        return "Nothing is published yet."
    return f"Readers get snapshot {records.latest.snapshot_id}."
