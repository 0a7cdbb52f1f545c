"""Values as people store them, read as the parts of a pair: messages, candidates, media, texts.

A value of another kind raises :class:`Unfit`, which names what it got and what it expected: it
costs its own row. Nothing is guessed from what a text looks like.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.pairs.arrow_values import DecimalNumber
from pipeline.pairs.contents import Media, Message, Part, media_part, text_part

_ROLES = {
    **{role: role for role in ("system", "user", "assistant", "tool")},
    **{"human": "user", "gpt": "assistant", "model": "assistant", "developer": "system"},
    **{"function_call": "assistant", "observation": "tool", "function": "tool"},
}
ANSWERED = ("user", "tool")  # roles of the message that candidates answer
ROLES = tuple(dict.fromkeys(_ROLES.values()))
_KINDS = {
    **dict.fromkeys(("text", "input_text", "output_text"), "text"),
    **dict.fromkeys(("image", "image_url", "input_image"), "image"),
    **dict.fromkeys(("video", "video_url", "input_video"), "video"),
}
TURNS = "\n\nHuman:"  # how a text of turns begins that is a whole conversation
_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,2})?\s*")
_MEDIA = "media: bytes, a path, or an object of bytes and path"
_SHOWN = 60  # characters of a value in a message


class Unfit(ValueError):
    """A value is not of the kind that its place takes; the message has got and expected."""


def unfit(value: object, expected: str) -> Unfit:
    """Says what a value is and what was expected."""
    return Unfit(f"got {shown(value)}, expected {expected}")


def shown(value: object) -> str:
    """A value in a message: its kind, and the beginning of it."""
    kinds = {bool: "boolean", int: "number", str: "text", list: "list", dict: "object"}
    kind = kinds.get(type(value), "number" if isinstance(value, float) else "bytes")
    if value is None or kind == "bytes":
        return "null" if value is None else "bytes"
    text = str(written(value)) if kind in ("boolean", "number") else _as_code(value)
    return f"the {kind} {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}"


def _as_code(value: object) -> str:
    """A value as Python writes it, but for bytes: a view of them would be shown by its address."""
    match value:
        case dict():
            items = (f"{name!r}: {_as_code(each)}" for name, each in value.items())
            return f"{{{', '.join(items)}}}"
        case list():
            return f"[{', '.join(map(_as_code, value))}]"
        case bytes() | memoryview():
            return "bytes"
    return repr(value)


def text(value: object) -> str | None:
    """A text, or null."""
    if value is None or isinstance(value, str):
        return value
    raise unfit(value, "a text")


def written(value: object) -> str | None:
    """Any value without bytes as text, as it is written; lists and objects as JSON."""
    match value:
        case None | str():
            return value
        case DecimalNumber():
            return value.written
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case list() | dict():
            try:
                return json.dumps(value, ensure_ascii=False)
            except TypeError as error:
                raise unfit(value, "a value without bytes") from error
    raise unfit(value, "a text, a number or a boolean")


def identifier(value: object) -> str | None:
    """A text, an integer or a decimal as written: what an id may be stored as."""
    if isinstance(value, bool | list | dict) or type(value) is float:
        raise unfit(value, "a text or an integer")
    return written(value)


def number(value: object) -> float | None:
    """A number, stored as one or as text; null is null.

    Raises:
        Unfit: anything else.
    """
    if value is None:
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf:
        return float(value)
    raise unfit(value, "a number")


def media(value: object) -> Media | None:
    """One picture or clip: bytes, a path or URI, ``{bytes, path}``, ``{url}``, or a part of it."""
    match value:
        case None | "":
            return None
        case str():
            return {"bytes": None, "path": value}
        case bytes() | memoryview():
            return {"bytes": value, "path": None}
        case Mapping():
            return _media_object(value)
    raise unfit(value, _MEDIA)


def _media_object(value: Mapping[str, Any]) -> Media | None:
    names, kind = set(value), _KINDS.get(str(value.get("type")))
    if kind in ("image", "video"):
        part: Media | None = as_part(value)[kind]
        return part
    if "url" in names and names <= {"url", "detail"}:
        return media(value["url"])
    data, path = value.get("bytes"), value.get("path")
    fits = isinstance(data, bytes | memoryview | None) and isinstance(path, str | None)
    if not names or not names <= {"bytes", "path"} or not fits:
        raise unfit(value, _MEDIA)
    return {"bytes": data, "path": path} if data is not None or path else None


def media_list(value: object) -> list[Media | None]:
    """Media of one item or a list of them; a null within a list stays: something is missing."""
    if isinstance(value, list):
        return [media(item) for item in value]
    found = media(value)
    return [] if found is None else [found]


def content(value: object) -> list[Part]:
    """A message's content, a text or a list of parts, as parts."""
    match value:
        case None | "":
            return []
        case list():
            return [as_part(item) for item in value]
    return [as_part(value)]


def as_part(value: object) -> Part:
    """One part of a content, in the forms of chat templates, OpenAI and LLaMA-Factory."""
    if isinstance(value, str):
        return text_part(value)
    if isinstance(value, Mapping):
        stored = value.get("type")
        untyped = [name for name in ("text", "image", "video") if value.get(name) is not None]
        kind = _KINDS.get(str(stored)) if stored is not None else untyped[0] if untyped else None
        names = (str(stored), kind, "value", "content", "url", "path", "bytes")
        held = next((value[name] for name in names if name and value.get(name) is not None), None)
        if kind == "text" and isinstance(held, str):
            return text_part(held)
        if kind in ("image", "video"):
            whole = {name: value[name] for name in ("bytes", "path") if name in value}
            return media_part(kind, media(whole or held))
    raise unfit(value, "a text, or a part of type text, image or video")


