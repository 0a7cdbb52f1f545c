"""Refuses thresholds above everything that a judge's votes can end with: they would label nothing.

How far votes go is a matter of the stop rule as much as of the budget: a judge that stops at two
agreeing votes never has four.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

from pipeline.aggregation.evidence import Evidence, next_orders
from pipeline.aggregation.policy import PolicyConfig, Rule, label_rule
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import Vote
from pipeline.runtime.errors import ConfigError
from schemas.labels import VERDICT

_CHOICES = ("a", "b", "both_good")
_MORE = 32  # votes beyond the budget among which a message looks for enough
Counts = tuple[int, int, int]  # votes for a, for b and for a tie


def check_reachable(judge: JudgeConfig, policy: PolicyConfig, *, calibrated: bool) -> None:
    """Refuses a threshold or a least confidence that no votes of the judge can reach.

    Args:
        judge: whose votes they are.
        policy: how they are counted.
        calibrated: whether confidences are those of a calibration; they have no such bound.

    Raises:
        ConfigError: with what unanimous votes reach, and what to set.
    """
    if judge.declared_format.about == "score":
        return  # single scores are means, and have no confidence
    rule = label_rule(judge.votes, policy)
    if judge.declared_format.family == "reward":
        if rule.min_confidence and not calibrated:
            raise ConfigError(
                f"policy.min_confidence: got {rule.min_confidence:g}, but labels of a reward model "
                "have no confidence before it is calibrated, so that no pair would get one: leave "
                "it at 0, label gold pairs, fit a calibration (pairmill calibrate), then derive"
            )
        return
    asked = {
        "judge.votes.threshold" if policy.threshold is None else "policy.threshold": rule.threshold
    }
    if not calibrated:
        asked["policy.min_confidence"] = rule.min_confidence
    stopped = unanimous(judge, rule, _unanimous_votes(judge))
    for name, least in asked.items():
        if least > stopped and least > (most := highest(judge, rule)):
            raise ConfigError(_refusal(judge, rule, name, least, most))


def unanimous(judge: JudgeConfig, rule: Rule, votes: int) -> float:
    """The posterior probability that so many votes for one side reach, their gaps the widest."""
    scale = judge.declared_format.scale
    clear = Vote(order="ab", seed=0, outcome=VERDICT, option="a")
    if scale is not None:
        low, high = map(float, scale)
        clear = Vote(order="ab", seed=0, outcome=VERDICT, scores=(high, low))
    if judge.sampling.soft_votes:
        clear = replace(clear, soft_a=1.0, weight=judge.votes.soft_weight)
    return Evidence.of([clear] * votes, rule).p_prefers_a(rule)


def highest(judge: JudgeConfig, rule: Rule) -> float:
    """The highest posterior probability of a preference that asking can end with.

    Exact for votes that count whole. Where score gaps weigh, of soft votes, and in rankings, whose
    other pairs may ask for more votes, it is what the whole budget reaches: an upper bound.
    """
    weighed = judge.votes.margin_scale > 0 or rule.margin_scale > 0
    weighed = (weighed and judge.declared_format.scale is not None) or judge.sampling.soft_votes
    if judge.declared_format.about == "ranking" or weighed:
        return unanimous(judge, rule, _budget(judge))
    found, open_, seen = 0.0, [(0, 0, 0)], set[Counts]()
    while open_:
        counts = open_.pop()
        votes = _votes(counts)
        if not next_orders(judge.declared_format, votes, judge.votes, 2, ""):
            found = max(found, Evidence.of(votes, rule).p_prefers_a(rule))
            continue
        for first, second in itertools.combinations_with_replacement(range(3), 2):
            a, b, ties = (n + (first == i) + (second == i) for i, n in enumerate(counts))
            after = (max(a, b), min(a, b), ties)  # the sides are alike
            if after not in seen:
                seen.add(after)
                open_.append(after)
    return found


def _votes(counts: Counts) -> list[Vote]:
    choices = itertools.chain.from_iterable(
        [choice] * count for choice, count in zip(_CHOICES, counts, strict=True)
    )
    orders = itertools.cycle(("ab", "ba"))
    return [
        Vote(order=order, seed=0, outcome=VERDICT, option=choice)
        for choice, order in zip(choices, orders, strict=False)
    ]


def _unanimous_votes(judge: JudgeConfig) -> int:
    """After how many votes that are all for one side no more are asked for."""
    count = 2
    while next_orders(judge.declared_format, _votes((count, 0, 0)), judge.votes, 2, ""):
        count += 2
    return count


def _budget(judge: JudgeConfig) -> int:
    """The most votes of whole rounds."""
    return judge.votes.max_votes // 2 * 2


def _refusal(judge: JudgeConfig, rule: Rule, name: str, least: float, most: float) -> str:
    budget = _budget(judge)
    by_threshold = judge.votes.stop == "threshold"
    if (
        by_threshold and name == "judge.votes.threshold"
    ):  # once it can be reached, asking goes on until it is
        most = unanimous(judge, rule, budget)
    reached = {count: unanimous(judge, rule, count) for count in range(2, budget + _MORE, 2)}
    listed = ", ".join(f"{n}: {_down(p):g}" for n, p in reached.items() if n <= budget)
    ways = [f"{name} to at most {_down(most):g}"]
    enough = next((count for count, p in reached.items() if p >= least), None)
    if enough is not None and enough > budget:
        ways.append(f"judge.votes.max_votes to {enough} or more, with a stop rule that asks for it")
    elif enough is not None:
        ways.append(
            f"judge.votes.threshold to {least:g}, or judge.votes.min_votes to {enough}, so that "
            "more votes are asked for"
            if by_threshold
            else f"judge.votes.min_votes to {enough}, so that more votes are asked for"
        )
    if name == "policy.min_confidence":
        ways.append("fit a calibration (pairmill calibrate), whose confidence has no such bound")
    stops = (
        f"once judge.votes.threshold {judge.votes.threshold:g} is reached"
        if by_threshold
        else f"once another round gains less than {judge.votes.least_gain:g}"
    )
    return (
        f"{name}: got {least:g}, but the votes of this judge reach {_down(most):g} at most, so "
        "that no pair would get a preference. What unanimous votes reach, by their number: "
        f"{listed}; this judge is asked for at most {judge.votes.max_votes} votes, and for no "
        f"more {stops}. Set "
        f"{'; or '.join(ways)}"
    )


def _down(value: float) -> float:
    """Rounded so that what is shown is reached."""
    return math.floor(value * 10_000) / 10_000
