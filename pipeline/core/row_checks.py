"""Whether a judging format can ask about a pair; each refusal is a quarantined row.

What breaks the pairs contract itself is found before, for whole columns at a time
(``contract_checks.row_problems``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.core.config import JudgeConfig
from pipeline.core.errors import RowRejected
from schemas.labels import Reason

ROLES = ("system", "user", "assistant")


def check_pair(pair: Mapping[str, Any], judge: JudgeConfig) -> None:
    """Refuses a pair that the judge's format cannot ask about.

    Raises:
        RowRejected: bad_row, with what is wrong.
    """
    question_of(pair)
    texts = [response_text(pair, name) for name in ("response_a", "response_b")]
    if texts[0] == texts[1]:
        raise _bad("both responses are equal")
    if pair["videos"]:
        raise _bad(f"the pair has videos; the format {judge.format} reads pictures only")
    if len(pair["images"] or ()) > judge.media.max_images:
        limit = f"the limit is {judge.media.max_images} (judge.media.max_images)"
        raise _bad(f"the pair has {len(pair['images'])} images; {limit}")


def question_of(pair: Mapping[str, Any]) -> str:
    """The question as the judge reads it: the prompt, or a conversation with its roles named.

    Raises:
        RowRejected: there is neither, or a message without text or with an unknown role.
    """
    prompt, messages = pair["prompt"], pair["messages"]
    if prompt and messages:
        raise _bad("both prompt and messages are given, expected one of them")
    if prompt and prompt.strip():
        return str(prompt)
    if not messages:
        raise _bad("prompt is empty, and there are no messages")
    turns = []
    for message in messages:
        if message is None or message["role"] not in ROLES or not message["content"]:
            raise _bad(f"message {message!r}: expected a role of {', '.join(ROLES)} and content")
        turns.append(f"{message['role'].capitalize()}: {message['content']}")
    if messages[-1]["role"] != "user":
        raise _bad(f"the conversation ends with {messages[-1]['role']}, expected user")
    return str(messages[0]["content"]) if len(turns) == 1 else "\n\n".join(turns)


def response_text(pair: Mapping[str, Any], name: str) -> str:
    """The text of a response.

    Raises:
        RowRejected: it is missing or empty, or the response is made of media.
    """
    response = pair[name]
    if response is None:
        raise _bad(f"{name} is null")
    if response["images"] or response["videos"]:
        raise _bad(f"{name} has media; the format pairwise_scores reads text responses only")
    if not response["text"] or not response["text"].strip():
        raise _bad(f"{name} is empty")
    return str(response["text"])


def _bad(detail: str) -> RowRejected:
    return RowRejected(Reason.BAD_ROW, detail)
