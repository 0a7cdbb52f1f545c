"""How often labels are wrong: what their probabilities state, corrected by people's labels of some.

The estimate is the mean of 1 - p over all labels, plus how much more often than that the checked
ones are wrong. It holds for the labels at large if the checked ones are a random sample of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from pipeline.stats.arrays import Floats, Ints
from pipeline.stats.wilson import student, wilson


@dataclass(frozen=True)
class Check:
    """Labels that were compared with people's.

    Attributes:
        pairs: how many, of so many ``prompts``; labels of one prompt are alike.
        wrong: how many of them are wrong.
        gap: share of wrong ones less the mean of what was stated, 1 - p.
        variance: of ``gap``, by the spread between prompts.
    """

    pairs: int
    prompts: int
    wrong: float
    gap: float
    variance: float

    @classmethod
    def of(cls, counts: Floats) -> Self:
        """A check by counts of each prompt.

        Args:
            counts: checked labels, how many of them are wrong, and the sum of what was stated,
                (prompts, 3); 0 was stated of labels without a probability.
        """
        pairs, wrong, stated = counts[counts[:, 0] > 0].T
        prompts, whole = len(pairs), float(pairs.sum())
        if not whole:
            return cls(0, 0, 0.0, 0.0, 0.0)
        gap = float((wrong - stated).sum()) / whole
        spread = float(((wrong - stated - gap * pairs) ** 2).sum())
        variance = spread / whole**2 * prompts / max(1, prompts - 1)
        return cls(int(whole), prompts, float(wrong.sum()), gap, variance)

    @classmethod
    def stored(cls, figures: Mapping[str, float]) -> Self | None:
        """A check that was stored by :meth:`figures`; None if none was."""
        names = {field.name: f"checked_{field.name}" for field in fields(cls)}
        if not all(name in figures for name in names.values()):
            return None
        values: dict[str, Any] = {field: figures[name] for field, name in names.items()}
        return cls(**values | {name: int(values[name]) for name in ("pairs", "prompts")})

    def figures(self) -> dict[str, float]:
        """The check under names of its own, for :meth:`stored`."""
        return {f"checked_{field.name}": getattr(self, field.name) for field in fields(self)}

    def error_rate(self, stated: float) -> tuple[float, float, float]:
        """The share of wrong ones among all labels: value, low, high.

        The interval is Wilson's of as many independent labels as have the variance of the gap,
        never of more than were checked. Where none, or each, of these is wrong, which shows no
        spread, each prompt counts as one.

        Args:
            stated: mean of 1 - p over all labels; 0 of labels without a probability.
        """
        rate = min(1.0, max(0.0, stated + self.gap))
        independent = float(self.prompts)
        if 0 < self.wrong < self.pairs and self.variance > 0:
            known = rate * (1 - rate) / self.variance
            independent = min(float(self.pairs), max(1.0, known))
        return rate, *wilson(rate, independent, student(self.prompts))


def counts_by_prompt(prompts: Ints, wrong: Floats, stated: Floats) -> Floats:
    """What :meth:`Check.of` takes, of one value a label."""
    codes = np.unique(prompts, return_inverse=True)[1]
    return np.stack([np.bincount(codes), *(np.bincount(codes, x) for x in (wrong, stated))], axis=1)
