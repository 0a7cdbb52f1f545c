"""Checks a bundle before anything is judged with it: transcripts, hostile replies, reading time."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.judging.bundle import Bundle, Format
from pipeline.judging.bundle_files import SHIPPED, read_transcripts
from pipeline.judging.parsing import Unparseable, Verdict
from pipeline.judging.prompts import check_texts
from pipeline.judging.reply_grammar import OPTIONS, ReplyGrammar
from pipeline.judging.reply_patterns import plain_expression
from pipeline.judging.reply_writer import write_reply

HOSTILE = 10_000  # replies that a check reads
MOST_MS_A_KB = 10.0
_MEDIUM = "[picture or clip]"
_CRITERIA = ("Accuracy", "Tone")
_RUBRIC = "\n".join(f"* {name}: what judge.rubric says of it" for name in _CRITERIA)
_LENGTHS = (4_000, 8_000, 16_000)  # characters of the replies whose reading is timed
_STEPS = ((9, 2), (2, 9), (5, 5), (1, 10), (7, 7))
_SIDES = {option: side for side, option in OPTIONS.items()}


@dataclass
class Checked:
    """What a check found.

    Attributes:
        problems: what is wrong; empty for a sound bundle.
        transcripts: how many were read, by origin.
        outcomes: of hostile replies: verdicts, and each reason why there is none.
        slowest_ms: the longest time that a kilobyte of a reply took.
    """

    problems: list[str] = field(default_factory=list)
    transcripts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0


def check_bundle(
    bundle: Bundle, folder: Path, *, hostile: int = HOSTILE, seed: int = 0, timed: bool = True
) -> Checked:
    """Reads a bundle's transcripts, and hostile replies in each of its grammars.

    Args:
        bundle: the bundle.
        folder: where its transcripts are.
        hostile: how many hostile replies are read, over all formats.
        seed: of the hostile replies.
        timed: whether the reading of long replies is timed.

    Raises:
        ValueError: a line of the transcripts is none.
    """
    checked = Checked()
    for number, transcript in enumerate(read_transcripts(folder), start=1):
        checked.transcripts[transcript["origin"]] += 1
        if problem := _differs(bundle, transcript):
            checked.problems.append(f"transcript {number}: {problem}")
    checked.problems += _text_problems(bundle)
    written = [_asked(each) for each in bundle.formats.values() if each.declared.reply is not None]
    for format_ in written:
        checked.problems += _own_replies(format_)
        _fuzz(format_, hostile // len(written), seed, checked)
        if timed:
            _time(format_, checked)
    if not checked.transcripts and written:
        checked.problems.append("no transcripts.jsonl: expected replies and what each says")
    return checked


def folder_of(source: str) -> Path:
    """The folder of a shipped bundle or of a user's."""
    shipped = SHIPPED / source
    return shipped if shipped.is_dir() else Path(source)


def shown_prompt(bundle: Bundle, format_: Format, candidates: str) -> str:
    """A prompt of the bundle, as people read it."""
    prompt = bundle.prompt(format_.name, candidates).with_rubric(_RUBRIC)
    count = 1 if format_.apart else max(2, format_.counts[0]) if format_.about != "score" else 1
    answer = ["An answer."] if candidates == "text" else [_MEDIUM]
    turn = "".join(prompt.fill([_MEDIUM], "What is shown?", [answer] * count))
    system = f"--- system\n{prompt.system}\n" if prompt.system is not None else ""
    prefix = format_.declared.reply_prefix
    begun = f"\n--- the reply begins with\n{prefix}" if prefix else ""
    if prompt.own_turn:
        begun = f"\n--- assistant\n{prompt.assistants(answer)}"
    return f"{system}--- user\n{turn}{begun}"


def _text_problems(bundle: Bundle) -> Iterator[str]:
    """What is wrong with the texts of its formats."""
    for format_ in bundle.formats.values():
        for kind in format_.declared.candidates:
            try:
                check_texts(
                    bundle.prompt(format_.name, kind),
                    reward=format_.family == "reward",
                    rubric=format_.takes_rubric,
                )
            except ValueError as error:
                yield f"format {format_.name}, candidates {kind}: {error}"


def _asked(format_: Format, criteria: Sequence[str] | None = None) -> Format:
    """The format as a judge uses it, with a rubric's criteria if it takes one."""
    return format_.with_criteria(criteria or _CRITERIA) if format_.takes_rubric else format_


def _differs(bundle: Bundle, transcript: dict[str, Any]) -> str | None:
    """How a transcript is read otherwise than it says; None if it is read so."""
    name = transcript.get("format") or next(iter(bundle.formats))
    if name not in bundle.formats:
        return f"there is no format {name!r}; the bundle has {', '.join(bundle.formats)}"
    format_ = _asked(bundle.formats[name], transcript.get("criteria"))
    count = transcript.get("candidates") or (1 if format_.apart else format_.counts[0])
    read = format_.parse(transcript["reply"], transcript.get("finish_reason", "stop"), count)
    got = said_by(read)
    return None if got == transcript["verdict"] else f"expected {transcript['verdict']}, got {got}"


