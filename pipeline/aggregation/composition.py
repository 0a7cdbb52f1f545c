"""One label from the votes of several judges: a panel that votes together, or a cascade.

Each judge's votes are first decided by its own :class:`Labeler`, as those of one judge are. A rule
(:class:`Combining`) then makes one label of what they say about a row: of the status, preference
and confidence of each, never of its texts. ``composed_labels`` does it for tables.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

from pipeline.aggregation.calibration import Calibration
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.judging.judge_cards import judge_of
from pipeline.judging.judge_config import VotesConfig
from pipeline.judging.votes import Vote
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ConfigError
from schemas.labels import BY_GOLD, Status

_COMPOSITION_VERSION = 1  # raise with any change to what a rule makes of the same answers
_ANSWERS = (Status.LABELED, Status.TIE, Status.ABSTAINED)


class Answer(NamedTuple):
    """What the votes of one judge say about a row, by its own policy.

    Attributes:
        status: as labels have it, or ``NOT_ASKED``.
    """

    status: str
    preference: str | None = None
    p_a: float | None = None
    p_a_raw: float | None = None
    confidence: float | None = None

    @property
    def given(self) -> bool:
        """Whether the judge was asked, and could be read."""
        return self.status in _ANSWERS


class Combined(NamedTuple):
    """One label of several answers.

    Attributes:
        taken: the number of the judge whose row has the other columns: scores, criteria, reason.
        status, preference, p_a, p_a_raw, confidence, detail: of the label.
        together: whether all of them decided; then scores and margins, which are of one judge
            each, are null, and the rationale is that of a vote that agrees.
    """

    taken: int
    status: str
    preference: str | None = None
    p_a: float | None = None
    p_a_raw: float | None = None
    confidence: float | None = None
    detail: str | None = None
    together: bool = False

    @classmethod
    def of(cls, taken: int, answer: Answer, detail: str | None = None) -> Self:
        """The answer of one of the judges as the label."""
        return cls(taken, *answer, detail)


class Combining(Protocol):
    """A rule: what several judges' answers about a row say together."""

    kind: ClassVar[str]

    @property
    def explains(self) -> bool:
        """Whether a label of a judge that writes nothing has the rationale of another one."""
        ...

    def combine(self, answers: Sequence[Answer | None]) -> Combined:
        """The label, whatever its confidence.

        Args:
            answers: of each judge, in their order; None where it has no row. At least one is
                ``given``.
        """
        ...

    def record(self) -> dict[str, Any]:
        """Everything that decides what it combines to, as JSON."""
        ...

    def calibration_id(self, of_judges: Sequence[str | None]) -> str | None:
        """Of what makes calibrated probabilities of all labels; None where nothing does.

        Args:
            of_judges: the ids of the judges' calibrations, in their order.
        """
        ...