def messages(value: Any) -> list[Message]:
    """A conversation: a list of ``{role, content}`` or ``{from, value}``, or a text by the user.

    Raises:
        Unfit: it is no conversation, or a message has an unknown role or content.
    """
    value = as_messages(value)
    match value:
        case None | "":
            return []
        case str():
            return [{"role": "user", "content": content(value)}]
        case Mapping() if is_message(value):
            return [message(value)]
        case list() if all(map(is_message, value)):
            return [message(each) for each in value]
        case list() if value and all(isinstance(x, Mapping) and "type" in x for x in value):
            return [{"role": "user", "content": content(value)}]
    raise unfit(value, "a conversation: a text, or messages of role and content")


def as_messages(value: Any) -> Any:
    """A conversation that is stored as an object of lists as its messages; else the value."""
    by_column = is_message(value) and isinstance(value.get("role", value.get("from")), list)
    return rows_of(value) if by_column else value


def rows_of(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects that an object of lists stands for, as `datasets` stores lists of objects.

    Raises:
        Unfit: it holds something else, or lists of several lengths.
    """
    for each in columns.values():
        if not isinstance(each, list | None):
            raise unfit(each, "a list")
    if len({len(each or []) for each in columns.values()}) > 1:
        raise unfit(columns, "lists of one length")
    rows = zip(*(each or [] for each in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def is_message(value: object) -> bool:
    """Whether a value is an object with a role."""
    return isinstance(value, Mapping) and ("role" in value or "from" in value)


def message(value: Mapping[str, Any]) -> Message:
    """One message as ``{role, content}``, the content in parts."""
    stored = value.get("role", value.get("from"))
    role = _ROLES.get(stored) if isinstance(stored, str) else None
    if role is None:
        raise Unfit(f"a message has the role {stored!r}, expected one of {', '.join(_ROLES)}")
    held = value.get("content", value.get("value"))
    if held is None and value.get("tool_calls"):  # what the assistant said then
        held = written(value["tool_calls"])
    return {"role": role, "content": content(held)}


def candidate(value: Any) -> dict[str, Any] | None:
    """One candidate as ``{content, model}``.

    Takes a text, a part or a list of parts, a message or the messages of a turn, or an object with
    ``content`` or any of ``text, images, videos``, and ``model``.
    """
    value = as_messages(value)
    if value is None:
        return None
    if is_message(value) or (isinstance(value, list) and value and all(map(is_message, value))):
        return {"content": _turn(messages(value)), "model": None}
    if isinstance(value, Mapping) and "type" not in value:
        known = {"text", "images", "videos", "content", "model"}
        if not value or not set(value) <= known or set(value) == {"model"}:
            raise unfit(value, f"a candidate: a text, parts, or an object of {', '.join(known)}")
        said = candidate(value.get("content"))
        parts = (said["content"] if said else []) + content(text(value.get("text")))
        return {"content": parts, "model": written(value.get("model"))} | {
            name: media_list(value.get(name)) for name in ("images", "videos")
        }
    return {"content": content(value), "model": None}


def _turn(said: Sequence[Message]) -> list[Part]:
    """What an assistant answered: one message's content, or several with their roles named."""
    if len(said) == 1:
        return list(said[0]["content"])
    parts: list[Part] = []
    for number, each in enumerate(said):
        head = "\n\n" * bool(number) + each["role"].capitalize() + ": "
        parts += [text_part(head), *each["content"]]
    return parts


def candidates(value: object) -> list[dict[str, Any] | None]:
    """A list of candidates."""
    if value is None:
        return []
    if isinstance(value, list):
        return [candidate(each) for each in value]
    raise unfit(value, "a list of candidates")


def scores(value: object) -> list[float | None]:
    """A score for each candidate; null where there is no number ("N/A")."""
    if value is None:
        return []
    found = value if isinstance(value, list) else [value]
    return [_score(each) for each in found]


def _score(value: object) -> float | None:
    try:
        return number(value)
    except Unfit:
        if isinstance(value, str):
            return None
        raise


def gold(value: object) -> str | None:
    """A person's answer."""
    if value in ("a", "b", "tie", None):
        return value if value is None else str(value)
    raise unfit(value, "a, b, tie or null")


def metadata(value: object) -> list[dict[str, str | None]]:
    """An object, or a list of ``{key, value}``, as entries in their order."""
    match value:
        case None:
            return []
        case Mapping():
            return [{"key": key, "value": written(each)} for key, each in value.items()]
        case list() if all(isinstance(x, Mapping) and set(x) == {"key", "value"} for x in value):
            return [{"key": written(x["key"]), "value": written(x["value"])} for x in value]
    raise unfit(value, "an object, or a list of key and value")


def turns(value: str, *, answered: bool = False) -> list[Message]:
    """A conversation in one text, of ``Human:`` and ``Assistant:`` after empty lines.

    Args:
        value: the text.
        answered: whether an ``Assistant:`` at the end, with nothing after it, is an empty answer;
            otherwise the answer begins there, and it is no message.

    Raises:
        Unfit: the text does not begin with one of them.
    """
    pieces = _TURN.split(value.lstrip("\n"))
    if pieces[0].strip() or len(pieces) < 3:
        raise unfit(value, "a text of turns that begin with 'Human:' or 'Assistant:'")
    pairs = list(zip(pieces[1::2], pieces[2::2], strict=True))
    if pairs[-1][0] == "Assistant" and not pairs[-1][1].strip() and not answered:
        pairs.pop()
    return [
        {"role": "user" if who == "Human" else "assistant", "content": said.strip()}
        for who, said in pairs
    ]
