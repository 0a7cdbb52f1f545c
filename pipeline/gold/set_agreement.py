"""How far the annotators of a gold set agree, with intervals over pairs; and what they went by."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.gold.answers import Given
from pipeline.stats.agreement import Kappa, NominalAlpha
from pipeline.stats.bootstrap import Estimate, estimates, share_of
from schemas.gold import CANNOT_SAY, GoldSet
from schemas.pairs import GOLD_VALUES

_MOST_TITLE = 80  # characters of a guideline's first line


@dataclass(frozen=True)
class PairOfPeople:
    """Two annotators on the pairs that both decided.

    Attributes:
        agreed: the share of pairs about which both say the same.
        kappa: Cohen's.
    """

    first: str
    second: str
    agreed: Estimate
    kappa: Estimate


@dataclass(frozen=True)
class SetAgreement:
    """All annotators of a set but adjudicators.

    Attributes:
        alpha: Krippendorff's, for unordered answers; ``cannot say`` counts as no answer.
        disputed: pairs on which two or more differ.
        cannot_say: answers that say so, of ``answers``.
    """

    alpha: Estimate
    pairs: tuple[PairOfPeople, ...]
    disputed: int
    cannot_say: int
    answers: int


def agreement_of(given: Iterable[Given], adjudicators: Collection[str]) -> SetAgreement:
    """Measures agreement; intervals are those of ``pipeline.stats.bootstrap`` over pairs."""
    codes: dict[str, dict[str, int]] = defaultdict(dict)
    unsure = answers = 0
    for each in given:
        if each.said is None or each.annotator in adjudicators:
            continue
        answers += 1
        unsure += each.said == CANNOT_SAY
        if each.said != CANNOT_SAY:
            codes[each.pair_hash][each.annotator] = GOLD_VALUES.index(each.said)
    rows = list(codes.values())
    counts = np.zeros((len(rows), len(GOLD_VALUES)))
    for number, by_person in enumerate(rows):
        for code in by_person.values():
            counts[number, code] += 1
    people = sorted({person for row in rows for person in row})
    return SetAgreement(
        alpha=estimates({"alpha": NominalAlpha(counts)}, len(rows))["alpha"],
        pairs=tuple(
            found
            for two in itertools.combinations(people, 2)
            if (found := _between(*two, [row for row in rows if row.keys() >= {*two}]))
        ),
        disputed=sum(len(set(row.values())) > 1 for row in rows),
        cannot_say=unsure,
        answers=answers,
    )


def sentence_of(gold: GoldSet, given: Iterable[Given]) -> str:
    """Who answered a set, by what guideline, and how far they agree; for cards and reports."""
    given = [each for each in given if each.said is not None]
    people = len({each.annotator for each in given})
    found = agreement_of(given, gold.adjudicators)
    if found.alpha.value is None:
        agree = "no pair was answered by two, so that nothing is known of their agreement"
    else:
        agree = f"on {found.alpha.rows:,} pairs Krippendorff's alpha is {found.alpha.value:.2f}"
        if found.alpha.low is not None and found.alpha.high is not None:
            agree += f" ({found.alpha.low:.2f} to {found.alpha.high:.2f})"
    guideline = "without a guideline"
    if first := gold.guideline.strip().partition("\n")[0].strip("# "):
        guideline = f'by the guideline "{first[:_MOST_TITLE]}" (SHA-256 {_digest(gold.guideline)})'
    return (
        f"gold set {gold.name}: {len(given):,} answers by {people} "
        f"{'person' if people == 1 else 'people'}, {guideline}; {agree}"
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _between(first: str, second: str, rows: list[dict[str, int]]) -> PairOfPeople | None:
    if not rows:
        return None
    a, b = (np.array([row[who] for row in rows], np.int64) for who in (first, second))
    same = share_of([float(x == y) for x, y in zip(a, b, strict=True)])
    found = estimates({"agreed": same, "kappa": Kappa(a, b)}, len(rows))
    return PairOfPeople(first, second, found["agreed"], found["kappa"])
