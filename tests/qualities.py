"""Figures of a snapshot for tests that need some and no snapshot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from schemas.manifest import OUTCOMES
from schemas.quality import HISTOGRAMS, RATES, TOKENS, Agreement, Drift, Histogram, Quality, Rate

NOTHING = Rate(None, None, None, 0)


def quality(**changes: Any) -> Quality:
    """Ten rows, of which two are quarantined."""
    made = Quality(
        snapshot_id="s",
        judge_id="j",
        format="pairwise_scores",
        rows=10,
        counts=dict.fromkeys(OUTCOMES, 0) | {"labeled": 8, "quarantined": 2},
        quarantined_by_reason={"truncated": 2},
        votes=20,
        votes_by_outcome={"verdict": 16, "truncated": 4},
        tokens=dict.fromkeys(TOKENS, 7),
        calibrated=False,
        rates=dict.fromkeys(RATES, NOTHING) | {"tie": Rate(0.0, 0.0, 0.3, 8)},
        histograms={name: Histogram((0.0, 1.0, 2.0), (3, 5)) for name in HISTOGRAMS},
        gold=None,
        canary=Agreement(
            "/gold", 8, ((1, 2, 3, 0, 0), (0,) * 5, (0, 0, 0, 1, 1)), (0.5,), (1,), (6,)
        ),
        drift=Drift("before", "", False, Rate(0.1, 0.0, 0.2, 8), NOTHING),
        notes=("no gold",),
    )
    return replace(made, **changes)
