"""A panel: several judges, one label. How their answers are weighed, and the fit that says so.

``panel_fit`` fits one to stored votes; ``stats.joint_votes`` has the figures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from pipeline.aggregation.composition import Answer, Combined
from pipeline.runtime.config_file import Frozen
from pipeline.runtime.digest import digest
from schemas.labels import Status

By = Literal["stacked", "dawid-skene", "one-per-family"]
_FIT_VERSION = 1  # raise with any change to what a fit makes of the same verdicts


class AggregationConfig(Frozen):
    """How the votes of several judges of an output become one label of each pair.

    Part of the policy: it changes no vote, and takes effect at the next publish, without an engine.
    """

    panel: tuple[str, ...] = ()
    """The judges, two or more: each an id or how it begins, or a model's name if one judge alone
    has it. Each must have labelled the input. Empty: labels are of one judge.
    """
    by: By | None = None
    """``stacked``: a logistic function of their verdicts, fitted to people's answers
    (``gold.set``), at least 20 decided ones a judge; labels then have a calibrated probability.
    ``one-per-family``: judges of one model, or that agree too often, share one vote.
    ``dawid-skene``: judges count as they agree with the others; wrong where several repeat each
    other. These two need no answers, and state no probability. By default ``stacked`` with a gold
    set, else ``one-per-family``.
    """


class PanelJudge(Frozen):
    """One judge of a panel, and how reliable it is.

    Attributes:
        weight: log-odds of a verdict for a side; of ``one-per-family`` 1.
        family: the number of its family: those that are alike share it.
        decided: gold pairs of which people prefer a side and it has a verdict for one, and
            ``right`` those of them where it is the same. None without gold.
        reliability: (right + 1) / (decided + 2).
    """

    judge_id: str
    weight: float
    family: int
    decided: int | None = None
    right: int | None = None

    @property
    def reliability(self) -> float | None:
        """The share of its verdicts that are right, as far as gold tells."""
        if self.decided is None or self.right is None:
            return None
        return (self.right + 1) / (self.decided + 2)


class PanelFit(Frozen):
    """How a panel's judges are weighed, as it is stored.

    Attributes:
        fit_id: identity: of the judges and the numbers.
        fitted_to: identity of what it was fitted to: judges with their calibrations, and answers.
        effective_judges: how many independent judges their errors are worth; None without gold.
        gold_set: whose answers; None without gold. Of its pairs those that calibrate were used,
            ``gold_pairs``, of ``gold_prompts`` prompts.
        pairs: that all figures are of.
        figures: measured on folds that the fit had not seen (``stacked`` alone).
    """

    model_config = ConfigDict(allow_inf_nan=False)

    fit_id: str
    by: By
    judges: tuple[PanelJudge, ...] = Field(min_length=2)
    fitted_to: str
    effective_judges: float | None
    gold_set: str | None
    gold_pairs: int
    gold_prompts: int
    pairs: int
    fitted_at: AwareDatetime
    figures: dict[str, float]

    @model_validator(mode="after")
    def _own(self) -> Self:
        if self.fit_id != fit_id(self.by, self.judges):
            raise ValueError("fit_id: it is not that of these judges and weights")
        return self


def fit_id(by: By, judges: Sequence[PanelJudge]) -> str:
    """Identity of a fit: of everything that decides a label."""
    numbers = [[each.judge_id, each.weight, each.family] for each in judges]
    return digest("panel", json.dumps([_FIT_VERSION, by, numbers]))


@dataclass(frozen=True)
class Panel:
    """The rule of a panel.

    A judge's verdict is 2q - 1, where q is how likely the pair's label is ``a``: its calibrated
    probability if it has one, else the share of its votes. Judges that could not be read or lack
    the row have none. Where more of them call a tie than prefer a side, the label is a tie; where
    they weigh out, the pair is undecided.
    """

    fit: PanelFit
    kind: ClassVar[str] = "panel"
    explains: ClassVar[bool] = False  # a panel's rationale is of a vote that agrees, anyway

    def calibration_id(self, of_judges: Sequence[str | None]) -> str | None:
        """The fit's, where it gives probabilities."""
        return self.fit.fit_id if self.fit.by == "stacked" else None

    def combine(self, answers: Sequence[Answer | None]) -> Combined:
        """The label of all of them together."""
        given = {n: each for n, each in enumerate(answers) if each is not None and each.given}
        verdicts = {number: verdict(answer) for number, answer in given.items()}
        ties = sum(value == 0 or given[n].status == Status.TIE for n, value in verdicts.items())
        score = self._score(verdicts)
        p_a = 1 / (1 + math.exp(-score)) if self.fit.by == "stacked" else None
        outcome = "a" if score > 0 else "b" if score < 0 else None
        if 2 * ties > len(given):
            status, outcome = Status.TIE, None
        else:
            status = Status.LABELED if outcome else Status.ABSTAINED
        shares = [each.p_a_raw for each in given.values() if each.p_a_raw is not None]
        return Combined(
            taken=next(iter(given)),
            status=str(status),
            preference=outcome,
            p_a=p_a,
            p_a_raw=sum(shares) / len(shares) if shares else None,
            confidence=max(p_a, 1 - p_a) if p_a is not None and status != Status.TIE else None,
            together=True,
        )

    def _score(self, verdicts: dict[int, float]) -> float:
        """Log-odds of ``a``, or votes for it less those for ``b``."""
        judges = self.fit.judges
        if self.fit.by == "stacked":
            return sum(judges[n].weight * value for n, value in verdicts.items())
        signs = {n: (value > 0) - (value < 0) for n, value in verdicts.items()}
        if self.fit.by == "dawid-skene":
            return sum(judges[n].weight * sign for n, sign in signs.items())
        totals: dict[int, int] = {}
        for number, sign in signs.items():
            totals[judges[number].family] = totals.get(judges[number].family, 0) + sign
        return float(sum((total > 0) - (total < 0) for total in totals.values()))

    def record(self) -> dict[str, Any]:
        """The fit, with what was known of each judge."""
        fit = self.fit
        return {
            "by": fit.by,
            "fit": fit.fit_id,
            "effective_judges": fit.effective_judges,
            "gold_set": fit.gold_set,
            "gold_pairs": fit.gold_pairs,
            "judges": [
                {**each.model_dump(mode="json"), "reliability": each.reliability}
                for each in fit.judges
            ],
            "figures": dict(fit.figures),
        }


def verdict(answer: Answer) -> float:
    """From 1, surely a, to -1, surely b; 0 of a tie."""
    q = answer.p_a if answer.p_a is not None else answer.p_a_raw
    return 0.0 if q is None else 2 * q - 1
