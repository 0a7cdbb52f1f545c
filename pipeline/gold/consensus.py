"""One answer a pair, of what several people said about it.

An adjudicator's answer stands (a tie, where two of them differ). Else that of more than half of
those who decided for a, b or tie; where none has more than half, the pair is *disputed* and counts
as a tie: people as a whole prefer neither side. (To leave disputed pairs out would leave out the
hard ones, and understate every judge's errors.) Who cannot say does not decide; a pair about which
nobody decides has no answer, and is counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pipeline.gold.answers import Given
from schemas.gold import CANNOT_SAY


@dataclass(frozen=True)
class Consensus:
    """What people say about the pairs of a set.

    Attributes:
        gold: ``a``, ``b`` or ``tie`` by pair hash.
        disputed: those of them that are ties since people disagree.
        cannot_say: pairs that have been answered, and by nobody with a side or a tie.
        answers: how many of each annotator stand.
        twice: pairs that two or more people decided.
        agreed: of these, those about which all said the same.
    """

    gold: dict[str, str]
    disputed: frozenset[str]
    cannot_say: frozenset[str]
    answers: dict[str, int]
    twice: int
    agreed: int


def consensus_of(given: Iterable[Given], adjudicators: Collection[str] = ()) -> Consensus:
    """Brings answers together, by the rule of the module's text.

    Args:
        given: the newest answer of each person about each pair.
        adjudicators: annotators who were asked about what others disagree on.
    """
    said: dict[str, dict[str, str]] = defaultdict(dict)
    for each in given:
        if each.said is not None:
            said[each.pair_hash][each.annotator] = each.said
    gold: dict[str, str] = {}
    disputed, undecided = set(), set()
    twice = agreed = 0
    for pair, by_person in sorted(said.items()):
        decided = {who: word for who, word in by_person.items() if word != CANNOT_SAY}
        votes = Counter(word for who, word in decided.items() if who not in adjudicators)
        last = [word for who, word in sorted(decided.items()) if who in adjudicators]
        twice += votes.total() > 1
        agreed += votes.total() > 1 and len(votes) == 1
        majority = next((word for word, n in votes.items() if 2 * n > votes.total()), None)
        if last:
            gold[pair] = last[-1] if len(set(last)) == 1 else "tie"
        elif majority is not None:
            gold[pair] = majority
        elif votes:
            gold[pair] = "tie"
            disputed.add(pair)
        else:
            undecided.add(pair)
    people = Counter(who for by_person in said.values() for who in by_person)
    return Consensus(
        gold, frozenset(disputed), frozenset(undecided), dict(sorted(people.items())), twice, agreed
    )