@dataclass(frozen=True)
class Member:
    """One of several judges.

    Attributes:
        card: its judge card.
        labeler: decides its votes, whatever its confidence.
    """

    card: Mapping[str, Any]
    labeler: Labeler

    @classmethod
    def of(
        cls,
        card: Mapping[str, Any],
        policy: PolicyConfig,
        calibration: Calibration | None,
        votes: VotesConfig | None = None,
    ) -> Self:
        """A judge of an output.

        Args:
            card: its card.
            policy: how votes are counted; its least confidence is one of the composed label, and
                what is undecided stays so until all have answered.
            calibration: of the judge.
            votes: the settings that the policy leaves to the judge; by default those of its card.

        Raises:
            ConfigError: its rows are not pairs.
        """
        judge = judge_of(dict(card))
        if judge.declared_format.about != "pair":
            raise ConfigError(
                f"judge {card['judge_id'][:16]} has the format {judge.format}; expected one whose "
                "rows are pairs: labels of several judges are preferences"
            )
        judge = judge.model_copy(update={"votes": votes}) if votes else judge
        own = {"min_confidence": 0.0, "undecided": "abstain", "max_error": None}
        return cls(card, Labeler.of(judge, policy.model_copy(update=own), calibration))

    @property
    def judge_id(self) -> str:
        """The judge's id."""
        return str(self.card["judge_id"])

    @property
    def writes(self) -> bool:
        """Whether its replies have a rationale."""
        return self.labeler.format.family != "reward"

    def answer(self, row: Mapping[str, Any]) -> Answer:
        """What it says of a row of its labels v2."""
        votes = [Vote.from_row(vote) for vote in row["votes"] or ()]
        if all(vote.superseded for vote in votes):
            return Answer(*(row[name] for name in Answer._fields))
        decided = self.labeler.decide(votes, row["rubric"]).as_row()
        return Answer(*(decided[name] for name in Answer._fields))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Composition:
    """Judges, and the rule by which their answers become one label.

    Attributes:
        min_confidence: a label or a tie below this becomes undecided.
        undecided: what a pair becomes of which they decide nothing.
        ahead: how much more the confidence of the last judge counts there (``giving_order``).
    """

    members: tuple[Member, ...]
    rule: Combining
    min_confidence: float = 0.0
    undecided: Literal["abstain", "tie"] = "abstain"
    ahead: float = 0.0

    def __post_init__(self) -> None:
        """Refuses fewer than two judges, or one twice."""
        check_judges(self.rule.kind, self.members)

    @property
    def judge_id(self) -> str:
        """Under which its labels stand: of which judges they are, in their order."""
        return digest(self.rule.kind, *(member.judge_id for member in self.members))

    @property
    def policy_id(self) -> str:
        """Identity of everything between all votes and a label: rule, judges, calibrations."""
        of_judges = [[each.judge_id, each.labeler.policy_id] for each in self.members]
        return digest(json.dumps([_COMPOSITION_VERSION, self.record(), of_judges], sort_keys=True))

    @property
    def calibration_id(self) -> str | None:
        """Of what makes the probabilities of its labels; None where some have none."""
        fitted = (each.labeler.calibration for each in self.members)
        ids = [None if each is None else each.calibration_id for each in fitted]
        return self.rule.calibration_id(ids)

    @property
    def card(self) -> dict[str, Any]:
        """The card of the first judge that gives reasons, or of the first: its format is theirs."""
        stands = next((each for each in self.members if each.writes), self.members[0])
        card = {name: value for name, value in stands.card.items() if name != "calibration"}
        return card | {"judge_id": self.judge_id}

    @property
    def cards(self) -> tuple[dict[str, Any], ...]:
        """The cards of all judges, with the calibrations that were used."""
        found = []
        for each in self.members:
            card = {name: value for name, value in each.card.items() if name != "calibration"}
            fitted = each.labeler.calibration
            used = {} if fitted is None else {"calibration": fitted.model_dump(mode="json")}
            found.append(card | used)
        return tuple(found)

    def record(self) -> dict[str, Any]:
        """The rule as manifests have it."""
        least: dict[str, Any] = {"min_confidence": self.min_confidence, "undecided": self.undecided}
        if self.ahead:
            least["ahead"] = self.ahead
        return {"kind": self.rule.kind, **least, **self.rule.record()}

    def at_least(self, confidence: float, ahead: float = 0.0) -> Self:
        """The same, of which labels of less confidence are undecided.

        Args:
            confidence: the least.
            ahead: how much more the last judge's counts.
        """
        return replace(self, min_confidence=max(confidence, self.min_confidence), ahead=ahead)

    def combine(self, answers: Sequence[Answer | None]) -> Combined | None:
        """The label of a row; None where no judge has an answer.

        Args:
            answers: of each judge; None where it has no row.
        """
        if not any(answer is not None and answer.given for answer in answers):
            return None
        found = self.rule.combine(answers)
        least, stated = self.min_confidence, found.confidence
        if stated is not None and found.taken == len(self.members) - 1:
            stated += self.ahead
        decided = found.status in (Status.LABELED, Status.TIE)
        if decided and least and (stated is None or stated < least):
            found = found._replace(status=Status.ABSTAINED, preference=None)
        if found.status == Status.ABSTAINED and self.undecided == "tie":
            found = found._replace(status=Status.TIE)
        return found._replace(status=str(found.status))

    def label(self, rows: Sequence[Mapping[str, Any] | None]) -> Combined | None:
        """The label of one pair, by each judge's row of labels v2 about it.

        None where there is none to be checked: no judge has an answer, or a person's is the label.
        """
        if any(row is not None and row["decided_by"] == BY_GOLD for row in rows):
            return None
        pairs = zip(self.members, rows, strict=True)
        return self.combine([None if row is None else each.answer(row) for each, row in pairs])


def check_judges(kind: str, members: Sequence[Member]) -> None:
    """Refuses fewer than two judges, or one twice.

    Raises:
        ConfigError: names them.
    """
    ids = [member.judge_id for member in members]
    if len(set(ids)) < max(2, len(ids)):
        shown = ", ".join(each[:16] for each in ids) or "none"
        raise ConfigError(f"{kind} of {shown}: expected two or more judges, each of them once")
