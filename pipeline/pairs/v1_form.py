"""Parts of a pair as the columns of pairs v1: texts with placeholders, and their media beside them.

Media that stand before the question, or before the text of an answer, need no placeholder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline.pairs.conversations import Part, Unfit
from pipeline.pairs.placing import KINDS, place, with_placeholders

Values = Mapping[str, Any]
Columns = dict[str, Any]


def question_as_v1(values: Values, strict: Collection[str] = ()) -> Columns:
    """``prompt`` or ``messages``, with ``images`` and ``videos``.

    Args:
        values: ``messages``, ``images`` and ``videos``, as ``conversations`` reads them.
        strict: kinds of media that placeholders always ask for (see ``placing.place``).

    Raises:
        Unfit: places and media are not as many.
    """
    said = values.get("messages") or []
    contents = place([each["content"] for each in said], _held(values), strict)
    texts = with_placeholders(contents)
    media = {f"{kind}s": _media(contents, kind) for kind in KINDS}
    if len(said) == 1 and said[0]["role"] == "user":
        return {"prompt": texts[0], "messages": None} | media
    turns = [
        {"role": each["role"], "content": text} for each, text in zip(said, texts, strict=True)
    ]
    return {"prompt": None, "messages": turns or None} | media


def answers_as_v1(values: Values, strict: Collection[str] = ()) -> Columns:
    """``response_a`` and ``response_b``, or ``candidates`` if not two, with ``gold_scores``.

    Raises:
        Unfit: places and media are not as many; or scores are not one a candidate.
    """
    candidates, scores = values.get("candidates") or [], values.get("gold_scores") or []
    if candidates and scores and len(scores) != len(candidates):
        raise Unfit(f"got {len(scores)} gold scores, expected {len(candidates)}, one a candidate")
    there = [index for index, each in enumerate(candidates) if each is not None]
    found = [_response(candidates[index]) for index in there]
    pair = found if len(found) == 2 else [_response(values.get(name)) for name in ("a", "b")]
    return {
        "response_a": pair[0],
        "response_b": pair[1],
        "candidates": None if len(found) in (0, 2) else found,
        "gold_scores": [scores[i] for i in there] if candidates and scores else scores or None,
    }


def _response(candidate: Mapping[str, Any] | None) -> Columns | None:
    if candidate is None:
        return None
    contents = place([candidate["content"]], _held(candidate))
    text = with_placeholders(contents)[0]
    media = {f"{kind}s": _media(contents, kind) for kind in KINDS}
    return {"text": text or None, "model": candidate["model"]} | media


def _held(values: Values) -> dict[str, Sequence[Any]]:
    return {kind: values.get(f"{kind}s") or () for kind in KINDS}


def _media(contents: Sequence[Sequence[Part]], kind: str) -> list[Any] | None:
    return [p[kind] for parts in contents for p in parts if p["type"] == kind] or None
