"""What the measures of an evaluation are called, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Unit = Literal["share", "number", "tokens"]

TITLES: dict[str, tuple[str, Unit]] = {
    "accuracy": ("accuracy, ties, abstained and quarantined wrong", "share"),
    "accuracy_half": ("accuracy, the same counting ½", "share"),
    "accuracy_decided": ("accuracy where judge and human prefer one", "share"),
    "accuracy_no_gold_ties": ("accuracy without gold ties", "share"),
    "accuracy_of_votes": ("accuracy of single votes, ties and unreadable wrong", "share"),
    "four_way": ("4-way accuracy (GenAI-Bench)", "share"),
    "four_way_of_votes": ("4-way accuracy of single votes, left shown first", "share"),
    "pearson": ("Pearson's r of scores", "number"),
    "spearman": ("Spearman's rho of scores", "number"),
    "mae": ("mean absolute error of scores", "number"),
    "edit_distance": ("normalised edit distance of rankings (lower is better)", "number"),
    "kendall_tau": ("Kendall's tau-b of rankings", "number"),
    "pair_accuracy": ("accuracy over candidate pairs, ties wrong", "share"),
    "pair_accuracy_half": ("accuracy over candidate pairs, ties ½", "share"),
    "coverage": ("coverage: labelled of all", "share"),
    "kappa": ("Cohen's kappa over a, b, tie", "number"),
    "brier": ("Brier score (lower is better)", "number"),
    "ece": ("expected calibration error (lower is better)", "number"),
    "aurc": ("area under risk-coverage (lower is better)", "number"),
    "position_consistent": ("position-consistent pairs", "share"),
    "first_slot": ("first-slot win rate of votes", "share"),
    "repeat_flips": ("repeat-flip rate of votes", "share"),
    "longer_wins": ("longer text wins", "share"),
    "gold_longer_wins": ("longer text wins by gold", "share"),
    "accuracy_length_matched": ("accuracy, lengths within 10 %", "share"),
    "ties": ("pairs labelled a tie", "share"),
    "abstained": ("pairs abstained", "share"),
    "quarantined": ("pairs quarantined", "share"),
    "votes_tied": ("votes for a tie", "share"),
    "votes_unreadable": ("votes unparseable", "share"),
    "votes_malformed": ("votes malformed", "share"),
    "votes_truncated": ("votes truncated", "share"),
    "votes_refused": ("votes refused", "share"),
    "votes_out_of_range": ("votes out of range", "share"),
    "votes": ("votes a pair", "number"),
    "prompt_tokens": ("prompt tokens a pair", "tokens"),
    "output_tokens": ("output tokens a pair", "tokens"),
    "cached_tokens": ("cached tokens a pair", "tokens"),
    "criterion_agreement": ("agrees with gold where its scores differ", "share"),
    "criterion_winner": ("winner's mean", "number"),
    "criterion_loser": ("loser's mean", "number"),
    "criterion_mean": ("mean", "number"),
    "criterion_spread": ("spread (standard deviation of scores)", "number"),
    "criterion_equal": ("pairs with equal scores", "share"),
    "criterion_missing": ("votes without it", "share"),
    "flipped": ("preferences that followed the candidates", "share"),
}
_MACRO, _SUFFIXES = (
    "macro_",
    {
        "_true": "true",
        "_control": "control",
        "_difference": "difference",
        "_this": "this judge",
        "_other": "the other",
        "_gain": "gain",
    },
)


def title_of(name: str) -> tuple[str, Unit]:
    """A measure's title and unit."""
    if name in TITLES:
        return TITLES[name]
    if name.startswith(_MACRO):
        title, unit = title_of(name.removeprefix(_MACRO))
        return f"mean over categories of {title}", unit
    for suffix, word in _SUFFIXES.items():
        if name.endswith(suffix):
            title, unit = title_of(name.removesuffix(suffix))
            return f"{title}: {word}", unit
    return name.replace("_", " "), "share"


def shown(value: float | None, name: str) -> str:
    """A value as it is shown."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if title_of(name)[1] == "tokens" else f"{value:.3f}"


def interval(estimate: Mapping[str, Any] | None, name: str) -> str:
    """An estimate with its interval, as it is shown."""
    if estimate is None or estimate["value"] is None:
        return "-"
    value = shown(estimate["value"], name)
    if estimate["low"] is None:
        return value
    return f"{value} [{shown(estimate['low'], name)}, {shown(estimate['high'], name)}]"
