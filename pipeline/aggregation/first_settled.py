"""The rule of a cascade: judges in order of cost, and the first that settles a row decides it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pipeline.aggregation.composition import Answer, Combined
from pipeline.runtime.digest import digest
from schemas.labels import NOT_ASKED, Status


@dataclass(frozen=True)
class FirstSettled:
    """The first judge whose label or tie has the confidence that its tier needs.

    Where none settles a row, the last judge that answered decides it. A row that a later judge was
    not asked about, though none before settles it, is undecided: it is *open*, and judged by the
    next run. Judges that could not be read, or lack the row, settle nothing.

    Attributes:
        accepts: the least confidence of each tier but the last, which settles whatever is left.
        explains: whether a label of a judge that writes nothing has the rationale of another one
            that says the same.
    """

    accepts: tuple[float, ...]
    explains: bool = False
    kind: ClassVar[str] = "cascade"

    def calibration_id(self, of_judges: Sequence[str | None]) -> str | None:
        """Of all judges' calibrations; None where one has none."""
        fitted = [each for each in of_judges if each is not None]
        return digest("cascade", *fitted) if len(fitted) == len(of_judges) else None

    def settles(self, tier: int, answer: Answer | None) -> bool:
        """Whether an answer of a tier is the label."""
        if answer is None or not answer.given:
            return False
        if tier == len(self.accepts):
            return True
        decided = answer.status in (Status.LABELED, Status.TIE)
        return decided and answer.confidence is not None and answer.confidence >= self.accepts[tier]

    def combine(self, answers: Sequence[Answer | None]) -> Combined:
        """The label; ``answers`` are in order of cost, one more than ``accepts``."""
        last = 0
        for tier, answer in enumerate(answers):
            if answer is not None and self.settles(tier, answer):
                return Combined.of(tier, answer)
            if answer is not None and answer.given:
                last = tier
        answer = answers[last]
        assert answer is not None
        unasked = any(each is not None and each.status == NOT_ASKED for each in answers[last + 1 :])
        if not unasked:
            return Combined.of(last, answer)
        undecided = answer._replace(status=str(Status.ABSTAINED), preference=None)
        return Combined.of(last, undecided, OPEN)

    def record(self) -> dict[str, Any]:
        """The thresholds."""
        return {"accepts": list(self.accepts), **({"explains": True} if self.explains else {})}


# The `detail` of a row that none of those asked settles, while a later judge was not asked.
OPEN = "open: no judge that was asked settles it, and a later one was not asked; label again"
