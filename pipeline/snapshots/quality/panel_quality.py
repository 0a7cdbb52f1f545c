"""What a panel's fit says of its judges, as a snapshot's quality has it."""

from __future__ import annotations

from dataclasses import fields

from schemas.manifest import Manifest
from schemas.quality import PanelJudgeQuality, PanelQuality

_OF_JUDGE = [each.name for each in fields(PanelJudgeQuality)]


def panel_quality(manifest: Manifest) -> PanelQuality | None:
    """The panel that decided a snapshot; None of others."""
    rule = manifest.policy.rule if manifest.policy else {}
    if rule.get("kind") != "panel":
        return None
    return PanelQuality(
        by=rule["by"],
        effective_judges=rule["effective_judges"],
        gold_pairs=rule["gold_pairs"],
        judges=tuple(
            PanelJudgeQuality(**{name: each[name] for name in _OF_JUDGE}) for each in rule["judges"]
        ),
        figures=rule["figures"],
    )
