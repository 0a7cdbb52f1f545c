"""From a row to the prompts of its judge: checks, fetches and decodes it, lays prompts out."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pipeline.engines.engine import Chat, ChatPart, Layout, Rendered
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.row_checks import (
    check_candidates,
    check_question,
    decided_by_gold,
    nothing_to_compare,
    question_of,
)
from pipeline.judging.row_rubrics import asked_hash, row_rubric
from pipeline.judging.rubric_config import RubricConfig
from pipeline.judging.votes import LETTERS
from pipeline.labeling.row_kinds import kinds_of
from pipeline.media.decoder import MediaDecoder
from pipeline.media.media_store import MediaStore
from pipeline.media.pair_contents import PairContents
from pipeline.pairs.contents import question_parts
from pipeline.pairs.pair_hash import Piece
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason

_NICENESS = 4  # gets 0.41 times as much of a core that a thread of niceness 0 wants, too
_MOST_OF_A_TOKEN = 256  # characters; the longest of known tokenizers have half as many


@dataclass(frozen=True)
class Identified:
    """A row whose media are fetched and not decoded yet: enough to identify its pair.

    Attributes:
        context: media that the question begins with.
        question: what follows them.
        candidates: the contents of each.
        cluster: what pairs share that are alike (``pipeline.pairs.prompts``).
        alike: why there is nothing to ask of a pair that a person has decided; None otherwise.
        rubric: the row's own; None of a row that is asked by the judge's.
        content: the hash of the pair whatever it is asked by; None where that is not known.
    """

    pair_hash: str
    context: tuple[Piece, ...]
    question: tuple[Piece, ...]
    candidates: tuple[tuple[Piece, ...], ...]
    cluster: str | None = None
    alike: str | None = None
    rubric: RubricConfig | None = None
    content: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A row ready for the judge.

    Attributes:
        context: decoded media that the question begins with.
        question: its texts, with the decoded media that stand among them.
        answers: for each candidate, its decoded media and texts.
        prompts: laid out so far, by order; those of the first round always are.
        rubric: the row's own; None of a row that is asked by the judge's.
        seeded_by: what the seeds of its votes follow from; by default the hash.
    """

    pair_hash: str
    context: tuple[ChatPart, ...]
    question: tuple[ChatPart, ...]
    answers: tuple[tuple[ChatPart, ...], ...]
    prompts: dict[str, Rendered] = field(default_factory=dict)
    rubric: RubricConfig | None = None
    seeded_by: str = ""

    @property
    def kinds(self) -> frozenset[str]:
        """What it has that few rows have (``pipeline.judging.renderings.NARROW``)."""
        return kinds_of(self.context, self.question, *self.answers)


