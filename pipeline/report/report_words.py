"""The titles that the report gives to outcomes, metrics and kinds of pairs."""

from __future__ import annotations

from pipeline.stats.shown_numbers import Unit
from schemas.labels import Status
from schemas.manifest import MISSING

OUTCOMES: dict[str, str] = {
    Status.LABELED: "labelled",
    Status.TIE: "ties",
    Status.ABSTAINED: "abstained",
    Status.QUARANTINED: "quarantined",
    MISSING: "missing",
}

RATES = {
    "gold_agreement": "Agreement with gold",
    "gold_agreement_all": "Agreement with gold, ties included",
    "canary_agreement": "Agreement with canaries' gold",
    "canary_agreement_all": "Agreement with canaries' gold, ties included",
    "position_consistency": "Same verdict in both orders",
    "first_slot_wins": "Shown first wins",
    "longer_wins": "Longer text wins",
    "gold_longer_wins": "Longer text wins, by humans",
    "preference_a": "Prefers a",
    "tie": "Ties",
    "abstain": "Abstentions",
    "quarantine": "Quarantined",
    "truncation": "Truncated replies",
    "unreadable": "Unparseable replies",
}

DRIFT = {
    "p_a_psi": "Drift of p(a): stability index",
    "preference_a_change": "Drift of the preference for a",
}

# Metrics of the trend charts: title and unit of each.
TRENDS: dict[str, tuple[str, Unit]] = {
    "rate_gold_agreement": ("agreement with gold", "share"),
    "rate_canary_agreement": ("agreement with canaries' gold", "share"),
    "rate_position_consistency": ("same verdict in both orders", "share"),
    "rate_longer_wins": ("longer text wins", "share"),
    "rate_preference_a": ("prefers a", "share"),
    "rate_tie": ("ties", "share"),
    "rate_quarantine": ("quarantined", "share"),
    "rate_truncation": ("truncated replies", "share"),
}
SPEED: dict[str, tuple[str, Unit]] = {
    "run_pairs": ("rows committed by the run", "count"),
    "run_pairs_per_s": ("rows a second of judging", "number"),
    "run_output_tokens_per_s": ("tokens written a second", "number"),
    "run_output_tokens": ("tokens written", "count"),
    "run_prompt_tokens": ("prompt tokens", "count"),
    "run_votes_per_pair": ("votes a row that was judged", "number"),
    "cost_usd_per_1000_labels": ("US dollars per 1,000 labels", "usd"),
}

# Titles of the sample's filters.
KINDS = {
    "gold": "Disagree with gold",
    "flips": "Flip between orders",
    "low": "Low confidence",
    "tie": "Ties",
    "abstained": "Abstained",
    "quarantined": "Quarantined",
    "labeled": "Labelled",
}

STATUSES: dict[str, str] = {
    Status.LABELED: "labelled",
    Status.TIE: "tie",
    Status.ABSTAINED: "abstained",
    Status.QUARANTINED: "quarantined",
}