def said_by(read: Verdict | Unparseable) -> dict[str, Any]:
    """What a reply says, as transcripts state it: ``scores``, a ``choice``, or a ``reason``."""
    if isinstance(read, Unparseable):
        return {"reason": str(read.reason)}
    criteria = {"criteria": {name: list(each) for name, each in read.criteria}}
    more = criteria if read.criteria else {}
    if read.option is not None:
        return {"choice": _SIDES[read.option], **more}
    return {"scores": list(read.scores), **more}


def _own_replies(format_: Format) -> Iterator[str]:
    """What is wrong with replies that the grammar itself writes."""
    grammar, count = format_.grammar, 1 if format_.apart else format_.counts[0]
    pattern = plain_expression(grammar, count)
    for scores in _STEPS:
        reply = write_reply(grammar, scores[:count], "both looked at")
        read = format_.parse(reply, "stop", count)
        ties = len(set(scores)) == 1
        if isinstance(read, Unparseable) and not (ties and grammar.ties == "never"):
            yield f"format {format_.name}: its own reply is no verdict ({read.detail}): {reply!r}"
        if pattern is not None:
            verdict = reply.rpartition("</think>")[2]
            if not re.fullmatch(pattern, verdict):
                yield f"format {format_.name}: {verdict!r} is not what decoding would be held to"
        cut = format_.parse(reply, "length", count)
        if isinstance(cut, Verdict):
            yield f"format {format_.name}: a truncated reply is a verdict"


def _pieces(grammar: ReplyGrammar) -> list[str]:
    before, _, behind = grammar.wrap.partition("{}")
    literals = list(grammar.choice or {})
    own = [before, behind, *literals, *(literal[:-1] for literal in literals)]
    steps = re.findall(r"[^.\[\]{}:]+", f"{grammar.at}.{grammar.by_criterion or ''}")
    return [
        *filter(None, own),
        *(f'"{step}": ' for step in steps),
        *(
            "<think>",
            "</think>",
            "</ think>",
            "<\u200b/think>",
            "\uff1c/think\uff1e",
            "&lt;/think&gt;",
        ),
        *(
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            '"',
            "\\",
            "```json\n",
            "```",
            "null",
            "NaN",
            "1e999",
            "true",
        ),
        *("0", "1", "3", "7.5", "10", "11", "-3", "5/10", "100000", "9" * 50, "0.333333333333333"),
        *(
            " ",
            "\n",
            "\t",
            " " * 50,
            "\u00a0",
            "\u0663",
            "\uff13",
            "x",
            "I cannot",
            "not",
            "better",
        ),
    ]


def hostile_reply(grammar: ReplyGrammar, rng: random.Random, count: int) -> str:
    """A reply in the grammar with parts changed, or pieces of the grammar in no order."""
    pieces = _pieces(grammar)
    if rng.random() < 0.4:
        return "".join(rng.choices(pieces, k=rng.randint(0, 24)))
    scores = [rng.randint(0, 12) for _ in range(count)]
    reply = write_reply(grammar, [score or 0.5 for score in scores], rng.choice(pieces) * 3)
    for _ in range(rng.randint(0, 3)):
        at = rng.randrange(len(reply) + 1)
        end = min(len(reply), at + rng.choice([0, 0, 1, 4]))
        reply = reply[:at] + rng.choice(pieces) + reply[end:]
    return reply if rng.random() < 0.9 else reply + reply


def _fuzz(format_: Format, replies: int, seed: int, checked: Checked) -> None:
    rng = random.Random(seed)
    scale = format_.grammar.score
    count = 1 if format_.apart else format_.counts[0]
    for _ in range(replies):
        reply = hostile_reply(format_.grammar, rng, count)
        began = time.thread_time()
        read = format_.parse(reply, "stop", count)
        spent = (time.thread_time() - began) * 1000 / max(1.0, len(reply) / 1000)
        checked.slowest_ms = max(checked.slowest_ms, spent)
        if isinstance(read, Unparseable):
            checked.outcomes[str(read.reason)] += 1
            continue
        checked.outcomes["verdict"] += 1
        every = [read.scores, *(scores for _, scores in read.criteria)]
        if scale and not all(scale.low <= x <= scale.high for scores in every for x in scores):
            checked.problems.append(f"format {format_.name}: beyond its scale: {reply!r}")


def _time(format_: Format, checked: Checked) -> None:
    """Reads replies of one repeated piece, each twice as long as the one before."""
    count = 1 if format_.apart else format_.counts[0]
    for piece in _pieces(format_.grammar):
        spent = [_seconds(format_, piece, length, count) for length in _LENGTHS]
        a_kb = 1000 * spent[-1] / (_LENGTHS[-1] / 1000)
        checked.slowest_ms = max(checked.slowest_ms, a_kb)
        if a_kb > MOST_MS_A_KB:
            listed = ", ".join(f"{1000 * each:.1f}" for each in spent)
            checked.problems.append(
                f"format {format_.name}: {piece!r} repeated to {', '.join(map(str, _LENGTHS))} "
                f"characters takes {listed} ms: more than {MOST_MS_A_KB:g} ms a kB"
            )


def _seconds(format_: Format, piece: str, length: int, count: int) -> float:
    text = (piece * (length // len(piece) + 1))[:length]
    replies: Sequence[str] = (text, f"</think>{text}", f"</think>{text}x")
    began = time.thread_time()
    for reply in replies:
        format_.parse(reply, "stop", count)
    return (time.thread_time() - began) / len(replies)
