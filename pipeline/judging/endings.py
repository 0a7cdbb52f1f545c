"""Where a reply is cut off: at the end of its verdict, whatever the judge would write after it.

A judge that was trained for its format stops there by itself. Any other may write on for thousands
of tokens, which cost as much as a verdict does and make the reply malformed.

A reasoning may quote a whole verdict, its own end included, from what the judge is shown. Where
that could be (a picture may hold anything written, a text the marks of a verdict or what looks like
them) the first verdict ends nothing: the judge writes until it stops by itself, and the verdict
must be the last thing. It is only kept from writing on for thousands of tokens behind one.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from dataclasses import dataclass

from pipeline.judging.bundle import Format
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.parsing import Verdict
from pipeline.judging.reply_grammar import ReplyGrammar

# A mark's word behind a bracket or a slash of whatever form, and not behind a sign of prose.
_MARKS = re.compile(r"""[^\w.,;:!?'"*#()_~`\u2013\u2014\u2026\u201c\u201d-](think|answer)[^\w]""")
_CODED = re.compile(r"(\\u00|\\x|%)3c")
_UNSEEN = ("Cf", "Mn")  # categories of characters that are not seen by themselves
_BETWEEN = ("", "\n", " ")
MOST_BEHIND = 512  # tokens that a watched judge may write behind a verdict before it is stopped


@dataclass(frozen=True)
class Ending:
    """The end of a reply's verdict.

    Attributes:
        texts: one of them ends every verdict, except rare forms, whose replies are not cut off.
        format_: reads the verdict.
        count: candidates shown.
        prefix: what the reply was made to begin with.
        watched: whether a verdict may be a quotation, so that none is the end before the judge
            has stopped by itself.
    """

    texts: tuple[str, ...]
    format_: Format
    count: int
    prefix: str = ""
    watched: bool = False

    def cut(self, reply: str) -> str | None:
        """A reply up to the end of its first verdict; None while it has no verdict.

        A verdict follows the end of the reasoning at once; one that is quoted inside is not taken.
        None of a reply that is watched, whose verdicts may all be quotations.
        """
        if self.watched:
            return None
        return next(
            (reply[:end] for end in self._ends(reply) if self._is_verdict(reply[:end])), None
        )

    def last_end(self, reply: str) -> int | None:
        """Where the last verdict of a reply ends; None without one."""
        ends = reversed(self._ends(reply))
        return next((end for end in ends if self._is_verdict(reply[:end])), None)

    def _ends(self, reply: str) -> list[int]:
        every = (re.finditer(re.escape(text), reply) for text in self.texts)
        return sorted({found.end() for each in every for found in each})

    def _is_verdict(self, reply: str) -> bool:
        return isinstance(self.format_.parse(self.prefix + reply, "stop", self.count), Verdict)


class Watch:
    """Watches one reply grow, and says when its judge has written on behind a verdict too long."""

    def __init__(self, ending: Ending) -> None:
        """Begins with an empty reply."""
        self._ending = ending
        self._end: int | None = None
        self._tokens = 0

    def over(self, reply: str, tokens: int) -> bool:
        """Whether the reply is to be stopped.

        Args:
            reply: what is written so far.
            tokens: how many they are.
        """
        if (end := self._ending.last_end(reply)) != self._end:
            self._end, self._tokens = end, tokens
        return end is not None and tokens - self._tokens >= MOST_BEHIND


def ending_of(judge: JudgeConfig, count: int, shown: str, *, media: bool) -> Ending | None:
    """The ending of replies to one question; None where the judge itself has to stop.

    Args:
        judge: its format and prefix.
        count: candidates shown.
        shown: the texts of the user's turn.
        media: whether the turn shows pictures or clips.
    """
    format_ = judge.declared_format
    texts = _texts(format_.grammar, count)
    if not texts:
        return None
    watched = media or may_be_quoted(judge.prompt_texts.own_words(count), shown)
    return Ending(texts, format_, count, judge.reply_prefix, watched)


def may_be_quoted(own: str, shown: str) -> bool:
    """Whether a turn holds marks of a verdict, or what looks like them, beside the prompt's own.

    Args:
        own: the prompt's own text, which may name the marks.
        shown: the turn.
    """
    return _marks(shown) > _own_marks(own)


def _marks(text: str) -> int:
    """How many marks a text holds, without what may hide them: signs in another form, spaces."""
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        compatible = unicodedata.normalize("NFKC", text)
        text = "".join(each for each in compatible if unicodedata.category(each) not in _UNSEEN)
    joined = _CODED.sub("<", "".join(text.casefold().split()))
    return len(_MARKS.findall(f".{joined}."))


_own_marks = functools.lru_cache(64)(_marks)


def _texts(grammar: ReplyGrammar, count: int) -> tuple[str, ...]:
    """Texts one of which ends a verdict behind the reasoning, and few others."""
    slots = grammar.slots(count)
    before, behind = grammar.around(slots[-1])
    if grammar.place != "after" or not behind.strip():
        return ()
    if grammar.choice is not None:
        return (behind,)
    if grammar.score is not None and not grammar.score.finite:  # any number may be the last
        return ()
    low, high = grammar.score.bounds if grammar.score else (0, 0)
    last = [f"{before}{score}{behind}" for score in range(int(low), int(high) + 1)]
    alike = [slot for slot in slots if grammar.around(slot) == (before, behind)]
    if len(last) > 32 or len(alike) > 2:  # of many scores the last looks like the others
        return ()
    first = [f"{behind}{between}" for between in _BETWEEN] if len(alike) == 2 else [""]
    return tuple(one + score for one in first for score in last)
