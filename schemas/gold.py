"""What people answered about pairs: the record of a set, and one record an answer.

Sides are canonical: ``a`` is the pair's first candidate, whichever one the person saw first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from schemas.pairs import GOLD_VALUES
from schemas.records import Record

CANNOT_SAY = "cannot_say"
ANSWERS = (*GOLD_VALUES, CANNOT_SAY)

# How the pairs of a draw were chosen. `random` and `uncertainty` come with the probability of each;
# by `disagreement` they teach what judges differ about and stand for no corpus; of `imported` ones
# it is not known.
DrawnBy = Literal["random", "uncertainty", "disagreement", "imported"]


@dataclass(frozen=True)
class Frame(Record):
    """The pairs that a draw was made from.

    Attributes:
        snapshot_id, judge_id, policy_id: whose labels these were.
        input: where their shards lay.
        pairs: how many there were.
    """

    snapshot_id: str
    judge_id: str
    policy_id: str | None
    input: str
    pairs: int


@dataclass(frozen=True)
class DrawnPair(Record):
    """A pair that people are asked about.

    Attributes:
        pair_id: of its row.
        shard, row: where it lay; None where it was not looked up.
        cluster: what pairs that are alike share (``labels/v2``).
        probability: with which this draw takes the pair; None where that is not known.
    """

    pair_hash: str
    pair_id: str | None = None
    shard: str | None = None
    row: int | None = None
    cluster: str | None = None
    probability: float | None = None

    def problems(self) -> list[str]:
        """Whether the probability is none."""
        if self.probability is None or 0 < self.probability <= 1:
            return []
        return [f"probability: got {self.probability:g}, expected more than 0 and at most 1"]


@dataclass(frozen=True)
class Draw(Record):
    """Pairs that were chosen at once.

    Attributes:
        drawn_at: UTC in ISO 8601.
        drawn_by: the run.
        how: the rule.
        seed: from which the same pairs are drawn again.
        frame: None of imported pairs.
        stratum: what of the frame it was drawn from: ``all``, or ``later``, the pairs that no
            earlier draw of the set could have taken.
    """

    drawn_at: str
    drawn_by: str
    how: DrawnBy
    pairs: tuple[DrawnPair, ...]
    seed: int | None = None
    frame: Frame | None = None
    stratum: Literal["all", "later"] = "all"

    def problems(self) -> list[str]:
        """Whether a pair is drawn twice, or without the probability that the rule has."""
        found = [problem for pair in self.pairs for problem in pair.problems()]
        if len({pair.pair_hash for pair in self.pairs}) != len(self.pairs):
            found.append("pairs: one is named twice")
        known = [pair.probability is not None for pair in self.pairs]
        if self.how in ("random", "uncertainty") and not (all(known) and self.frame):
            found.append(f"how {self.how}: expected a frame, and the probability of every pair")
        return found


@dataclass(frozen=True)
class GoldSet(Record):
    """A set of pairs that people are asked about.

    Attributes:
        created_at: UTC in ISO 8601.
        created_by: the run.
        guideline: what people are asked to decide by, in Markdown.
        adjudicators: annotators who are asked about what others disagree on; their answer stands.
        twice: the share of pairs that two people answer.
        draws: which pairs, in the order in which they came.
    """

    version: Literal["gold-set/v1"] = field(default="gold-set/v1", kw_only=True)
    remedy: ClassVar[str] = "restore the object, or use the version of pairmill that wrote it"
    name: str
    created_at: str
    created_by: str
    guideline: str = ""
    adjudicators: tuple[str, ...] = ()
    twice: float = 0.0
    draws: tuple[Draw, ...] = ()

    def problems(self) -> list[str]:
        """What of its draws contradicts itself."""
        found = [problem for draw in self.draws for problem in draw.problems()]
        if not 0 <= self.twice <= 1:
            found.append(f"twice: got {self.twice:g}, expected a share between 0 and 1")
        return found

    @property
    def not_by_chance(self) -> list[DrawnPair]:
        """Its pairs that no known probability chose; of them nothing follows for other pairs."""
        return [each for draw in self.draws for each in draw.pairs if each.probability is None]

    @property
    def pairs(self) -> dict[str, DrawnPair]:
        """Its pairs by their hash; of a pair that was drawn twice, as the first draw has it."""
        return {pair.pair_hash: pair for draw in reversed(self.draws) for pair in draw.pairs}


@dataclass(frozen=True)
class Answer(Record):
    """What a person answered about a pair, under ``gold/<set>/answers/<annotator>/<pair_hash>/``.

    Attributes:
        answer: None where the person has taken back what was said.
        answered_at: UTC in ISO 8601.
        given_in: the tool, such as ``review`` or ``label-studio``.
        note: in the person's words.
        shown: which candidate the person saw first; None where that is not known.
        undoes: the revision that this one takes back, if it does.
    """

    version: Literal["gold-answer/v1"] = field(default="gold-answer/v1", kw_only=True)
    answer: Literal["a", "b", "tie", "cannot_say"] | None
    answered_at: str
    given_in: str
    note: str = ""
    shown: Literal["ab", "ba"] | None = None
    undoes: int | None = None

    def same_as(self, other: Answer) -> bool:
        """Whether both say the same, whenever and wherever they were given."""
        return (self.answer, self.note, self.undoes) == (other.answer, other.note, other.undoes)
