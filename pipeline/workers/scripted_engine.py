"""A deterministic engine for tests: it replies by rule, and fails where its script says so."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import time
from collections import Counter
from typing import Literal

from pydantic import Field, ValidationError

from pipeline.core.config import EngineConfig, Frozen, JudgeConfig
from pipeline.core.errors import EngineDeadError, EngineStartError
from pipeline.workers.engine import Chat, Rendered, Reply, Sampling

Fault = Literal["kill", "die", "hang", "malformed", "truncated", "refused", "out_of_range", "flip"]
_ANSWERS = re.compile(r"\[Assistant 1's Answer\]\n(.*)\n\n\[Assistant 2's Answer\]\n(.*)", re.S)
_SCORE = re.compile(r"score=(\d+)")
_REPLIES = {
    "malformed": ("<think>x</think> I like the second one.", "stop"),
    "truncated": ("<think>and then", "length"),
    "refused": ("I'm sorry, I cannot judge this.", "stop"),
    "out_of_range": ("<think>x</think><answer>0</answer><answer>11</answer>", "stop"),
    "flip": ("<think>first one</think><answer>9</answer><answer>2</answer>", "stop"),
}


class Script(Frozen):
    """What the engine does.

    Attributes:
        latency_s: seconds that a reply takes.
        start_s: seconds that the engine takes to start.
        start_fault: what ends every start: ``kill`` SIGKILLs the process, ``refuse`` is an error.
        faults: a marker to look for in the user's text, and what happens to a request that
            contains it: ``kill`` SIGKILLs the process, ``die`` reports a dead engine, ``hang``
            never replies, ``flip`` always prefers the first answer shown.
        heal_after: faulty replies (not deaths) to a marker before the right one is given;
            None for never.
    """

    latency_s: float = Field(default=0, ge=0)
    start_s: float = Field(default=0, ge=0)
    start_fault: Literal["kill", "refuse"] | None = None
    faults: dict[str, Fault] = Field(default_factory=dict)
    heal_after: int | None = None


class ScriptedEngine:
    """Scores an answer by the ``score=N`` it contains, or else by a hash of its text."""

    def __init__(self, judge: JudgeConfig, engine: EngineConfig) -> None:
        """Reads ``engine.script``; nothing is loaded.

        Raises:
            EngineStartError: the script cannot be read, or plans this.
        """
        try:
            self._script = Script.model_validate(engine.script)
        except ValidationError as error:
            raise EngineStartError(f"engine.script: {error}") from error
        self.at_once = engine.max_num_seqs
        self._failed: Counter[str] = Counter()
        time.sleep(self._script.start_s)
        if self._script.start_fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._script.start_fault == "refuse":
            raise EngineStartError("the script plans that the engine cannot start")

    def render(self, chat: Chat) -> Rendered:
        """Counts a word as a token and a picture as one."""
        length = len(f"{chat.system} {chat.user}".split()) + len(chat.images)
        return Rendered((), chat.images, length, chat)

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        """Replies after ``latency_s``, or does what the script plans for this text."""
        await asyncio.sleep(self._script.latency_s)
        text, finish = self._write(prompt.chat)
        for marker, fault in self._script.faults.items():
            if marker in prompt.chat.user and not self._healed(marker):
                text, finish = await self._fail(fault)
        return Reply(text, finish, prompt.length, len(text.split()), 0)

    def close(self) -> None:
        """Nothing to end."""

    def _write(self, chat: Chat) -> tuple[str, str]:
        match = _ANSWERS.search(chat.user)
        if match is None:
            raise ValueError("the scripted engine judges pairs of text answers only")
        scores = [_score(answer) for answer in match.groups()]
        verdict = "".join(f"<answer>{score}</answer>" for score in scores)
        return f"<think>\nI count {scores[0]} and {scores[1]}.\n</think>\n\n{verdict}", "stop"

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


def _score(answer: str) -> int:
    stated = _SCORE.search(answer)
    return int(stated[1]) if stated else 1 + hashlib.sha256(answer.encode()).digest()[0] % 10
