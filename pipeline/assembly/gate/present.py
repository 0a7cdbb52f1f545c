"""What an operator is told of a gate."""

from __future__ import annotations

from pipeline.assembly.gate.checks import Check
from schemas.manifest import Manifest


def gate_summary(manifest: Manifest) -> str | None:
    """What the gate said of a snapshot, with metric, value, bounds and threshold of what failed.

    None where nothing was checked.
    """
    checks = [Check(**check) for check in (manifest.gate or {}).get("checks", ())]
    if not checks:
        return None
    failed = [check for check in checks if not check.passed]
    if not failed:
        return f"gate: {len(checks)} of {len(checks)} checks passed"
    listed = "".join(f"\n  {check.sentence}" for check in failed)
    return (
        f"gate: snapshot {manifest.snapshot_id} is blocked, {len(failed)} of {len(checks)} checks "
        f"failed:{listed}\nit is kept as a candidate, and readers see what they saw; if it is "
        "right all the same, change the thresholds (gate.at_least, gate.at_most) and publish again"
    )
