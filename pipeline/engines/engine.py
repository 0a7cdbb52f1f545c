"""The interface of an engine: it lays a chat out as a prompt, and replies to it or scores it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL.Image import Image

from pipeline.engines.engine_config import EngineConfig
from pipeline.judging.constraint import Constraint
from pipeline.judging.endings import Ending
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.soft_verdicts import SlotReading, SoftReader
from pipeline.media.clip import Clip

TINY_JUDGE, TINY_REWARD_JUDGE = "tiny-judge", "tiny-reward-judge"
EMBEDDED = (TINY_JUDGE, TINY_REWARD_JUDGE)
ChatPart = str | Image | Clip


@dataclass(frozen=True)
class Chat:
    """One question to the judge, not laid out yet.

    Attributes:
        system: the system text; None where there is to be no turn of ours.
        parts: the user's turn: texts, RGB pictures and clips in the order shown. Sides of
            pictures are multiples of the model's factor.
        reply_prefix: what the reply is made to begin with.
        answer: the assistant's whole turn, where that is what is judged: the prompt ends with it.
        criteria: what the reply is to have scores for by a row's own rubric; empty without one.
    """

    system: str | None
    parts: tuple[ChatPart, ...]
    reply_prefix: str = ""
    answer: str | None = None
    criteria: tuple[str, ...] = ()

    @property
    def user(self) -> str:
        """The texts of the user's turn."""
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def images(self) -> tuple[Image, ...]:
        """The pictures, in the order shown."""
        return tuple(part for part in self.parts if isinstance(part, Image))

    @property
    def clips(self) -> tuple[Clip, ...]:
        """The clips, in the order shown."""
        return tuple(part for part in self.parts if isinstance(part, Clip))


@dataclass(frozen=True)
class Rendered:
    """A chat as an engine takes it.

    Attributes:
        token_ids: the prompt; one placeholder token for each picture and clip.
        length: tokens of the prompt once the placeholders are expanded; 0 where only a server
            can count them.
        chat: what was laid out; its pictures and clips are in the order of their placeholders.
    """

    token_ids: tuple[int, ...]
    length: int
    chat: Chat


@dataclass(frozen=True)
class Sampling:
    """How one reply is sampled.

    Attributes:
        temperature: 0 is greedy.
        ending: where the reply is cut off even if the model would write more; None: nowhere.
        constraint: what the verdict is held to; None: nothing.
        soft: finds the slot whose log-probabilities are read once the reply is written; None: none.
    """

    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    ending: Ending | None = None
    constraint: Constraint | None = None
    soft: SoftReader | None = None


@dataclass(frozen=True)
class Reply:
    """What the engine wrote, the reply prefix not included.

    Attributes:
        finish_reason: ``"stop"``, or ``"length"`` if ``max_tokens`` cut it off.
        cached_tokens: prompt tokens served from the prefix cache.
        slot: by log-probabilities, what else the verdict could have been; None where it was not
            asked for, or there is no verdict.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int
    slot: SlotReading | None = None


@dataclass(frozen=True)
class Scalar:
    """How a reward model scores a prompt: by a head on the last token's hidden state.

    Attributes:
        tokens: the two tokens, of the worse and of the better answer, whose rows in the language
            model's own head make it; None: the checkpoint has a head of its own.
    """

    tokens: tuple[str, str] | None = None


@dataclass(frozen=True)
class Score:
    """What a reward model says of one prompt.

    Attributes:
        value: its score; comparable with those of prompts that differ in the answer alone.
        cached_tokens: prompt tokens served from the prefix cache.
    """

    value: float
    prompt_tokens: int
    cached_tokens: int


class Layout(Protocol):
    """What lays chats out as prompts."""

    def render(self, chat: Chat) -> Rendered:
        """Lays out a chat. Text is inert: it adds no turns, placeholders or special tokens."""


class Engine(Layout, Protocol):
    """One loaded model. ``render`` may be called from many threads, ``reply`` from one loop.

    Attributes:
        at_once: how many replies it generates at the same time; further requests wait.
    """

    at_once: int

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        """Replies to one prompt; cancelling the call aborts the request.

        Raises:
            EngineDeadError: the engine died and this worker must be replaced.
            RowRejected: it refuses this one request.
            TimeoutError: this one request takes too long.
            EndpointError: a server refuses, or fails, whatever it is asked.
        """

    def close(self) -> None:
        """Ends the engine and every process of its own."""


@runtime_checkable
class CachingEngine(Protocol):
    """An engine that keeps what it has computed of prompts for later ones."""

    async def forget_prompts(self) -> None:
        """Empties its caches, so that a benchmark can ask the same prompts anew."""


class Scorer(Layout, Protocol):
    """One loaded reward model. ``render`` may be called from many threads, ``score`` from one loop.

    Attributes:
        at_once: how many prompts it scores at the same time; further requests wait.
    """

    at_once: int

    async def score(self, request_id: str, prompt: Rendered) -> Score:
        """Scores one prompt; cancelling the call aborts the request.

        Raises:
            EngineDeadError: the engine died and this worker must be replaced.
            EngineStartError: the engine does not score as the checkpoint would: nothing it says
                can be used.
            RowRejected: it refuses this one request.
        """

    def close(self) -> None:
        """Ends the engine and every process of its own."""


def model_path(name: str) -> str:
    """Where a model's files are: an embedded judge's folder, a local folder, or a hub id."""
    if name in EMBEDDED:
        return str(Path(__file__).with_name(name.replace("-", "_")))
    return name


def merged_args(judge: JudgeConfig, engine: EngineConfig) -> dict[str, Any]:
    """The free engine arguments of both sections; those that change verdicts win."""
    return {**engine.args, **judge.model.args}
