"""Where a reply is cut off: at the end of its verdict, whatever the judge would write after it.

A judge that was trained for its format stops there by itself. Any other may write on for thousands
of tokens, which cost as much as a verdict does and make the reply malformed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.judging.bundle import Format
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.parsing import Verdict
from pipeline.judging.reply_grammar import ReplyGrammar

_MARKS = re.compile(r"<\s*/?\s*(think|answer)\s*>", re.IGNORECASE)
_BETWEEN = ("", "\n", " ")


@dataclass(frozen=True)
class Ending:
    """The end of a reply's verdict.

    Attributes:
        texts: one of them ends every verdict, except rare forms, whose replies are not cut off.
        format_: reads the verdict.
        count: candidates shown.
        prefix: what the reply was made to begin with.
    """

    texts: tuple[str, ...]
    format_: Format
    count: int
    prefix: str = ""

    def cut(self, reply: str) -> str | None:
        """A reply up to the end of its first verdict; None while it has no verdict.

        A verdict follows the end of the reasoning at once; one that is quoted inside is not taken.
        """
        ends = {found.end() for text in self.texts for found in re.finditer(re.escape(text), reply)}
        for end in sorted(ends):
            read = self.format_.parse(self.prefix + reply[:end], "stop", self.count)
            if isinstance(read, Verdict):
                return reply[:end]
        return None


def ending_of(judge: JudgeConfig, count: int, shown: str) -> Ending | None:
    """The ending of replies to one question; None where the judge itself has to stop.

    Args:
        judge: its format and prefix.
        count: candidates shown.
        shown: the texts of the user's turn. If they hold the tags of a verdict, the reasoning may
            quote a whole verdict, its own end included: then only the last one is the judge's.
    """
    format_ = judge.declared_format
    texts = _texts(format_.grammar, count)
    if not texts or _MARKS.search(shown):
        return None
    return Ending(texts, format_, count, judge.reply_prefix)


def _texts(grammar: ReplyGrammar, count: int) -> tuple[str, ...]:
    """Texts one of which ends a verdict behind the reasoning, and few others."""
    slots = grammar.slots(count)
    before, behind = grammar.around(slots[-1])
    if grammar.place != "after" or not behind.strip():
        return ()
    if grammar.choice is not None:
        return (behind,)
    low, high = grammar.score.bounds if grammar.score else (0, 0)
    last = [f"{before}{score}{behind}" for score in range(int(low), int(high) + 1)]
    alike = [slot for slot in slots if grammar.around(slot) == (before, behind)]
    if len(last) > 32 or len(alike) > 2:  # of many scores the last looks like the others
        return ()
    first = [f"{behind}{between}" for between in _BETWEEN] if len(alike) == 2 else [""]
    return tuple(one + score for one in first for score in last)