class Prompting:
    """Makes the prompts of one judge; CPU work, in any thread."""

    def __init__(
        self,
        layout: Layout,
        judge: JudgeConfig,
        media: MediaStore,
        decoder: MediaDecoder | None = None,
    ) -> None:
        """Binds the judge's prompt to an engine's layout, a store of media, what decodes them.

        Args:
            layout: lays chats out.
            judge: whose prompt it is.
            media: the store of the pairs' media.
            decoder: of the judge's media; by default one that decodes one at a time.
        """
        self._layout, self._judge, self._media = layout, judge, media
        self._decoder = decoder or MediaDecoder(judge.media)
        self._prompt = judge.prompt_texts

    def identify(self, pair: Mapping[str, Any]) -> Identified:
        """Checks a row and fetches its media.

        Raises:
            RowRejected: the row cannot be judged.
            StorageError: the store of the media fails.
        """
        if pair["defect"] is not None:
            raise RowRejected(Reason.BAD_ROW, pair["defect"])
        check_question(pair)
        check_candidates(pair, self._judge)
        if not self._prompt.shows_media and any(p["type"] != "text" for p in question_parts(pair)):
            detail = "the row has pictures or videos, which the judge's bundle does not show"
            raise RowRejected(Reason.BAD_ROW, detail)
        rubric = row_rubric(pair, self._judge)
        held = PairContents.of(pair, self._media)
        alike = nothing_to_compare(held.answers, self._judge.candidates)
        if alike and not decided_by_gold(pair, self._judge):
            raise RowRejected(Reason.BAD_ROW, alike)
        context, question = question_of(pair, held.asked)
        content = held.pair_hash
        hashed = asked_hash(content, rubric)
        known = (held.answers, held.cluster, alike, rubric)
        return Identified(hashed, context, question, *known, content if rubric else None)

    def prepare(self, row: Identified) -> Prepared:
        """Decodes a row's media and lays out its first round.

        Raises:
            RowRejected: a medium cannot be decoded, or the prompt is too long.
        """
        self._check_characters(row)
        prepared = Prepared(
            row.pair_hash,
            self._decoded(row.context),
            self._decoded(row.question),
            tuple(_on_a_new_line(self._decoded(pieces)) for pieces in row.candidates),
            rubric=row.rubric,
        )
        format_ = self._judge.declared_format
        first = format_.orders(len(row.candidates), 0, row.pair_hash)
        shown = [each for order in first for each in format_.requests(order)]
        longest = max(self.prompt(prepared, each).length for each in shown)
        limit = self._judge.most_prompt_tokens
        if longest > limit:
            raise RowRejected(
                Reason.TOO_LONG,
                f"the prompt has {longest} tokens; max_model_len - max_tokens leaves {limit}",
            )
        return prepared

    def prompt(self, prepared: Prepared, order: str) -> Rendered:
        """The prompt that shows these candidates in ``order``; laid out once."""
        if order not in prepared.prompts:
            texts = self._prompt
            if prepared.rubric is not None:
                texts = self._judge.asking(prepared.rubric).prompt_texts
            answers = [prepared.answers[LETTERS.index(letter)] for letter in order]
            parts = texts.fill(prepared.context, prepared.question, answers)
            answer = None
            if texts.own_turn:
                answer = texts.assistants([part for part in answers[0] if isinstance(part, str)])
            names = prepared.rubric.names if prepared.rubric else ()
            chat = Chat(texts.system, parts, self._judge.reply_prefix, answer, names)
            prepared.prompts[order] = self._layout.render(chat)
        return prepared.prompts[order]

    def _check_characters(self, row: Identified) -> None:
        """Refuses texts that cannot fit: to count their tokens could take hours.

        Raises:
            RowRejected: they are too long, whatever the tokenizer.
        """
        parts = (row.context, row.question, *row.candidates)
        count = sum(len(text) for pieces in parts for kind, text in pieces if kind == "text")
        limit = self._judge.most_prompt_tokens
        if count > limit * _MOST_OF_A_TOKEN:
            raise RowRejected(
                Reason.TOO_LONG,
                f"the texts have {count:,} characters, more than {_MOST_OF_A_TOKEN} for each of "
                f"the {limit} tokens that max_model_len - max_tokens leaves",
            )

    def _decoded(self, pieces: Sequence[Piece]) -> tuple[ChatPart, ...]:
        def shown(kind: str, value: Any) -> ChatPart:
            if kind == "text":
                return str(value)
            return self._decoder.image(value) if kind == "image" else self._decoder.clip(value)

        return tuple(shown(*piece) for piece in pieces)


def _on_a_new_line(answer: tuple[ChatPart, ...]) -> tuple[ChatPart, ...]:
    """An answer, its text beneath the media that it begins with."""
    texts = [number for number, part in enumerate(answer) if isinstance(part, str)]
    if not texts or texts[0] == 0:
        return answer
    return (*answer[: texts[0]], "\n", *answer[texts[0] :])


def media_threads(count: int) -> ThreadPoolExecutor:
    """Makes threads that prepare pairs, at a lower priority than the rest of the process.

    At the start of a run all of them decode what the next minutes need, while the event loop beside
    them and vLLM's engine core have a GPU to fill.
    """
    return ThreadPoolExecutor(count, thread_name_prefix="prepare", initializer=_lower_priority)


def _lower_priority() -> None:
    if sys.platform == "linux":  # elsewhere it would concern the whole process
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.nice(_NICENESS)
