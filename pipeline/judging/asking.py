"""Until when a judge is asked about a pair, and what it is shown: what further votes depend on.

It is no part of a judge's identity, since it changes no vote: parts say under what their rows were
asked, and where that is no longer so, the plan looks for rows that need further ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.renderings import CURRENT, NARROW, Rendering


def asking_of(judge: JudgeConfig, rendering: Rendering = CURRENT) -> str:
    """The stop rule, the budget of votes and all renderings, as text that is equal for equal ones.

    Args:
        judge: the judge.
        rendering: the versions of what it is shown.
    """
    votes = judge.votes.model_dump(mode="json")
    if votes["soft_weight"] == 1:
        del votes["soft_weight"]  # as before there was one
    stop, budget, _ = (votes.pop(name) for name in ("stop", "budget_per_pair", "price"))
    if stop == "gain":  # the other is stated as before there were two
        votes["stop"] = stop
        if budget is None:  # a price that moves with a budget opens no row
            votes["price"] = judge.votes.least_gain
    how = {"votes": votes, "rendering": asdict(rendering), "narrow": dict(NARROW)}
    return json.dumps(how, sort_keys=True)


def without_narrow(asking: str) -> str:
    """The same as earlier versions stated it, which knew no narrow kinds."""
    how = json.loads(asking)
    how.pop("narrow", None)
    return json.dumps(how, sort_keys=True)
