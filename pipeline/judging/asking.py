"""Until when a judge is asked about a pair: what more votes, or votes of another kind, depend on.

It is no part of a judge's identity, since it changes no vote: parts say under what their rows were
asked, and where that is no longer what is configured, the plan looks for rows that need more votes.
"""

from __future__ import annotations

import json

from pipeline.judging.judge_config import JudgeConfig


def asking_of(judge: JudgeConfig) -> str:
    """The stop rule and budget of votes, as text that is equal only for what asks alike."""
    return json.dumps({"votes": judge.votes.model_dump(mode="json")}, sort_keys=True)
