"""Where a reply is over: at the end of its verdict, whatever a judge would still write after it.

A judge that was trained for its format ends there by itself. Any other may go on for thousands of
tokens, which cost as much as a verdict does and make a readable one malformed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.judging_formats import FORMATS, Format
from pipeline.judging.parsing import Verdict

_MARKS = re.compile(r"<\s*/?\s*(think|answer)\s*>", re.IGNORECASE)
_BETWEEN_SCORES = ("", "\n", " ")


@dataclass(frozen=True)
class Ending:
    """What a reply's last verdict ends in.

    Attributes:
        texts: one of them ends every verdict, but for rare forms; those end as the judge ends them.
        format_: reads the verdict.
        count: candidates shown.
        prefix: what the reply was made to begin with.
    """

    texts: tuple[str, ...]
    format_: Format
    count: int
    prefix: str = ""

    def cut(self, reply: str) -> str | None:
        """A reply as far as the end of its first verdict; None while it has none.

        What the reasoning quotes is none: a verdict follows its end at once.
        """
        ends = {found.end() for text in self.texts for found in re.finditer(re.escape(text), reply)}
        for end in sorted(ends):
            read = self.format_.parse(self.prefix + reply[:end], "stop", self.count)
            if isinstance(read, Verdict):
                return reply[:end]
        return None


def ending_of(judge: JudgeConfig, count: int, shown: str) -> Ending | None:
    """The ending of replies to one question; None where the judge has to end it.

    Args:
        judge: its format and prefix.
        count: candidates shown.
        shown: the texts of the user's turn. What holds the marks of a verdict could be quoted in
            the reasoning, end of the reasoning and all: then only what comes last is the judge's.
    """
    texts = _texts(FORMATS[judge.format], count)
    if not texts or _MARKS.search(shown):
        return None
    return Ending(texts, FORMATS[judge.format], count, judge.sampling.reply_prefix)


def _texts(format_: Format, count: int) -> tuple[str, ...]:
    if format_.scale is None:
        return ("]]</answer>",)
    if count > 2:  # the last score of many looks like any other
        return ()
    low, high = format_.scale
    scores = [f"<answer>{score}</answer>" for score in range(low, high + 1)]
    before = [f"</answer>{between}" for between in _BETWEEN_SCORES] if count == 2 else [""]
    return tuple(first + score for first in before for score in scores)
