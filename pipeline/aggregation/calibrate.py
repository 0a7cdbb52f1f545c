"""Calibrates a judge on gold pairs that it has labelled; reads stored votes, starts no engine."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from pipeline.aggregation.calibration import FEATURES, Calibration
from pipeline.aggregation.calibration_cards import put_calibration
from pipeline.aggregation.calibration_fit import GoldVotes, Method, fit_calibration
from pipeline.aggregation.decisions import decide
from pipeline.aggregation.judged_pairs import JudgedPair, read_judged
from pipeline.aggregation.policy import PolicyConfig, Rule, label_rule
from pipeline.aggregation.settled_share import settled_shares
from pipeline.gold.people import NOBODY, People
from pipeline.gold.roles import calibrating
from pipeline.judging.bundle import Format
from pipeline.judging.judge_cards import read_card
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import Vote
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.prompts import cluster_key
from pipeline.runtime.errors import ConfigError, InputError
from pipeline.runtime.reporter import Reporter
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store
from schemas.labels import Status

_OUTCOMES = {"a": 1.0, "tie": 0.5, "b": 0.0}
_METRICS = {"ece": "expected calibration error", "brier": "Brier score", "log_loss": "log loss"}


def calibrate(
    judge: JudgeConfig,
    judge_id: str,
    input_config: InputConfig,
    gold_uri: str,
    output_uri: str,
    reporter: Reporter,
    lease: Lease,
    *,
    method: Method = "auto",
    folds: int = 5,
    people: People = NOBODY,
) -> Calibration:
    """Fits a calibration to a judge's stored votes about gold pairs and puts it into its card.

    Args:
        judge: the judge that gave the votes.
        judge_id: its fingerprint.
        input_config: how the gold pairs are read, as in the labeling job.
        gold_uri: the gold pairs, as they were given to that job.
        output_uri: its output.
        reporter: receives the calibration and its measures.
        lease: of the output.
        method: ``platt``, ``isotonic``, or ``auto`` by the number of gold pairs.
        folds: of cross-fitting: measures are of pairs that a fit has not seen.
        people: answers that count as gold of their pairs; those that are to test error bounds are
            left out (``pipeline.gold.roles``).

    Raises:
        ConfigError: the judge has no pairs to calibrate on, or there are fewer than two folds.
        InputError: the judge has not labelled the gold pairs, or they are too few.
    """
    if folds < 2:
        raise ConfigError(f"folds: got {folds}, expected 2 or more")
    if judge.declared_format.about != "pair":
        raise ConfigError(
            f"judge.format {judge.format}: a calibration is of how often a human prefers the "
            "first candidate of a pair, and this format's rows are not pairs; expected one "
            "that is about pairs"
        )
    output = Store(output_uri)
    if read_card(output, judge_id) is None:
        raise InputError(
            f"{output.uri}: judge {judge_id[:16]} of this configuration has labelled nothing here; "
            "run pairmill label with it on the gold pairs first, with the same configuration"
        )
    judged = read_judged(gold_uri, input_config, output, judge_id, None, people)
    places = [(str(each.label["pair_hash"]), _cluster(each)) for each in judged]
    kept = calibrating(people, places)
    judged = [each for each, may in zip(judged, kept, strict=True) if may]
    scores = judge.declared_format.family == "reward"
    rule = label_rule(judge.votes, PolicyConfig(tie_band=0.0 if scores else None))
    pairs = [gold_votes(each, rule, judge.declared_format) for each in judged if _usable(each)]
    calibration = fit_calibration(pairs, judge_id, gold_uri, method, folds, scores=scores)
    lease.check()
    put_calibration(output, calibration)
    _show(calibration, left_out=len(judged) - len(pairs), reporter=reporter)
    for each in settled_shares(calibration, pairs):
        right = {"right": each.right.value, "low": each.right.low, "high": each.right.high}
        shown = {name: round(value, 4) for name, value in right.items() if value is not None}
        found = {"min_confidence": each.min_confidence, "settles": round(each.share, 4)}
        reporter.event("as a tier of a cascade", found | shown)
    return calibration


def gold_votes(judged: JudgedPair, rule: Rule, format_: Format) -> GoldVotes:
    """A judged gold pair as the fit reads it.

    Args:
        judged: whose votes can be read in both orders.
        rule: by which its votes decide.
        format_: of the judge.

    Raises:
        InputError: gold is neither a, b nor tie.
    """
    gold, label = judged.pair["gold"], judged.label
    if gold not in _OUTCOMES:
        raise InputError(
            f"{label['shard']}, row {label['row']}: gold is {gold!r}, expected a, b or tie; map "
            "its values under input.map.gold"
        )
    votes = [Vote.from_row(row) for row in label["votes"]]
    prompt = _cluster(judged)
    decision = decide(format_, votes, rule)
    share = float(decision.p_a_raw or 0)
    return GoldVotes(label["pair_hash"], prompt, votes, share, _OUTCOMES[gold], decision.preference)


def _cluster(judged: JudgedPair) -> int:
    return cluster_key(judged.label["cluster"], judged.pair["messages"])


def _usable(judged: JudgedPair) -> bool:
    quarantined = judged.label["status"] == Status.QUARANTINED
    return judged.pair["gold"] is not None and not quarantined


def _show(calibration: Calibration, *, left_out: int, reporter: Reporter) -> None:
    figures = calibration.figures
    if reporter.live:
        table = Table(
            "on held-out folds",
            "raw",
            "calibrated",
            title=f"{figures['pairs']:.0f} gold pairs, {figures['folds']:.0f} folds",
            title_justify="left",
        )
        for name, words in _METRICS.items():
            table.add_row(words, f"{figures[f'{name}_raw']:.4f}", f"{figures[name]:.4f}")
        reporter.console.print(table)
    weights = dict(zip(FEATURES, calibration.weights, strict=True))
    fields = calibration.model_dump(
        mode="json", exclude={"weights", "knots", "tie_band", "figures", "folds"}
    )
    band = calibration.tie_band
    reporter.event(
        "calibration",
        {
            **fields,
            **{f"weight_{name}": value for name, value in weights.items()},
            "knots": len(calibration.knots),
            **({} if band is None else {"tie_band": band.margin, "ties_within": band.ties}),
            "left_out": left_out,
            **{name: round(value, 6) for name, value in figures.items()},
        },
    )
    reporter.note(
        f"expected calibration error {figures['ece']:.3f}: of {figures['pairs']:.0f} pairs, "
        f"probabilities that are right have {figures['ece_by_chance']:.3f} on average"
    )
    for text in _warnings(calibration.weights, figures["log_loss"], figures["log_loss_raw"]):
        reporter.note(text)
    reporter.note(
        "labels made from now on carry p_a and a confidence by this calibration; pairmill derive "
        "adds them to existing labels"
    )


def _warnings(weights: Sequence[float], log_loss: float, raw: float) -> list[str]:
    if not any(weights):
        return [
            "warning: this judge's votes are unrelated to gold, or opposed to it: every pair's p_a "
            "is one half; do not use its labels, or check which side gold means"
        ]
    if log_loss >= raw:
        return [
            "warning: on held-out pairs the calibrated probabilities are no better than the raw "
            "ones; more gold pairs are needed"
        ]
    return []
