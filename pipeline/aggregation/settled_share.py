"""From which confidence on a judge is right how often: for the tier of a cascade that it may be.

``policy.min_confidence`` of a tier decides what it settles and what costs a later judge. Pairs with
gold say what each choice gives, by probabilities of fits that have not seen them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.aggregation.calibration import Calibration
from pipeline.aggregation.calibration_fit import GoldVotes
from pipeline.judging.votes import parsed_of
from pipeline.stats.intervals import share_by_prompt
from schemas.quality import Rate

_SHARES = (1.0, 0.8, 0.6, 0.4, 0.2)  # of the preferences
_DIGITS = 10_000


@dataclass(frozen=True)
class SettledShare:
    """What a least confidence settles of the pairs with gold.

    Attributes:
        min_confidence: the least, as a tier's policy has it.
        share: of all pairs that calibrated, those whose preference reaches it.
        right: the share of these that people prefer alike; a tie for people is another answer.
    """

    min_confidence: float
    share: float
    right: Rate


def settled_shares(calibration: Calibration, pairs: Sequence[GoldVotes]) -> list[SettledShare]:
    """For several least confidences, from none on, what they settle.

    Args:
        calibration: has been fitted to the pairs.
        pairs: with the judge's votes.
    """
    sided = [pair for pair in pairs if pair.preference is not None]
    for_a = np.array([pair.preference == "a" for pair in sided], bool)
    p_a = np.array([calibration.p_a_unseen(parsed_of(e.votes), e.prompt) for e in sided], float)
    sure = np.floor(np.where(for_a, p_a, 1 - p_a) * _DIGITS) / _DIGITS
    right = np.array([pair.gold for pair in sided]) == for_a
    prompts = np.unique([pair.prompt for pair in sided], return_inverse=True)[1]
    falling = np.sort(sure)[::-1]
    steps = {falling[math.ceil(share * len(falling)) - 1] for share in _SHARES if len(falling)}
    found = []
    for step in sorted(steps):
        reaching = sure >= step
        parts = (reaching & right, reaching)
        counts = [np.bincount(prompts[part], minlength=prompts.max() + 1) for part in parts]
        by_prompt = np.stack(counts, axis=1)
        rate = share_by_prompt(by_prompt[by_prompt[:, 1] > 0])
        found.append(SettledShare(float(step), float(reaching.sum() / len(pairs)), rate))
    return found
