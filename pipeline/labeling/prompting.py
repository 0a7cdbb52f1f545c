"""From a row to the prompts of its judge: checks, fetches and decodes it, lays prompts out."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.engines.engine import Chat, ChatPart, Layout, Rendered
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.row_checks import (
    candidates_of,
    decided_by_gold,
    nothing_to_compare,
    question_of,
)
from pipeline.judging.votes import LETTERS
from pipeline.media.decoder import MediaDecoder
from pipeline.media.media_store import MediaStore
from pipeline.pairs.conversations import Part, Unfit, text_part
from pipeline.pairs.pair_hash import Content, pair_hash
from pipeline.pairs.placing import leading, place
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason

_NICENESS = 4  # gets 0.41 times as much of a core that a thread of niceness 0 wants, too


@dataclass(frozen=True)
class Identified:
    """A row whose media are fetched and not decoded yet: enough to identify its pair.

    Attributes:
        alike: why there is nothing to ask of a pair that a person has decided; None otherwise.
    """

    pair_hash: str
    question: str
    context: Content
    candidates: tuple[Content, ...]
    alike: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A row ready for the judge.

    Attributes:
        context: decoded media that the question begins with.
        question: its texts, with the decoded media that stand among them.
        answers: for each candidate, its decoded media and texts.
        prompts: laid out so far, by order; those of the first round always are.
    """

    pair_hash: str
    context: tuple[ChatPart, ...]
    question: tuple[ChatPart, ...]
    answers: tuple[tuple[ChatPart, ...], ...]
    prompts: dict[str, Rendered] = field(default_factory=dict)


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
        question, candidates = question_of(pair), candidates_of(pair, self._judge)
        context = self._content(pair, None)
        if (context.images or context.videos) and not self._prompt.shows_media:
            detail = "the row has pictures or videos, which the judge's bundle does not show"
            raise RowRejected(Reason.BAD_ROW, detail)
        contents = tuple(self._content(each, each["text"]) for each in candidates)
        for content in (replace(context, text=question), *contents):
            _check_places(content)
        alike = nothing_to_compare(contents, self._judge.candidates)
        if alike and not decided_by_gold(pair, self._judge):
            raise RowRejected(Reason.BAD_ROW, alike)
        hashed = pair_hash(pair, contents, context)
        return Identified(hashed, question, context, contents, alike)

    def prepare(self, row: Identified) -> Prepared:
        """Decodes a row's media and lays out its first round.

        Raises:
            RowRejected: a medium cannot be decoded, or the prompt is too long.
        """
        context, question = self._decoded(replace(row.context, text=row.question))
        answers = (self._decoded(content) for content in row.candidates)
        prepared = Prepared(
            row.pair_hash,
            context,
            question,
            tuple((*media, *_on_a_new_line(rest, media)) for media, rest in answers),
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
            answers = [prepared.answers[LETTERS.index(letter)] for letter in order]
            parts = self._prompt.fill(prepared.context, prepared.question, answers)
            answer = None
            if self._prompt.own_turn:
                texts = [part for part in answers[0] if isinstance(part, str)]
                answer = self._prompt.assistants(texts)
            chat = Chat(self._prompt.system, parts, self._judge.reply_prefix, answer)
            prepared.prompts[order] = self._layout.render(chat)
        return prepared.prompts[order]

    def _content(self, holder: Mapping[str, Any], text: str | None) -> Content:
        images, videos = (
            tuple(self._fetch(reference, name) for reference in holder[name] or ())
            for name in ("images", "videos")
        )
        return Content(text, images, videos)

    def _fetch(self, reference: Mapping[str, Any] | None, name: str) -> bytes:
        if reference is None:
            raise RowRejected(Reason.MEDIA_MISSING, f"an entry of {name} is null")
        return self._media.fetch(reference)

    def _decoded(self, content: Content) -> tuple[tuple[ChatPart, ...], tuple[ChatPart, ...]]:
        """The media that a content begins with, and the rest of it, media in their places."""
        images = [self._decoder.image(data) for data in content.images]
        clips = [self._decoder.clip(data) for data in content.videos]
        first, rest = leading(_placed(content.text, images, clips))
        return tuple(map(_shown, first)), tuple(map(_shown, rest))


def _placed(text: str | None, images: Sequence[Any], videos: Sequence[Any]) -> list[Part]:
    held = {"image": images, "video": videos}
    return place([[text_part(text)] if text else []], held)[0]


def _check_places(content: Content) -> None:
    try:
        _placed(content.text, content.images, content.videos)
    except Unfit as error:
        raise RowRejected(Reason.BAD_ROW, str(error)) from error


def _shown(part: Part) -> ChatPart:
    shown: ChatPart = part[part["type"]]
    return shown


def _on_a_new_line(rest: tuple[ChatPart, ...], media: tuple[ChatPart, ...]) -> tuple[ChatPart, ...]:
    """The texts of an answer, beneath the media that it begins with."""
    if not media or not rest or not isinstance(rest[0], str):
        return rest
    return ("\n" + rest[0], *rest[1:])


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
