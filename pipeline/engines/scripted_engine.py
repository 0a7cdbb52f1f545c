"""A deterministic engine for tests: it replies by rule, and fails where its script plans it."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from PIL.Image import Image
from pydantic import Field, ValidationError

from pipeline.engines.engine import Chat, Rendered, Reply, Sampling, Scalar, Score
from pipeline.engines.engine_config import EngineConfig
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.reply_grammar import ReplyGrammar
from pipeline.judging.reply_writer import beyond_the_scale, write_reply
from pipeline.judging.soft_verdicts import NextToken, SlotReading, read_slot
from pipeline.media.clip import Clip
from pipeline.runtime.config_file import Frozen
from pipeline.runtime.errors import EngineDeadError, EngineStartError
from schemas.validation_faults import first_faults

Fault = Literal["kill", "die", "hang", "malformed", "truncated", "refused", "out_of_range", "flip"]
_NO_REPLY = ("kill", "die", "hang")
_SCORE = re.compile(r"score=(\d+)")
_HIGHEST = 10
_REPLIES = {
    "malformed": ("<think>x</think> I like the second one.", "stop"),
    "truncated": ("<think>and then", "length"),
    "refused": ("I'm sorry, I cannot judge this.", "stop"),
}


class Script(Frozen):
    """What the engine does.

    Attributes:
        latency_s: seconds that a reply takes.
        latency_sigma: of the logarithm of that time, which depends on the prompt; 0 = constant.
        start_s: seconds that the engine takes to start.
        start_fault: what ends every start: ``kill`` SIGKILLs the process, ``refuse`` is an error.
        faults: a marker to look for in the user's text, and what happens to a request that
            contains it: ``kill`` SIGKILLs the process, ``die`` reports a dead engine, ``hang``
            never replies, ``flip`` always prefers the first answer shown.
        sure: how likely the literal was that a reply's last slot holds; all others alike share the
            rest.
        gullible: an answer that contains one of these texts gets the highest score.
        heal_after: faulty replies (not deaths) to a marker before the right one is given;
            None for never.
    """

    latency_s: float = Field(default=0, ge=0)
    latency_sigma: float = Field(default=0, ge=0)
    start_s: float = Field(default=0, ge=0)
    start_fault: Literal["kill", "refuse"] | None = None
    faults: dict[str, Fault] = Field(default_factory=dict)
    gullible: tuple[str, ...] = ()
    heal_after: int | None = None
    sure: float = Field(default=1.0, gt=0, le=1)


class ScriptedEngine:
    """Scores an answer by the ``score=N`` it contains, or else by a hash of its content.

    A criterion has the same score, or that of a ``NAME=N`` in the answer.
    """

    def __init__(self, judge: JudgeConfig, engine: EngineConfig, _: Scalar | None = None) -> None:
        """Reads ``engine.script``; nothing is loaded.

        Raises:
            EngineStartError: the script cannot be read, or plans this.
        """
        try:
            self._script = Script.model_validate(engine.script)
        except ValidationError as error:
            raise EngineStartError(f"engine.script: {first_faults(error)}") from error
        self._judge = judge
        self.at_once = engine.max_num_seqs
        self._slots = asyncio.Semaphore(self.at_once)  # as a real engine: other requests wait
        self._failed: Counter[str] = Counter()
        time.sleep(self._script.start_s)
        if self._script.start_fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._script.start_fault == "refuse":
            raise EngineStartError("the script plans that the engine cannot start")

    def render(self, chat: Chat) -> Rendered:
        """Counts a word as a token and a picture as one."""
        texts = f"{chat.system or ''} {chat.user} {chat.answer or ''}"
        length = len(texts.split()) + len(chat.images) + len(chat.clips)
        return Rendered((), length, chat)

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        """Replies after ``latency_s``, or does what the script plans for this text."""
        async with self._slots:
            await asyncio.sleep(self._latency(prompt))
        answers = self._answers(prompt.chat)
        scores = [self._score(answer) for answer in answers]
        grammar = self._judge.declared_format.grammar
        if prompt.chat.criteria:
            grammar = grammar.with_criteria(prompt.chat.criteria)
        names = [name for name in grammar.criteria if name is not None]
        by_criterion = {name: [_score(answer, name) for answer in answers] for name in names}
        text, finish = _reply(grammar, scores, by_criterion), "stop"
        for marker, fault in self._script.faults.items():
            if marker in prompt.chat.user and not self._healed(marker):
                if fault == "flip":
                    text = _reply(grammar, [9, *[2] * (len(scores) - 1)])
                elif fault == "out_of_range":
                    text = beyond_the_scale(grammar, len(scores))
                else:
                    text, finish = await self._fail(fault)
        slot = await self._read_slot(text, sampling)
        return Reply(text, finish, prompt.length, len(text.split()), 0, slot)

    async def score(self, request_id: str, prompt: Rendered) -> Score:
        """Scores after ``latency_s`` as :class:`ScriptedEngine` says, or does what is planned."""
        async with self._slots:
            await asyncio.sleep(self._latency(prompt))
        answer = prompt.chat.answer
        answer = self._answers(prompt.chat)[0] if answer is None else answer
        for marker, fault in self._script.faults.items():
            shown = marker in prompt.chat.user or marker in answer
            if shown and fault in _NO_REPLY and not self._healed(marker):
                await self._fail(fault)
        return Score(float(self._score(answer)), prompt.length, 0)

    def close(self) -> None:
        """Nothing to end."""

    async def _read_slot(self, text: str, sampling: Sampling) -> SlotReading | None:
        """The last slot as if each literal were a token."""
        slot = sampling.soft.locate(text) if sampling.soft else None
        if slot is None:
            return None
        every = slot.literals.outcomes
        written = max((each for each in every if text.startswith(each, slot.start)), key=len)
        others = (1 - self._script.sure) / max(1, len(every) - 1)
        likely = dict.fromkeys(every, others) | {written: self._script.sure}

        async def following(path: tuple[NextToken, ...]) -> list[NextToken] | None:
            ended = [NextToken("", 0.0)]
            begun = [NextToken(each, math.log(p)) for each, p in likely.items() if p]
            return ended if path else begun

        return await read_slot(slot, "", following, sampling.temperature, sampling.top_p)

    def _score(self, answer: str) -> int:
        if any(text in answer for text in self._script.gullible):
            return _HIGHEST
        return _score(answer)

    def _latency(self, prompt: Rendered) -> float:
        """Lognormal with the mean ``latency_s``, from the prompt's text alone."""
        sigma = self._script.latency_sigma
        if not sigma:
            return self._script.latency_s
        normal = random.Random(prompt.chat.user).gauss(0, sigma)
        return self._script.latency_s * math.exp(normal - sigma**2 / 2)

    def _healed(self, marker: str) -> bool:
        self._failed[marker] += 1
        after = self._script.heal_after
        return after is not None and self._failed[marker] > after

    async def _fail(self, fault: Fault) -> tuple[str, str]:
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "die":
            raise EngineDeadError("the script plans the engine's death here")
        if fault == "hang":
            await asyncio.Event().wait()
        return _REPLIES[fault]

    def _answers(self, chat: Chat) -> list[str]:
        """The candidates' texts, every picture or clip in them as the hash of its pixels."""
        text = "".join(part if isinstance(part, str) else _pixels(part) for part in chat.parts)
        return self._judge.prompt_texts.answers_of(text)


def _reply(
    grammar: ReplyGrammar,
    scores: Sequence[float],
    by_criterion: Mapping[str, Sequence[float]] | None = None,
) -> str:
    """The reply that gives these scores."""
    counted = " and ".join(f"{score:g}" for score in scores)
    return write_reply(grammar, scores, f"I count {counted}.", by_criterion)


def _pixels(part: Image | Clip) -> str:
    frames = part.frames if isinstance(part, Clip) else (part,)
    return hashlib.sha256(b"".join(frame.tobytes() for frame in frames)).hexdigest()


def _score(answer: str, criterion: str | None = None) -> int:
    own = criterion and re.search(rf"\b{re.escape(criterion)}=(\d+)", answer)
    stated = own or _SCORE.search(answer)
    return int(stated[1]) if stated else 1 + hashlib.sha256(answer.encode()).digest()[0] % 10
